/** E2B's SDKs on sandboxes that are paused, resumed, written down and forked, with a restart of the server in between. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ConnectionOpts, Sandbox, SandboxNotFoundError } from 'e2b';
import { Sandbox as OlderSandbox } from 'e2b-a-year-ago';
import { missingForServer, startServer, stopProcess, type TestServer } from './server.ts';

const counting = 'i=0; while true; do i=$((i+1)); echo $i >> count; sleep 0.05; done';

describe('pauses and snapshots by E2B’s SDKs', { skip: missingForServer() ?? false }, () => {
  let server: TestServer;
  let options: ConnectionOpts & { timeoutMs: number };
  before(async () => {
    server = await startServer();
    options = {
      apiUrl: server.url,
      sandboxUrl: server.url,
      apiKey: server.apiKey.replace('casemate_', 'e2b_'),
      timeoutMs: 600_000,
    };
  });
  after(() => server.close());

  async function countOf(sandbox: Sandbox | OlderSandbox): Promise<number> {
    return Number((await sandbox.commands.run('tail -n 1 count')).stdout);
  }

  it('pauses, lives through a restart of the server, and goes on where it was', async () => {
    const sandbox = await Sandbox.create(options);
    await sandbox.files.write('kept', 'words');
    const counter = await sandbox.commands.run(counting, { background: true, timeoutMs: 0 });
    await sleep(400);
    assert.equal(await sandbox.pause(), true);
    assert.equal(await sandbox.pause(), false);
    assert.equal(await sandbox.isRunning(), false);
    assert.equal((await sandbox.getInfo()).state, 'paused');
    await assert.rejects(sandbox.setTimeout(1000), SandboxNotFoundError);
    const paused = Sandbox.list({ ...options, query: { state: ['paused'] } });
    assert.deepEqual(
      (await paused.nextItems()).map(({ sandboxId, state }) => `${sandboxId} ${state}`),
      [`${sandbox.sandboxId} paused`],
    );
    await stopProcess(server.process);
    server = await startServer({ dataDir: server.dataDir, port: Number(new URL(server.url).port) });
    const again = await Sandbox.connect(sandbox.sandboxId, options);
    assert.equal(await again.files.read('kept'), 'words');
    assert.ok((await again.commands.list()).some(({ pid }) => pid === counter.pid));
    const first = await countOf(again);
    await sleep(400);
    assert.ok((await countOf(again)) > first && first > 1, 'the counter went on');
    await again.kill();
  });

  it('keeps files only, where that was asked for', async () => {
    const sandbox = await Sandbox.create(options);
    await sandbox.commands.run(counting, { background: true, timeoutMs: 0 });
    await sandbox.files.write('/dev/shm/memory', 'words');
    await sleep(400);
    await sandbox.pause({ keepMemory: false });
    await sandbox.connect();
    assert.deepEqual(await sandbox.commands.list(), []);
    assert.equal((await sandbox.commands.run('ls /dev/shm')).stdout, '');
    const count = await countOf(sandbox);
    await sleep(300);
    assert.equal(await countOf(sandbox), count);
    await sandbox.commands.run(counting, { background: true, timeoutMs: 0 });
    await sandbox.pause();
    await sandbox.connect({ onResume: 'reboot' });
    assert.deepEqual(await sandbox.commands.list(), []);
    await sandbox.kill();
  });

  it('pauses at its time limit; traffic wakes it where it was created so', async () => {
    const lifecycle = { onTimeout: 'pause', autoResume: true } as const;
    const waking = await Sandbox.create({ ...options, timeoutMs: 2000, lifecycle });
    const sleeping = await Sandbox.create({
      ...options,
      timeoutMs: 2000,
      lifecycle: { onTimeout: { action: 'pause', keepMemory: false } },
    });
    assert.deepEqual((await waking.getInfo()).lifecycle, { onTimeout: 'pause', autoResume: true });
    await waking.files.write('kept', 'words');
    for (const sandbox of [waking, sleeping]) {
      for (let round = 0; round < 200 && (await sandbox.getInfo()).state !== 'paused'; round += 1)
        await sleep(100);
      assert.equal((await sandbox.getInfo()).state, 'paused');
    }
    assert.equal(await waking.files.read('kept'), 'words');
    await waking.pause();
    const host = waking.getHost(80);
    const answer = await fetch(server.url, {
      headers: { 'e2b-sandbox-id': waking.sandboxId, 'e2b-sandbox-port': '80' },
    });
    assert.deepEqual([answer.status, host.startsWith('80-')], [502, true]);
    assert.match(await answer.text(), /port is not open/, 'it runs, and nobody listens');
    assert.equal(await sleeping.isRunning(), false);
    await Promise.all([waking.kill(), sleeping.kill()]);
  });

  it('starts any number from a snapshot, by name and by id', async () => {
    const sandbox = await Sandbox.create(options);
    await sandbox.files.write('kept', 'first');
    const first = await sandbox.createSnapshot({ name: 'e2b_named' });
    assert.deepEqual(first.names, ['e2b_named']);
    await sandbox.files.write('kept', 'second');
    const second = await sandbox.createSnapshot({ name: 'e2b_named' });
    assert.equal(second.snapshotId, first.snapshotId, 'the name goes on with the newer one');
    const unnamed = await Sandbox.createSnapshot(sandbox.sandboxId, options);
    const taken = await sandbox.listSnapshots().nextItems();
    assert.deepEqual(
      taken.map(({ snapshotId }) => snapshotId),
      [unnamed.snapshotId, second.snapshotId],
    );
    const named = await Sandbox.listSnapshots({ ...options, name: 'e2b_named' }).nextItems();
    assert.equal(named.length, 1);
    const children = await Promise.all(
      [second, second, unnamed].map(({ snapshotId }) => Sandbox.create(snapshotId, options)),
    );
    for (const child of children) assert.equal(await child.files.read('kept'), 'second');
    for (const { snapshotId } of [second, unnamed]) {
      assert.equal(await Sandbox.deleteSnapshot(snapshotId, options), true);
      assert.equal(await Sandbox.deleteSnapshot(snapshotId, options), false);
    }
    await assert.rejects(Sandbox.create(second.snapshotId, options), /e2b_named/);
    await Promise.all([sandbox, ...children].map((one) => one.kill()));
  });

  it('forks', async () => {
    const sandbox = await Sandbox.create(options);
    await sandbox.files.write('kept', 'words');
    const children = await sandbox.fork({ count: 2, timeoutMs: 60_000 });
    assert.equal(children.length, 2);
    for (const child of children) {
      assert.ok(child instanceof Sandbox, String(child));
      assert.equal(await child.files.read('kept'), 'words');
      const { endAt } = await child.getInfo();
      assert.ok(endAt.getTime() - Date.now() < 65_000);
      await child.kill();
    }
    await sandbox.kill();
    await assert.rejects(sandbox.fork(), SandboxNotFoundError);
  });

  it('lists the oldest first too, and those that started later', async () => {
    const one = await Sandbox.create({ ...options, metadata: { of: 'order' } });
    const between = new Date((await one.getInfo()).startedAt.getTime() + 1);
    const two = await Sandbox.create({ ...options, metadata: { of: 'order' } });
    const ids = async (more: object): Promise<string[]> => {
      const query = { metadata: { of: 'order' }, ...more };
      const pages = Sandbox.list({ ...options, limit: 1, order: 'asc', query });
      const found: string[] = [];
      while (pages.hasNext) found.push(...(await pages.nextItems()).map(({ sandboxId }) => sandboxId));
      return found;
    };
    assert.deepEqual(await ids({}), [one.sandboxId, two.sandboxId]);
    assert.deepEqual(await ids({ startedAfter: between }), [two.sandboxId]);
    await Promise.all([one.kill(), two.kill()]);
  });

  it('tells what happened to a sandbox', async () => {
    const sandbox = await Sandbox.create(options);
    await sandbox.pause();
    await sandbox.connect();
    await sandbox.kill();
    const ask = async (path: string): Promise<{ type: string; sandboxId: string }[]> => {
      const response = await fetch(`${server.url}${path}`, {
        headers: { 'x-api-key': options.apiKey ?? '' },
      });
      assert.equal(response.status, 200);
      return (await response.json()) as { type: string; sandboxId: string }[];
    };
    const told = await ask(`/events/sandboxes/${sandbox.sandboxId}?orderAsc=true`);
    const words = ['created', 'paused', 'resumed', 'killed'].map((word) => `sandbox.lifecycle.${word}`);
    assert.deepEqual(
      told.map(({ type }) => type),
      words,
    );
    const [last] = await ask('/events/sandboxes?limit=1&types=sandbox.lifecycle.killed');
    assert.deepEqual([last?.type, last?.sandboxId], ['sandbox.lifecycle.killed', sandbox.sandboxId]);
    assert.equal((await ask('/teams')).length, 1);
  });

  it('pauses and comes back as a year ago', async () => {
    const sandbox = await OlderSandbox.betaCreate({ ...options, autoPause: true });
    await sandbox.files.write('kept', 'words');
    assert.equal(await sandbox.betaPause(options), true);
    assert.equal(await sandbox.betaPause(options), false);
    const again = await OlderSandbox.connect(sandbox.sandboxId, options);
    assert.equal(await again.files.read('kept'), 'words');
    await again.kill();
  });
});
