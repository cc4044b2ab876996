/** A template's own program: it runs in each of its sandboxes before anybody gets one, and is ready when it listens. */
import { setTimeout as sleep } from 'node:timers/promises';
import { CasemateError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import { limits } from '../base/limits.ts';
import type { GuestClient } from '../guest/client.ts';
import type { ExecStream } from '../guest/types.ts';
import type { RootInstance } from '../rootd/protocol.ts';

type StartCommand = NonNullable<RootInstance['start']>;

/** The user that every template has. */
const startUser = 'user';
const pollMs = 25;
const outputCharactersKept = 500;

/**
 * Starts it unless it listens already, and waits until it does.
 * @throws CasemateError `template_not_ready` with the end of what it said, when it ends or takes too long.
 */
export async function ensureStarted(guest: GuestClient, start: StartCommand | undefined): Promise<void> {
  if (start === undefined || (await listens(guest, start.readyPort))) return;
  const program = await guest.execStart({
    execId: `start-${newId(8)}`,
    argv: [...start.argv],
    user: startUser,
  });
  const said = new Tail(program);
  const deadlineMs = Date.now() + limits.templateStartMsMax;
  while (!(await listens(guest, start.readyPort))) {
    if (said.ended || Date.now() > deadlineMs) {
      program.detach();
      const what = said.ended ? 'ended' : `does not listen on port ${start.readyPort}`;
      throw new CasemateError('template_not_ready', `The template's start command ${what}: ${said.text}`);
    }
    await sleep(pollMs);
  }
  program.detach();
}

/** The end of a program's output, and whether that is all. */
class Tail {
  text = '';
  ended = false;

  constructor(program: ExecStream) {
    void this.#follow(program).catch(() => {}); // the sandbox is gone: the next look at its port says so
  }

  async #follow(program: ExecStream): Promise<void> {
    for await (const { data } of program.output) {
      this.text = (this.text + data.toString('utf8')).slice(-outputCharactersKept);
    }
    this.ended = true;
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
