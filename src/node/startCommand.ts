/** What a template runs in each of its sandboxes before anybody gets one: started, waited for, not started twice. */
import { setTimeout as sleep } from 'node:timers/promises';
import { CasemateError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import type { GuestClient } from '../guest/client.ts';
import type { ExecStream } from '../guest/types.ts';
import type { ReadyCheck, StartCommand } from './types.ts';

/** By which it is known again in a sandbox that goes on from a snapshot. */
const execPrefix = 'start-';
/** Between two looks at whether it is ready; the first ones come sooner. */
const pauseMsMin = 20;
const pauseMsMax = 500;
const outputCharactersKept = 500;

/**
 * Starts it and waits until it is ready. Nothing happens where a sandbox that goes on from a snapshot has it still.
 * @throws CasemateError `template_not_ready` with the end of what it said, when it ends or takes too long.
 */
export async function ensureStarted(
  guest: GuestClient,
  start: StartCommand | undefined,
  { restored }: { readonly restored: boolean },
): Promise<void> {
  if (start === undefined || (restored && (await isThere(guest, start)))) return;
  const { argv, command, ready, readyTimeoutMs } = start;
  const program = await guest.execStart({
    execId: `${execPrefix}${newId(8)}`,
    ...(argv === undefined ? { command: command ?? '' } : { argv: [...argv] }),
    ...identityOf(start),
  });
  if (ready === undefined) return program.detach();
  const said = new Tail(program);
  const deadlineMs = Date.now() + readyTimeoutMs;
  try {
    for (let pauseMs = pauseMsMin; !(await isReady(guest, start, ready, deadlineMs)); pauseMs *= 1.5) {
      if (said.exitCode !== undefined && (said.exitCode !== 0 || 'port' in ready))
        throw notReady(`its start command ended with ${said.exitCode}`, said);
      if (Date.now() > deadlineMs) throw notReady(`it was not ready within ${readyTimeoutMs} ms`, said);
      await sleep(Math.min(pauseMs, pauseMsMax));
    }
  } finally {
    program.detach();
  }
}

/** One that went into the background is not among the programs any more, but what it started may be ready. */
async function isThere(guest: GuestClient, start: StartCommand): Promise<boolean> {
  const runs = (await guest.execList()).some(
    ({ execId, exited }) => execId.startsWith(execPrefix) && exited === undefined,
  );
  return (
    runs || (start.ready !== undefined && (await isReady(guest, start, start.ready, Date.now() + pauseMsMax)))
  );
}

async function isReady(
  guest: GuestClient,
  start: StartCommand,
  ready: ReadyCheck,
  deadlineMs: number,
): Promise<boolean> {
  if ('port' in ready) return listens(guest, ready.port);
  const check = await guest.execStart({
    execId: newId(),
    command: ready.command,
    timeoutMs: Math.max(deadlineMs - Date.now(), pauseMsMax),
    ...identityOf(start),
  });
  for await (const _ of check.output); // what it says is nobody's business; unread, it would stand still
  return (await check.exited)?.exitCode === 0;
}

function identityOf({ env, user, cwd }: StartCommand) {
  return { env, user, ...(cwd === undefined ? {} : { cwd }) };
}

function notReady(why: string, { text }: Tail): CasemateError {
  const last = text.trim() === '' ? '.' : `: ${text.trim()}`;
  return new CasemateError('template_not_ready', `The template does not start: ${why}${last}`);
}

/** The end of a program's output, and its exit code when that is all. */
class Tail {
  text = '';
  exitCode: number | undefined;

  constructor(program: ExecStream) {
    void this.#follow(program).catch(() => {}); // the sandbox is gone: the next look at whether it is ready says so
  }

  async #follow(program: ExecStream): Promise<void> {
    for await (const { data } of program.output) {
      this.text = (this.text + data.toString('utf8')).slice(-outputCharactersKept);
    }
    this.exitCode = (await program.exited)?.exitCode;
  }
}

async function listens(guest: GuestClient, port: number): Promise<boolean> {
  try {
    (await guest.tcpConnect({ port })).destroy();
    return true;
  } catch (error) {
    if (error instanceof CasemateError && error.code === 'port_unreachable') return false;
    throw error;
  }
}
