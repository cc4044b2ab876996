/** Runs the command that a template's sandboxes start with, and waits until it is ready. */
import { setTimeout as sleep } from 'node:timers/promises';
import { CasemateError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import type { GuestClient } from '../guest/client.ts';
import type { StartCommand } from './types.ts';

/** Between two ready checks; the first ones come sooner. */
const pauseMsMax = 500;

/** @throws CasemateError `template_not_ready` when it ends with an error, or is not ready in time. */
export async function runStart(guest: GuestClient, start: StartCommand): Promise<void> {
  const { env, user, cwd, readyTimeoutMs } = start;
  const as = { env, user, ...(cwd === undefined ? {} : { cwd }) };
  const started = await guest.execStart({ execId: newId(), command: start.command, ...as });
  const ended = started.exited.then((exit) => exit?.exitCode);
  let exitCode: number | undefined;
  void ended.then((code) => {
    exitCode = code;
  });
  if (start.ready === undefined) return started.detach();
  const deadlineMs = Date.now() + readyTimeoutMs;
  for (let pauseMs = 20; Date.now() < deadlineMs; pauseMs = Math.min(pauseMs * 2, pauseMsMax)) {
    const left = deadlineMs - Date.now();
    const check = await guest.execStart({ execId: newId(), command: start.ready, timeoutMs: left, ...as });
    for await (const _ of check.output); // what it says is nobody's business; unread, it would stand still
    if ((await check.exited)?.exitCode === 0) return started.detach();
    if (exitCode !== undefined && exitCode !== 0) throw notReady(`its start command ended with ${exitCode}`);
    await sleep(pauseMs);
  }
  throw notReady(`its ready check did not succeed within ${readyTimeoutMs} ms`);
}

function notReady(why: string): CasemateError {
  return new CasemateError('template_not_ready', `The template does not start: ${why}.`);
}
