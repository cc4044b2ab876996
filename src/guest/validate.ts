/** Turns hostile JSON into values of known shape; whatever does not fit is a violation of the protocol. */
import { CasemateError, isErrorCode } from '../base/errors.ts';
import { violation } from './frame.ts';
import type { ExitInfo, FileEntry, FileEvent, GuestExec, GuestMetrics } from './types.ts';

export type JsonObject = Readonly<Record<string, unknown>>;

const textCharactersMax = 8192;
const errorCharactersMax = 512;

export function parseObject(payload: Buffer): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(payload.toString('utf8'));
  } catch {
    throw violation('something that is not JSON');
  }
  return asObject(value);
}

export function asObject(value: unknown): JsonObject {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonObject;
  throw violation('JSON of another shape');
}

export function numberOf(object: JsonObject, field: string): number {
  const value = object[field];
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  throw violation(`no number for "${field}"`);
}

/** A whole number ≥ 0 that JavaScript can count with. */
export function countOf(object: JsonObject, field: string): number {
  const value = numberOf(object, field);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw violation(`a number out of range for "${field}"`);
}

export function textOf(object: JsonObject, field: string): string {
  const value = object[field];
  if (typeof value === 'string' && value.length <= textCharactersMax) return value;
  throw violation(`no text for "${field}"`);
}

function oneOf<Value extends string>(object: JsonObject, field: string, values: readonly Value[]): Value {
  const value = values.find((candidate) => candidate === object[field]);
  if (value === undefined) throw violation(`an unknown "${field}"`);
  return value;
}

/** The guest's error with a code of our table; its text is cut, and cannot steer a terminal. */
export function errorOf(value: unknown): CasemateError {
  const object = asObject(value);
  const code = textOf(object, 'code');
  const text = textOf(object, 'message').slice(0, errorCharactersMax);
  const message = [...text].map((character) => (isControl(character) ? ' ' : character)).join('');
  return new CasemateError(isErrorCode(code) ? code : 'internal', message);
}

function isControl(character: string): boolean {
  const code = character.codePointAt(0) ?? 0;
  return code < 0x20 || (code >= 0x7f && code < 0xa0);
}

export function exitOf(value: unknown): ExitInfo {
  const object = asObject(value);
  const exitCode = countOf(object, 'exitCode');
  if (exitCode > 255) throw violation('an exit code above 255');
  return {
    exitCode,
    ...(object.signal === undefined ? {} : { signal: textOf(object, 'signal').slice(0, 16) }),
    reason: oneOf(object, 'reason', ['exited', 'signaled', 'deadline']),
    truncatedStdoutBytes: countOf(object, 'truncatedStdoutBytes'),
    truncatedStderrBytes: countOf(object, 'truncatedStderrBytes'),
  };
}

export function entryOf(value: unknown): FileEntry {
  const object = asObject(value);
  return {
    path: textOf(object, 'path'),
    name: textOf(object, 'name'),
    type: oneOf(object, 'type', ['file', 'directory', 'symlink', 'other']),
    size: countOf(object, 'size'),
    mode: countOf(object, 'mode'),
    uid: countOf(object, 'uid'),
    gid: countOf(object, 'gid'),
    ...(object.user === undefined ? {} : { user: textOf(object, 'user') }),
    ...(object.group === undefined ? {} : { group: textOf(object, 'group') }),
    modifiedUnixMs: numberOf(object, 'modifiedUnixMs'),
    ...(object.target === undefined ? {} : { target: textOf(object, 'target') }),
  };
}

export function eventOf(value: unknown): FileEvent {
  const object = asObject(value);
  const type = oneOf(object, 'type', ['create', 'write', 'remove', 'rename', 'chmod', 'overflow']);
  return { type, path: textOf(object, 'path') };
}

export function execsOf(result: JsonObject): GuestExec[] {
  if (!Array.isArray(result.execs)) throw violation('no list of programs');
  return result.execs.map((value: unknown) => {
    const object = asObject(value);
    const argv = Array.isArray(object.argv) ? object.argv : [];
    return {
      execId: textOf(object, 'execId'),
      pid: countOf(object, 'pid'),
      argv: argv.map((argument) => String(argument).slice(0, textCharactersMax)),
      user: textOf(object, 'user'),
      startedUnixMs: numberOf(object, 'startedUnixMs'),
      pty: object.pty === true,
      ...(object.exited === undefined ? {} : { exited: exitOf(object.exited) }),
    };
  });
}

export function metricsOf(result: JsonObject): GuestMetrics {
  return {
    uptimeMs: numberOf(result, 'uptimeMs'),
    processes: countOf(result, 'processes'),
    agentRssBytes: numberOf(result, 'agentRssBytes'),
    memoryTotalBytes: numberOf(result, 'memoryTotalBytes'),
    memoryAvailableBytes: numberOf(result, 'memoryAvailableBytes'),
    diskTotalBytes: numberOf(result, 'diskTotalBytes'),
    diskFreeBytes: numberOf(result, 'diskFreeBytes'),
    loadAverage1: numberOf(result, 'loadAverage1'),
  };
}
