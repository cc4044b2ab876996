/** Volumes on virtual machines: given to a clone when it is claimed, bounded, and there again after all that can happen. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type CreateOptions, Sandbox, type VolumeMount } from '../../sdk/typescript/src/index.ts';
import { missingForServer, startServer, type TestServer } from '../system/server.ts';

describe('volumes of virtual machines', { skip: missingForServer() ?? false }, () => {
  let server: TestServer;
  before(async () => {
    server = await startServer({ pools: ['base@qemu=1'] });
  });
  after(() => server.close());

  const create = (volumes: VolumeMount[], options: CreateOptions = {}): Promise<Sandbox> =>
    Sandbox.create({
      url: server.url,
      apiKey: server.apiKey,
      timeoutMs: 600_000,
      runtime: 'qemu',
      volumes,
      ...options,
    });
  const run = async (sbx: Sandbox, command: string, user?: string): Promise<string> => {
    const { stdout, stderr, exitCode } = await sbx.exec(command, user === undefined ? {} : { user });
    return exitCode === 0 ? stdout.trim() : `exit ${exitCode}: ${stderr.trim()}`;
  };

  it('come to a warm clone, with what a gVisor sandbox and the API wrote, within their quota', async () => {
    const volume = await server.client.volumes.create({ name: 'kept', quotaMib: 32 });
    for (let round = 0; round < 1200; round += 1) {
      if ((await server.client.pools.list()).some(({ ready }) => ready > 0)) break;
      await sleep(100);
    }
    await using other = await create([{ volume: 'kept', path: '/data' }], { runtime: 'gvisor' });
    await run(other, 'mkdir -p /data/part && echo from gvisor > /data/part/file');
    await volume.files.write('api', 'from the API');
    await using sbx = await create([
      { volume: 'kept', path: '/data' },
      { volume: 'kept', path: '/fixed', subpath: 'part', readOnly: true },
    ]);
    assert.equal((await sbx.info()).source, 'warm');
    assert.equal(await run(sbx, 'cat /data/api /data/part/file'), 'from the APIfrom gvisor');
    // By the agent, which carries the volume's requests itself.
    await sbx.files.write('/data/whole', 'by the agent');
    await sbx.files.write('/data/whole', 'by the agent again');
    assert.equal(await sbx.files.read('/data/whole'), 'by the agent again');
    await assert.rejects(sbx.files.list('/data/whole'), { code: 'file_not_found' });
    assert.ok((await sbx.files.list('/data')).some(({ name }) => name === 'whole'));
    assert.equal(await run(sbx, 'id -un && echo mine > /data/mine && stat -c %U /data/mine'), 'user\nuser');
    assert.equal(await run(other, 'cat /data/mine && stat -c %U /data/mine'), 'mine\nuser');
    assert.match(await run(sbx, 'ls /fixed; echo x > /fixed/file', 'root'), /Read-only/);
    assert.match(await run(sbx, 'mount -o remount,rw /fixed; echo x > /fixed/file', 'root'), /Read-only/);
    const full = 'dd if=/dev/zero of=/data/big bs=128k count=400; stat -c %s /data/big; rm /data/big';
    const { stdout, stderr } = await sbx.exec(full);
    assert.match(stderr, /No space left/);
    assert.ok(Number(stdout) < 32 * 1024 * 1024);
    await assert.rejects(volume.remove(), { code: 'conflict' });
  });

  it('are there again after a crash of the server, a pause and a fork, with open files', async () => {
    await server.client.volumes.create({ name: 'shared', quotaMib: 32 });
    const sbx = await create([{ volume: 'shared', path: '/data' }]);
    const writing =
      'mkdir -p /data/a/b; cd /data/a/b; exec 7>>log; while :; do echo line >&7; sleep 0.2; done';
    await (await sbx.spawn(writing)).detach();
    await sleep(1000);
    const grows = async (box: Sandbox, what: string): Promise<void> => {
      const lines = Number(await run(box, 'wc -l < /data/a/b/log'));
      await sleep(2000);
      assert.ok(Number(await run(box, 'wc -l < /data/a/b/log')) > lines, what);
    };
    const { process: crashed, dataDir } = server;
    const gone = new Promise((resolve) => crashed.once('exit', resolve));
    process.kill(-(crashed.pid ?? 0), 'SIGKILL');
    await gone;
    server = await startServer({ dataDir });
    const again = await Sandbox.connect(sbx.id, { url: server.url, apiKey: server.apiKey });
    await grows(again, 'after a crash');
    await again.pause();
    await assert.rejects(server.client.volumes.remove('shared'), { code: 'conflict' });
    await again.resume();
    await grows(again, 'after a pause');
    const [child] = await again.fork(1);
    assert.ok(child instanceof Sandbox, String(child));
    assert.equal(await run(child, 'echo child > /data/child && cat /data/child'), 'child');
    assert.equal(await run(again, 'cat /data/child'), 'child');
    await grows(again, 'after a fork');
    await child.kill();
    await again.kill();
  });
});
