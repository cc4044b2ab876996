/** A template's start command: waited for, not started twice, and its last words told when it fails. */
import assert from 'node:assert/strict';
import { Duplex } from 'node:stream';
import { it } from 'node:test';
import { CasemateError } from '../base/errors.ts';
import type { GuestClient } from '../guest/client.ts';
import type { ExecStartParams } from '../guest/types.ts';
import { ensureStarted } from './startCommand.ts';
import type { StartCommand } from './types.ts';

/** The calls that are made, of a sandbox that is ready at the given look. */
function guestWith(options: { readyAtLook: number; says?: string; endsWith?: number; runs?: boolean }) {
  let looks = 0;
  const started: ExecStartParams[] = [];
  const look = (): boolean => {
    looks += 1;
    return looks >= options.readyAtLook;
  };
  const ended = (exitCode: number, says = '') => ({
    output: outputOf(says),
    exited: Promise.resolve({ exitCode }),
    detach() {},
  });
  const calls = {
    tcpConnect: async () => {
      if (!look()) throw new CasemateError('port_unreachable', 'nobody listens');
      return new Duplex({ read() {}, write() {} });
    },
    execList: async () => (options.runs === true ? [{ execId: 'start-12345678' }] : []),
    execStart: async (params: ExecStartParams) => {
      if (params.command === 'check') return ended(look() ? 0 : 1);
      started.push(params);
      if (options.endsWith !== undefined) return ended(options.endsWith, options.says);
      return { output: outputOf(undefined), exited: new Promise(() => {}), detach() {} };
    },
  };
  return { guest: calls as unknown as GuestClient, started };
}

async function* outputOf(text: string | undefined) {
  if (text === undefined) await new Promise(() => {}); // it runs and says nothing
  yield { channel: 'stderr' as const, data: Buffer.from(text ?? '') };
}

const shipped: StartCommand = {
  argv: ['server'],
  ready: { port: 4000 },
  readyTimeoutMs: 10_000,
  env: {},
  user: 'user',
};
const own: StartCommand = {
  command: 'server',
  ready: { command: 'check' },
  readyTimeoutMs: 10_000,
  env: { A: 'b' },
  user: 'app',
  cwd: '/app',
};
const fresh = { restored: false };

for (const start of [shipped, own])
  it(`waits until ${start.user}'s is ready`, async () => {
    const { guest, started } = guestWith({ readyAtLook: 4 });
    await ensureStarted(guest, start, fresh);
    assert.equal(started.length, 1);
    const { env, user, cwd } = start;
    assert.deepEqual(
      { env: started[0]?.env, user: started[0]?.user, cwd: started[0]?.cwd },
      { env, user, cwd },
    );
  });

it('starts a fresh one though its check succeeds at once, and none where the template has none', async () => {
  const { guest, started } = guestWith({ readyAtLook: 1 });
  await ensureStarted(guest, own, fresh);
  await ensureStarted(guest, undefined, fresh);
  assert.equal(started.length, 1);
});

it('does not start again what a snapshot has kept, and starts what it has not', async () => {
  const withoutCheck: StartCommand = { command: 'server', readyTimeoutMs: 1, env: {}, user: 'app' };
  const runs = guestWith({ readyAtLook: Number.POSITIVE_INFINITY, runs: true });
  const inBackground = guestWith({ readyAtLook: 1 });
  const filesOnly = guestWith({ readyAtLook: 3 });
  await ensureStarted(runs.guest, withoutCheck, { restored: true });
  await ensureStarted(inBackground.guest, own, { restored: true });
  await ensureStarted(filesOnly.guest, own, { restored: true });
  assert.deepEqual(
    [runs, inBackground, filesOnly].map(({ started }) => started.length),
    [0, 0, 1],
  );
});

it('tells the last words of one that ended', async () => {
  const never = Number.POSITIVE_INFINITY;
  const failed = guestWith({ readyAtLook: never, says: 'no kernel', endsWith: 2 });
  const expected = { code: 'template_not_ready', message: /ended with 2: no kernel$/ };
  await assert.rejects(ensureStarted(failed.guest, own, fresh), expected);
  const gone = guestWith({ readyAtLook: never, endsWith: 0 });
  await assert.rejects(ensureStarted(gone.guest, shipped, fresh), { message: /ended with 0\.$/ });
  const late = guestWith({ readyAtLook: never });
  await assert.rejects(ensureStarted(late.guest, { ...own, readyTimeoutMs: 30 }, fresh), {
    message: /not ready within 30 ms/,
  });
});
