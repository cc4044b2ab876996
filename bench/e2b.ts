/** E2B's official SDK beside Casemate's own, turn by turn on the same server. */
import { Sandbox as E2bSandbox } from 'e2b';
import { Sandbox } from '../sdk/typescript/src/index.ts';
import type { TestServer } from '../test/system/server.ts';
import { add, connectionOf, waitForPool } from './shared.ts';
import { figure, percentile } from './stats.ts';

const creates = 30;
const runs = 200;
const createMsMax = 25;
const overNativeMsMax = 3;

async function msOf(work: () => Promise<unknown>): Promise<number> {
  const from = performance.now();
  await work();
  return performance.now() - from;
}

/** Programs and creations through E2B's protocol; the server needs a pool of ten. */
export async function e2b(server: TestServer): Promise<void> {
  const { url } = server;
  const options = { apiUrl: url, sandboxUrl: url, apiKey: server.apiKey.replace('casemate_', 'e2b_') };
  const made: number[] = [];
  for (let round = 0; round < creates; round += 1) {
    await waitForPool(server, 1);
    let sandbox: E2bSandbox | undefined;
    made.push(
      await msOf(async () => {
        sandbox = await E2bSandbox.create('base', options);
      }),
    );
    await sandbox?.kill();
  }
  add(
    figure('e2b: Sandbox.create from the pool', made, {
      promise: `p50 ≤ ${createMsMax} ms`,
      keeps: (p50) => p50 <= createMsMax,
    }),
  );
  const theirs = await E2bSandbox.create('base', options);
  await using ours = await Sandbox.connect(theirs.sandboxId, connectionOf(server));
  const [native, official]: [number[], number[]] = [[], []];
  for (let round = 0; round < runs; round += 1) {
    native.push(await msOf(() => ours.exec(['/bin/bash', '-l', '-c', 'true'])));
    official.push(await msOf(() => theirs.commands.run('true')));
  }
  const floor = percentile(native, 0.5);
  add(
    figure("e2b: commands.run('true')", official, {
      peers: { 'our SDK, the same bash': native },
      promise: `p50 ≤ native + ${overNativeMsMax} ms`,
      keeps: (p50) => p50 <= floor + overNativeMsMax,
    }),
  );
}
