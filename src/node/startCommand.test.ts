/** A template's start command: waited for, not started twice, and its last words told when it fails. */
import assert from 'node:assert/strict';
import { Duplex } from 'node:stream';
import { it } from 'node:test';
import { CasemateError } from '../base/errors.ts';
import type { GuestClient } from '../guest/client.ts';
import { ensureStarted } from './startCommand.ts';

/** The two calls that are made, of a sandbox whose port opens at the given look. */
function guestWith(options: { opensAtLook: number; says?: string }): { guest: GuestClient; starts: number } {
  let looks = 0;
  const seen = { starts: 0 };
  const calls = {
    tcpConnect: async () => {
      looks += 1;
      if (looks < options.opensAtLook) throw new CasemateError('port_unreachable', 'nobody listens');
      return new Duplex({ read() {}, write() {} });
    },
    execStart: async () => {
      seen.starts += 1;
      return { output: outputOf(options.says), detach() {} };
    },
  };
  return Object.assign(seen, { guest: calls as unknown as GuestClient });
}

async function* outputOf(text: string | undefined) {
  if (text === undefined) await new Promise(() => {}); // it runs and says nothing
  yield { channel: 'stderr' as const, data: Buffer.from(text ?? '') };
}

const start = { argv: ['server'], readyPort: 4000 };

it('waits until the port is open', async () => {
  const sandbox = guestWith({ opensAtLook: 4 });
  await ensureStarted(sandbox.guest, start);
  assert.equal(sandbox.starts, 1);
});

it('starts nothing where it runs already, or where the template has none', async () => {
  const sandbox = guestWith({ opensAtLook: 1 });
  await ensureStarted(sandbox.guest, start);
  await ensureStarted(sandbox.guest, undefined);
  assert.equal(sandbox.starts, 0);
});

it('tells the last words of one that ended', async () => {
  const sandbox = guestWith({ opensAtLook: Number.POSITIVE_INFINITY, says: 'no kernel' });
  await assert.rejects(ensureStarted(sandbox.guest, start), /template_not_ready|ended: no kernel/);
});
