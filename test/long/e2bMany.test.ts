/** E2B's SDK in bulk: a hundred sandboxes at once, and a thousand one after the other that leave nothing. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ConnectionOpts, Sandbox } from 'e2b';
import { residentBytes, serverPid, tracesOf } from '../system/host.ts';
import { missingForServer, startServer, type TestServer } from '../system/server.ts';

const together = 100;
const cycles = 1000;
const lanes = 4;
const warmUp = 100;
/** More than a cache that fills up, less than 50 kB a sandbox. */
const growthBytesMax = 50 * 1024 * 1024;
const handlesMax = 50;

describe('E2B’s sandboxes in bulk', { skip: missingForServer() ?? false }, () => {
  let server: TestServer;
  let options: ConnectionOpts;
  before(async () => {
    server = await startServer();
    const apiKey = server.apiKey.replace('casemate_', 'e2b_');
    options = { apiUrl: server.url, sandboxUrl: server.url, apiKey, requestTimeoutMs: 300_000 };
  });
  after(() => server.close());

  it(`starts ${together} at once`, async () => {
    const made = await Promise.allSettled(
      Array.from({ length: together }, async () => {
        const sandbox = await Sandbox.create({ ...options, timeoutMs: 600_000 });
        const { stdout } = await sandbox.commands.run('echo $E2B_SANDBOX_ID', { timeoutMs: 300_000 });
        assert.equal(stdout.trim(), sandbox.sandboxId);
        return sandbox;
      }),
    );
    const failed = made.flatMap((one) => (one.status === 'rejected' ? [String(one.reason)] : []));
    assert.deepEqual(failed, []);
    await Promise.all(made.map((one) => (one.status === 'fulfilled' ? one.value.kill() : undefined)));
  });

  it(`leaves nothing of ${cycles} that were made and killed`, async (test) => {
    const pid = serverPid(server.process.pid ?? 0);
    await cycle(warmUp);
    await sleep(5000);
    const before = measure(pid);
    await cycle(cycles);
    await sleep(5000);
    const end = measure(pid);
    test.diagnostic(`memory ${before.bytes} → ${end.bytes}, handles ${before.handles} → ${end.handles}`);
    assert.ok(end.bytes - before.bytes < growthBytesMax, `${before.bytes} → ${end.bytes} bytes`);
    assert.ok(end.handles - before.handles < handlesMax, `${before.handles} → ${end.handles} handles`);
    assert.deepEqual(end.traces, before.traces);
  });

  async function cycle(number: number): Promise<void> {
    let left = number;
    const lane = async (): Promise<void> => {
      while (left > 0) {
        left -= 1;
        const sandbox = await Sandbox.create(options);
        await sandbox.commands.run('true');
        assert.equal(await sandbox.kill(), true);
      }
    };
    await Promise.all(Array.from({ length: lanes }, lane));
  }

  function measure(pid: number): { bytes: number; handles: number; traces: object } {
    const handles = readdirSync(`/proc/${pid}/fd`).length;
    return { bytes: residentBytes(pid), handles, traces: tracesOf(server.dataDir) };
  }
});
