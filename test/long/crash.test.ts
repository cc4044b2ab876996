/** kill -9 at random moments under load: what ran goes on, and nothing is orphaned. */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Sandbox, type SandboxProcess } from '../../sdk/typescript/src/index.ts';
import { noTraces, tracesOf } from '../system/host.ts';
import { missingForServer, startServer, stopProcess, type TestServer } from '../system/server.ts';

const rounds = 20;
const counters = 4;
const counting = 'i=0; while true; do i=$((i+1)); echo $i > count; sleep 0.05; done';

describe('a server that is killed again and again', { skip: missingForServer() ?? false }, () => {
  let server: TestServer;
  before(async () => {
    server = await startServer({ pools: ['base=2'] });
  });
  after(() => server.close());

  const connection = (): { url: string; apiKey: string } => ({ url: server.url, apiKey: server.apiKey });

  /** The file is empty for the moment in which the shell writes it. */
  async function countOf(sbx: Sandbox): Promise<number> {
    for (let round = 0; round < 20; round += 1) {
      const text = (await sbx.exec(['cat', '/home/user/count'])).stdout;
      if (text !== '') return Number(text);
    }
    throw new Error('the counter is never there');
  }

  /** Creates, runs and kills until it is told to stop; what the crash cuts off is no failure of it. */
  async function load(running: { on: boolean }): Promise<void> {
    while (running.on) {
      try {
        await using sbx = await Sandbox.create({ ...connection(), metadata: { for: 'load' } });
        await sbx.exec(['true']);
      } catch {
        await sleep(20);
      }
    }
  }

  it(`survives ${rounds} crashes of everything`, async () => {
    const kept: { id: string; execId: string; count: number }[] = [];
    for (let number = 0; number < counters; number += 1) {
      const sbx = await Sandbox.create({ ...connection(), timeoutMs: 3_600_000 });
      const child: SandboxProcess = await sbx.spawn(counting);
      await child.detach();
      kept.push({ id: sbx.id, execId: child.execId, count: 0 });
    }
    for (let round = 0; round < rounds; round += 1) {
      const running = { on: true };
      const loads = [load(running), load(running)];
      await sleep(randomInt(200, 1500));
      const { process: crashed, dataDir } = server;
      const gone = new Promise((resolve) => crashed.once('exit', resolve));
      process.kill(-(crashed.pid ?? 0), 'SIGKILL');
      await gone;
      running.on = false;
      await Promise.all(loads);
      server = await startServer({ dataDir, pools: ['base=2'] });
      for (const keeper of kept) {
        const sbx = await Sandbox.connect(keeper.id, connection());
        const count = await countOf(sbx);
        assert.ok(
          count > keeper.count,
          `round ${round}: the counter stands at ${count}, it was ${keeper.count}`,
        );
        keeper.count = count;
        const attached = await sbx.attach(keeper.execId);
        await attached.detach();
      }
    }
    for await (const { id } of Sandbox.list(connection())) {
      await (await Sandbox.connect(id, connection())).kill();
    }
    await stopProcess(server.process);
    assert.deepEqual(tracesOf(server.dataDir), noTraces);
    server = await startServer({ dataDir: server.dataDir });
  });
});
