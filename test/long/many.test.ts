/** Many sandboxes at once, each answering; and a neighbour's answers while hostile programs run next door. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { hostilePrograms, sourceOf } from '../../attack/programs.ts';
import { Sandbox } from '../../sdk/typescript/src/index.ts';
import { missingForServer, startServer, type TestServer } from '../system/server.ts';

const many = 200;
/** On two cores a neighbour that takes one of them is felt; more than this is too much. */
const slowdownMax = 3;
const samples = 100;

describe('many sandboxes', { skip: missingForServer() ?? false }, () => {
  let server: TestServer;
  before(async () => {
    server = await startServer();
  });
  after(() => server.close());

  const create = (options: object = {}): Promise<Sandbox> =>
    Sandbox.create({ url: server.url, apiKey: server.apiKey, timeoutMs: 3_600_000, ...options });

  it(`keeps ${many} live at once, each answering`, async () => {
    const live: Sandbox[] = [];
    for (let number = 0; number < many; number += 1) live.push(await create());
    for (const [number, sbx] of live.entries()) {
      assert.equal((await sbx.exec(['echo', String(number)])).stdout, `${number}\n`);
    }
    await Promise.all(live.map((sbx) => sbx.kill()));
  });

  for (const name of ['forkBomb', 'memoryHog', 'diskFill', 'emptyFiles', 'outputFlood'] as const) {
    it(`lets a neighbour answer next to: ${hostilePrograms[name].name}`, async (test) => {
      await using neighbour = await create();
      const answerMs = async (): Promise<number> => {
        const from = performance.now();
        await neighbour.exec(['true']);
        return performance.now() - from;
      };
      const p99 = async (): Promise<number> => {
        const times: number[] = [];
        for (let round = 0; round < samples; round += 1) times.push(await answerMs());
        return times.sort((a, b) => a - b)[Math.ceil(samples * 0.99) - 1] ?? Number.NaN;
      };
      await p99(); // caches
      const alone = await p99();
      const sbx = await create({ template: 'python', limits: { memoryMib: 384, diskMib: 128 } });
      await sbx.files.write('hostile.py', await sourceOf(hostilePrograms[name]));
      const child = await sbx.spawn(['python3', 'hostile.py'], { timeoutMs: 60_000 });
      await child.detach();
      await sleep(200);
      const beside = await p99();
      await sbx.kill();
      test.diagnostic(`p99 alone ${alone.toFixed(1)} ms, beside it ${beside.toFixed(1)} ms`);
      assert.ok(beside <= alone * slowdownMax, `${(beside / alone).toFixed(1)} times slower`);
    });
  }
});
