/** What a sandbox used over time, told by our SDK and by E2B's, old and new; asking wakes nothing. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Sandbox as NewestE2b } from 'e2b';
import { Sandbox as OlderE2b } from 'e2b-a-year-ago';
import { Sandbox, type UsageSample } from '../../sdk/typescript/src/index.ts';
import { standsStill } from './host.ts';
import { pythonWith, run, scriptArgv } from './python.ts';
import { missingForServer, startServer, type TestServer } from './server.ts';

const waitMsMax = 60_000;
const script = fileURLToPath(new URL('e2b_python/usage_checks.py', import.meta.url));

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const endMs = Date.now() + waitMsMax; !(await holds()); await sleep(250))
    assert.ok(Date.now() < endMs, `not within ${waitMsMax} ms`);
}

describe('what a sandbox used', { skip: missingForServer() ?? false }, () => {
  let server: TestServer;
  let sandbox: Sandbox;
  /** Those that were kept while a program was busy. */
  let kept: UsageSample[];
  before(async () => {
    server = await startServer();
    const { url, apiKey } = server;
    sandbox = await Sandbox.create({ url, apiKey, timeoutMs: 600_000 });
  });
  after(() => server?.close());

  it('is kept while it runs', async () => {
    assert.equal((await sandbox.metricsHistory()).length, 1, 'one of now, of a new one');
    const busy = await sandbox.spawn('while :; do :; done');
    await until(async () => (await sandbox.metricsHistory()).length >= 3);
    kept = (await sandbox.metricsHistory()).slice(0, -1);
    const [first, second] = kept.map(({ at }) => Date.parse(at));
    assert.ok((second ?? 0) - (first ?? 0) > 3000, 'samples are some seconds apart');
    const [{ cpuPercent, ...last } = assert.fail('nothing was kept')] = kept.slice(-1);
    assert.ok(cpuPercent > 10 && cpuPercent < 200, `${cpuPercent} % of a busy one`);
    assert.ok(last.memoryBytes > 0 && last.pids > 0 && last.diskLimitBytes === 2048 * 1024 * 1024);
    await busy.kill();
  });

  it('is told of one that stands still, and lets it stand', async () => {
    const still = (): boolean => standsStill(server.dataDir, sandbox.id);
    const gvisor = (await server.client.runtimes.list()).find(({ name }) => name === 'gvisor');
    const comesToStand = gvisor?.capabilities?.idle === 'restless'; // newer ones sleep by themselves
    if (comesToStand) await until(still);
    const options = { apiUrl: server.url, apiKey: server.apiKey.replace('casemate_', 'e2b_') };
    const [{ at } = assert.fail('nothing was kept')] = kept;
    const second = new Date(Math.floor(Date.parse(at) / 1000) * 1000);
    const samples = await NewestE2b.getMetrics(sandbox.id, { ...options, start: second, end: second });
    assert.deepEqual(
      samples.map(({ timestamp, memTotal }) => [timestamp.toISOString(), memTotal]),
      [[at, 512 * 1024 * 1024]],
    );
    const all = await OlderE2b.getMetrics(sandbox.id, options); // it does not send a window
    assert.ok(all.length > kept.length, `${all.length} samples`);
    assert.deepEqual(
      await sandbox.metricsHistory({ start: new Date(at), end: new Date(at) }),
      kept.slice(0, 1),
    );
    assert.equal(still(), comesToStand, 'it was woken');
  });

  for (const version of ['2.63.0', '2.8.1']) {
    it(`is told to E2B’s SDK for Python at version ${version}`, async (test) => {
      const python = await pythonWith(`e2b-python-${version}`, [`e2b==${version}`]);
      if (python.missing !== undefined) return test.skip(python.missing);
      const { code, output } = await run(python.path, scriptArgv(script), {
        E2B_API_URL: server.url,
        E2B_API_KEY: server.apiKey.replace('casemate_', 'e2b_'),
        SANDBOX: sandbox.id,
        AT: kept[0]?.at ?? '',
      });
      assert.equal(code, 0, output);
    });
  }

  it('is there while it is paused, and gone when it has ended', async () => {
    await sandbox.pause();
    const items = await sandbox.metricsHistory();
    assert.deepEqual(items.slice(0, kept.length), kept);
    assert.equal((await sandbox.info()).state, 'paused');
    await sandbox.kill();
    assert.deepEqual(await sandbox.metricsHistory(), []);
  });
});
