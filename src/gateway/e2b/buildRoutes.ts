/** E2B's control plane: building a template, in the four calls that its clients make of it. */
import type { Static } from '@sinclair/typebox';
import { Readable } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import * as rest from '../../../schema/e2b/builds.ts';
import { CasemateError } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
import type { ContextEntry } from '../../control/templates/blobs.ts';
import type { LogLine } from '../../control/templates/buildLog.ts';
import type { TemplateVersionRow } from '../../store/templateTypes.ts';
import { hostOf } from '../domain.ts';
import { takeArchive } from './buildFiles.ts';
import {
  fromOf,
  newBuildId,
  readBuildId,
  referenceOf,
  tagOf,
  templateNamed,
  theirTag,
} from './buildNames.ts';
import { dockerfileOf, stepOfLine, worded } from './buildSteps.ts';
import { unsupported } from './errors.ts';
import { policyOf } from './network.ts';
import { readyCommand } from './readyCommand.ts';
import type { Call, Route, TemplateInfo } from './route.ts';

const uploadMsMax = 3_600_000;
const readyTimeoutMs = 120_000;
const logLinesPerAnswer = 100;

/** Nothing is begun yet: what was asked for comes back with the id of the build. */
async function request({ body }: Call): Promise<unknown> {
  const { name, alias, tags = [], cpuCount, memoryMB } = body as Static<typeof rest.NewBuild>;
  const named = templateNamed(name ?? alias ?? '');
  const all = [...new Set([...(named.tag === undefined ? [] : [named.tag]), ...tags.map(tagOf)])];
  const buildID = newBuildId({
    ...(all.length === 0 ? {} : { tags: all }),
    ...(cpuCount === undefined ? {} : { cpus: cpuCount }),
    ...(memoryMB === undefined ? {} : { memoryMib: memoryMB }),
  });
  const shown = all.length === 0 ? [theirTag(tagOf('default'))] : all.map(theirTag);
  return {
    templateID: named.name,
    buildID,
    public: false,
    names: [named.name],
    tags: shown,
    aliases: [named.name],
  };
}

/** Where files of a COPY are to be sent, unless they are here already. The address opens that and nothing else. */
async function uploadLink(call: Call): Promise<unknown> {
  const { core, principal, request: asked } = call;
  const hash = hashOf(call);
  if ((await core.images.uploadsNamed(principal, hash)) !== undefined) return { present: true };
  const expires = Date.now() + uploadMsMax;
  const token = core.tokens.of('upload', [principal.tenantId, hash, expires].join('.'));
  const scheme = (asked.raw.socket as TLSSocket).encrypted === true ? 'https' : 'http';
  return {
    present: false,
    url: `${scheme}://${hostOf(asked.raw)}/templates/${call.id}/files/${hash}?token=${token}`,
  };
}

function hashOf({ request: asked }: Call): string {
  const { hash = '' } = asked.params as { hash?: string };
  if (/^[0-9a-f]{64}$/.test(hash)) return hash;
  throw new CasemateError('invalid_request', 'A hash of files has 64 hex digits.');
}

async function upload(call: Call): Promise<void> {
  if (!(call.body instanceof Readable)) throw new CasemateError('invalid_request', 'The upload has no body.');
  await takeArchive(call.core, call.principal, hashOf(call), call.body);
}

/** Which tenant the token of an upload's address is for. */
const admitUpload: Route['admit'] = (core, asked) => {
  const { token = '' } = asked.query as { token?: string };
  const [tenantId = '', hash, expires] = core.tokens.named('upload', token)?.split('.') ?? [];
  const fits = hash === (asked.params as { hash?: string }).hash && Number(expires) > Date.now();
  if (tenantId !== '' && fits) return core.tenantHolder(tenantId);
  throw new CasemateError('unauthenticated', 'This address takes no upload, or takes none any more.');
};

async function start(call: Call): Promise<void> {
  const { core, principal, internet } = call;
  const body = call.body as Static<typeof rest.StartBuild>;
  const asked = readBuildId(buildOf(call));
  const { steps = [], startCmd, readyCmd } = body;
  if ((body.fromImageRegistry ?? null) !== null) throw unsupported('credentials of registries');
  const base = await baseOf(call, body);
  const [tag, ...moreTags] = asked.tags ?? [];
  const command = startCmd ?? base.start?.command;
  const inherited = startCmd === undefined ? base.start?.ready : undefined;
  const ready = readyCmd === undefined || readyCmd === null ? inherited : readyCommand(readyCmd);
  await core.images.build(principal, {
    id: asked.id,
    name: templateNamed(call.id).name,
    ...(tag === undefined ? {} : { tag, moreTags }),
    dockerfile: dockerfileOf({ ...base, steps }),
    ...(await contextOf(call, steps)),
    policy: policyOf({ allow_internet_access: true }, internet, await core.presets()),
    policyIsOperators: internet === 'open',
    ...(command === undefined && ready === undefined
      ? {}
      : { start: { command: command ?? 'true', readyTimeoutMs, ...(ready === undefined ? {} : { ready }) } }),
    ...sandboxLimits(asked.cpus, asked.memoryMib ?? base.memoryMib),
    noCache: body.force === true || steps.some(({ force }) => force === true),
  });
}

function sandboxLimits(cpus: number | undefined, memoryMib: number | undefined): object {
  if (cpus === undefined && memoryMib === undefined) return {};
  const given = {
    ...(cpus === undefined ? {} : { cpus }),
    ...(memoryMib === undefined ? {} : { memoryMib }),
  };
  return { sandboxLimits: given };
}

function buildOf({ request: asked }: Call): string {
  return (asked.params as { build?: string }).build ?? '';
}

interface Base {
  readonly from: string;
  readonly user: string;
  readonly workdir: string;
  readonly start?: { readonly command: string; readonly ready?: string };
  readonly memoryMib?: number;
}

/** A template goes on with its user, its folder and its start command; an image begins as E2B's do. */
async function baseOf(
  { core, principal }: Call,
  { fromImage, fromTemplate }: Static<typeof rest.StartBuild>,
): Promise<Base> {
  const from =
    fromTemplate == null ? fromOf(fromImage ?? 'e2bdev/base') : `template://${referenceOf(fromTemplate)}`;
  const [, reference] = /^template:\/\/(.*)$/.exec(from) ?? [];
  const first = { from, user: 'user', workdir: '/home/user' };
  if (reference === undefined) return first;
  const shipped = (await core.templates()).find(({ name }) => name === reference);
  if (shipped === undefined) {
    const { user, cwd, version } = core.images.catalog.resolve(principal.tenantId, reference);
    const start = version?.config?.start;
    return { ...first, user, workdir: cwd ?? first.workdir, ...(start === undefined ? {} : { start }) };
  }
  const { memoryMib, start } = shipped;
  return {
    ...first,
    ...(memoryMib === undefined ? {} : { memoryMib }),
    ...(start === undefined ? {} : { start: startOf(start) }),
  };
}

/** The program of a template that comes with Casemate, as a command line of its own. */
function startOf({ argv, readyPort }: NonNullable<TemplateInfo['start']>): NonNullable<Base['start']> {
  const command = argv.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
  return { command, ready: `bash -c 'exec 3<>/dev/tcp/127.0.0.1/${readyPort}' 2>/dev/null` };
}

/** Each COPY's files below a folder of their own. @throws CasemateError `invalid_request` where some were not uploaded */
async function contextOf(
  { core, principal }: Call,
  steps: NonNullable<Static<typeof rest.StartBuild>['steps']>,
): Promise<{ context?: string }> {
  const all: ContextEntry[] = [];
  for (const [index, { type, filesHash }] of steps.entries()) {
    if (type !== 'COPY') continue;
    const found = await core.images.uploadsNamed(principal, filesHash ?? '');
    if (found === undefined)
      throw new CasemateError('invalid_request', `The files of step ${index + 1} were not uploaded.`);
    all.push(...found.map((entry) => ({ ...entry, path: `${index}/${entry.path}` })));
  }
  if (all.length === 0) return {};
  return { context: await core.images.uploadAny(principal, Readable.from([JSON.stringify(all)])) };
}

async function status(call: Call): Promise<unknown> {
  const { logsOffset = 0, limit = logLinesPerAnswer, level } = call.query as Static<typeof rest.StatusQuery>;
  const { id } = readBuildId(buildOf(call));
  const identity = { templateID: call.id, buildID: buildOf(call) };
  const found = findBuild(call, id);
  if (found === undefined) return { ...identity, status: 'waiting', logEntries: [], logs: [] };
  const { build, version } = found;
  const entries = (build?.log.slice(logsOffset, limit) ?? [])
    .map(logEntry)
    .filter((entry) => level === undefined || entry.level === level);
  return {
    ...identity,
    status: version.state === 'failed' ? 'error' : version.state,
    logEntries: entries,
    logs: entries.map(({ message }) => message),
    ...reasonOf(version, build?.log.slice(0) ?? []),
  };
}

/** Undefined for a build that nobody has started yet. */
function findBuild({ core, principal }: Call, id: string) {
  try {
    return core.images.find(principal, id);
  } catch (error) {
    if (error instanceof CasemateError && error.code === 'not_found') return undefined;
    throw error;
  }
}

function logEntry({ at, stream, text, line }: LogLine) {
  return {
    timestamp: at,
    level: stream === 'stderr' ? 'warn' : 'info',
    message: worded(text),
    ...(line === undefined ? {} : { step: stepOfLine(line) }),
  };
}

/** Why a build failed, with the step that did it and what that said. */
function reasonOf({ error }: TemplateVersionRow, lines: readonly LogLine[]): object {
  if (error === undefined) return {};
  const [, line, message] = /^Dockerfile line (\d+): ([\s\S]*)$/.exec(error) ?? [];
  if (line === undefined || message === undefined) return { reason: { message: error, step: 'finalize' } };
  const step = stepOfLine(Number(line));
  const said = lines.map(logEntry).filter((entry) => entry.step === step);
  return { reason: { message: worded(message), step, logEntries: said.slice(-logLinesPerAnswer) } };
}

async function logs(call: Call): Promise<unknown> {
  const { cursor, limit, direction, level } = call.query as Static<typeof rest.BuildLogQuery>;
  const lines = findBuild(call, readBuildId(buildOf(call)).id)?.build?.log.slice(0) ?? [];
  const entries = lines
    .map(logEntry)
    .filter((entry) => level === undefined || entry.level === level)
    .filter(({ timestamp }) => cursor === undefined || Date.parse(timestamp) >= cursor);
  const asked = direction === 'backward' ? entries.reverse() : entries;
  return { logs: asked.slice(0, limit ?? limits.pageItemsMax) };
}

const started = '/v2/templates/:id/builds/:build';
export const buildRoutes: readonly Route[] = [
  ...['/v3/templates', '/v2/templates', '/templates'].map(
    (path): Route => ({ method: 'POST', path, body: rest.NewBuild, status: 202, handle: request }),
  ),
  { method: 'GET', path: '/templates/:id/files/:hash', status: 201, handle: uploadLink },
  { method: 'PUT', path: '/templates/:id/files/:hash', admit: admitUpload, status: 200, handle: upload },
  { method: 'POST', path: started, body: rest.StartBuild, status: 202, handle: start },
  {
    method: 'GET',
    path: '/templates/:id/builds/:build/status',
    query: rest.StatusQuery,
    status: 200,
    handle: status,
  },
  {
    method: 'GET',
    path: '/templates/:id/builds/:build/logs',
    query: rest.BuildLogQuery,
    status: 200,
    handle: logs,
  },
];
