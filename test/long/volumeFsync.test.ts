/** What was acknowledged survives the host: the store lies on a device of its own, which is copied at that moment. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Sandbox } from '../../sdk/typescript/src/index.ts';
import { missingForServer, startServer, stopProcess, type TestServer } from '../system/server.ts';

const run = (...argv: [string, ...string[]]): string =>
  execFileSync(argv[0], argv.slice(1), { encoding: 'utf8' }).trim();

/** Flushes one file and not the other, says so, and goes on living, so that nothing is flushed by its end. */
const program = (name: string): string => `import os, time
def put(name, flush):
    f = os.open(name, os.O_CREAT | os.O_WRONLY, 0o644); os.write(f, b"words of %s" % name.encode())
    if flush: os.fsync(f)
d = os.open(".", os.O_RDONLY); put("flushed-${name}", True); os.fsync(d); put("unflushed-${name}", False)
print("acknowledged", flush=True); time.sleep(600)`;

describe('what was flushed to a volume', { skip: missingForServer() ?? false }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'casemate-device-'));
  const device = join(folder, 'device');
  const dataDir = join(folder, 'data');
  let server: TestServer;
  before(async () => {
    chmodSync(folder, 0o711); // the server's own user has to reach what lies in it
    run('truncate', '-s', '24G', device);
    run('mkfs.ext4', '-q', '-F', '-E', 'nodiscard,assume_storage_prezeroed=1', device);
    mkdirSync(dataDir);
    run('mount', '-o', 'loop,commit=300', device, dataDir);
    server = await startServer({ dataDir });
  });
  after(async () => {
    for await (const { id } of Sandbox.list({ url: server.url, apiKey: server.apiKey }))
      await (await Sandbox.connect(id, { url: server.url, apiKey: server.apiKey })).kill();
    await stopProcess(server.process);
    run('umount', dataDir);
    rmSync(folder, { recursive: true });
  });

  /** What a machine finds that is started with the copy: both file systems replay their journals. */
  function filesIn(copy: string, volumeId: string): Map<string, string> {
    const [outer, inner] = [join(folder, 'outer'), join(folder, 'inner')];
    for (const place of [outer, inner]) mkdirSync(place, { recursive: true });
    run('mount', '-o', 'loop', copy, outer);
    try {
      run('mount', '-o', 'loop', join(outer, 'volumes', volumeId, 'volume.img'), inner);
      try {
        const entries = readdirSync(inner, { recursive: true, withFileTypes: true });
        return new Map(
          entries
            .filter((entry) => entry.isFile())
            .map((entry) => [entry.name, readFileSync(join(entry.parentPath, entry.name), 'latin1')]),
        );
      } finally {
        run('umount', inner);
      }
    } finally {
      run('umount', outer);
      rmSync(copy);
    }
  }

  const copied = (name: string): string => {
    const copy = join(folder, `copy-${name}`);
    run('cp', '--sparse=always', device, copy);
    return copy;
  };

  for (const runtime of ['gvisor', 'qemu']) {
    it(`is in a copy of the device that is made at the acknowledgement: fsync on ${runtime}`, async (t) => {
      const known = (await server.client.runtimes.list()).find(({ name }) => name === runtime);
      if (known?.available !== true) return t.skip(`${runtime}: ${known?.reason}`);
      const volume = await server.client.volumes.create({ name: runtime, quotaMib: 64 });
      await using sbx = await Sandbox.create({
        url: server.url,
        apiKey: server.apiKey,
        template: 'python',
        runtime,
        timeoutMs: 600_000,
        volumes: [{ volume: volume.id, path: '/data' }],
      });
      const writer = await sbx.spawn(['python3', '-c', program(runtime)], { cwd: '/data' });
      for await (const { data } of writer.output()) if (Buffer.from(data).includes('acknowledged')) break;
      const files = filesIn(copied(runtime), volume.id);
      assert.equal(files.get(`flushed-${runtime}`), `words of flushed-${runtime}`);
      // The control: a copy that had everything would prove nothing.
      assert.notEqual(files.get(`unflushed-${runtime}`), `words of unflushed-${runtime}`);
    });
  }

  it('is in such a copy when the API has answered that it wrote a file', async () => {
    const volume = await server.client.volumes.create({ name: 'api', quotaMib: 64 });
    await volume.files.write('deep/file', 'words', { parents: true });
    await volume.files.write('second', 'more words');
    const files = filesIn(copied('api'), volume.id);
    assert.deepEqual([files.get('file'), files.get('second')], ['words', 'more words']);
  });
});
