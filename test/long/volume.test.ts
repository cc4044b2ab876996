/** Much data through the server: nothing is lost or reordered, and the server's memory does not grow with it. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Sandbox } from '../../sdk/typescript/src/index.ts';
import { residentBytes, serverPid } from '../system/host.ts';
import { missingForServer, startServer, type TestServer } from '../system/server.ts';

const mib = 1024 * 1024;
const growthBytesMax = 32 * mib;

describe('much data', { skip: missingForServer() ?? false }, () => {
  let server: TestServer;
  before(async () => {
    server = await startServer();
  });
  after(() => server.close());

  /** By how much the server's resident memory grew at most while `work` ran, in bytes. */
  async function growth(work: () => Promise<void>): Promise<number> {
    const pid = serverPid(server.process.pid ?? 0);
    const before = residentBytes(pid);
    let highest = before;
    const timer = setInterval(() => {
      highest = Math.max(highest, residentBytes(pid));
    }, 20);
    await work().finally(() => clearInterval(timer));
    return highest - before;
  }

  it('streams 256 MiB up and down', async () => {
    await using sbx = await Sandbox.create({ url: server.url, apiKey: server.apiKey, timeoutMs: 600_000 });
    const piece = new Uint8Array(mib).fill(120);
    const grown = await growth(async () => {
      await sbx.files.write(
        'big',
        (async function* () {
          for (let sent = 0; sent < 256; sent += 1) yield piece;
        })(),
      );
      let read = 0;
      for await (const part of await sbx.files.read('big', { format: 'stream' })) read += part.length;
      assert.equal(read, 256 * mib);
    });
    assert.ok(grown < growthBytesMax, `the server grew by ${grown / mib} MiB`);
  });

  it('hands 1 GiB of stdout to a slow reader, whole and in order', async () => {
    await using sbx = await Sandbox.create({
      url: server.url,
      apiKey: server.apiKey,
      template: 'python',
      timeoutMs: 900_000,
    });
    // Every 8 bytes are their own number: a lost or a swapped piece shows at once.
    const program = `import sys, struct
for block in range(1024):
    sys.stdout.buffer.write(b"".join(struct.pack(">Q", block * 131072 + i) for i in range(131072)))`;
    const child = await sbx.spawn(['python3', '-c', program]);
    let next = 0n;
    let rest = Buffer.alloc(0);
    let received = 0;
    let pieces = 0;
    const grown = await growth(async () => {
      for await (const { data } of child.output()) {
        received += data.length;
        const bytes = Buffer.concat([rest, data]);
        const whole = bytes.length - (bytes.length % 8);
        for (let at = 0; at < whole; at += 8) {
          if (bytes.readBigUInt64BE(at) !== next)
            assert.fail(`byte ${next * 8n}: another number stands there`);
          next += 1n;
        }
        rest = bytes.subarray(whole);
        pieces += 1;
        if (pieces % 64 === 0) await sleep(2);
      }
    });
    assert.equal(received, 1024 * mib);
    assert.equal(child.exit?.exitCode, 0);
    assert.ok(grown < growthBytesMax, `the server grew by ${grown / mib} MiB`);
  });
});
