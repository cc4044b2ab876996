/** kill -9 of the server and of the runtimes in the middle of writes to volumes: what was acknowledged is there, nothing is left over. */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Sandbox } from '../../sdk/typescript/src/index.ts';
import { noTraces, processesNaming, tracesOf } from '../system/host.ts';
import { missingForServer, startServer, stopProcess, type TestServer } from '../system/server.ts';

const rounds = 20;

/** Writes files of 64 KiB, each flushed, and says of each when it is. */
const writing = `import os, sys
n = 0
while True:
    f = os.open("%s-%d" % (sys.argv[1], n), os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644)
    os.write(f, (b"%08d" % n) * 8192); os.fsync(f); os.close(f)
    print(n, flush=True); n += 1`;

describe('volumes under a server and runtimes that are killed', { skip: missingForServer() ?? false }, () => {
  let server: TestServer;
  before(async () => {
    server = await startServer();
  });
  after(() => server.close());
  const connection = (): { url: string; apiKey: string } => ({ url: server.url, apiKey: server.apiKey });

  it(`keep what was acknowledged over ${rounds} crashes, and leave nothing`, async () => {
    await server.client.volumes.create({ name: 'lasting', quotaMib: 256 });
    const acknowledged = new Map<string, number>();
    for (let round = 0; round < rounds; round += 1) {
      const volume = await server.client.volumes.get('lasting');
      const sbx = await Sandbox.create({
        ...connection(),
        template: 'python',
        volumes: [{ volume: 'lasting', path: '/data' }],
      });
      const inside = (async (): Promise<void> => {
        const writer = await sbx.spawn(['python3', '-c', writing, `r${round}`], { cwd: '/data' });
        for await (const { data } of writer.output())
          for (const n of Buffer.from(data).toString().trim().split('\n'))
            acknowledged.set(`r${round}-${n}`, Number(n));
      })().catch(() => {});
      const outside = (async (): Promise<void> => {
        for (let n = 0; ; n += 1) {
          await volume.files.write(
            `api${round}-${n % 50}`,
            String(n % 50)
              .padStart(8, '0')
              .repeat(8192),
          );
          acknowledged.set(`api${round}-${n % 50}`, n % 50);
        }
      })().catch(() => {});
      await sleep(randomInt(300, 1500));
      const { process: crashed, dataDir } = server;
      const gone = new Promise((resolve) => crashed.once('exit', resolve));
      // Every second time the runtimes as well, and first.
      if (round % 2 === 0)
        for (const pid of processesNaming(join(dataDir, 'sandboxes'))) process.kill(pid, 'SIGKILL');
      process.kill(-(crashed.pid ?? 0), 'SIGKILL');
      await gone;
      await Promise.all([inside, outside]);
      server = await startServer({ dataDir });
      for await (const { id } of Sandbox.list(connection()))
        await (await Sandbox.connect(id, connection())).kill();
      const again = await server.client.volumes.get('lasting');
      const entries = await again.files.list('/');
      assert.ok(acknowledged.size > 0, 'something was written');
      for (const [name, n] of acknowledged) {
        const text = await again.files.read(name);
        assert.equal(text, String(n).padStart(8, '0').repeat(8192), `round ${round}: ${name}`);
      }
      assert.ok(!entries.some(({ name }) => name.startsWith('.casemate')), 'half an upload is left');
      // Another round has its own files: the volume does not fill.
      for (const { name } of entries) await again.files.remove(name);
      acknowledged.clear();
    }
    await server.client.volumes.remove('lasting');
    await stopProcess(server.process);
    assert.deepEqual(tracesOf(server.dataDir), noTraces);
    assert.deepEqual(readdirSync(join(server.dataDir, 'volumes')), []);
    server = await startServer({ dataDir: server.dataDir });
  });
});
