/** Pause, resume, snapshots and forks, on every runtime that this machine has. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Sandbox } from '../sdk/typescript/src/index.ts';
import type { TestServer } from '../test/system/server.ts';
import { add, connectionOf, firstAnswer, mib, waitForPool } from './shared.ts';
import { figure } from './stats.ts';

const children = 10;
const rounds = 20;
const creations = 50;
/** Memory that the source of the fork has touched. */
const holder =
  "import time; x = bytearray(100 * 1024 * 1024); open('/home/user/held', 'w').write('1'); time.sleep(1000)";

export async function snapshots(server: TestServer): Promise<void> {
  for (const { name, available, capabilities } of await server.client.runtimes.list()) {
    if (!available || capabilities === undefined || capabilities.snapshot === 'none') continue;
    try {
      await creates(server, name);
      await restores(server, name);
      await fork(server, name);
    } catch (error) {
      console.log(`${name}: NOT MEASURED further: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
}

/** No pool holds machines here: what is measured is a clone of the booted template, one after the other. */
async function creates(server: TestServer, runtime: string): Promise<void> {
  if (!(await isMachine(server, runtime))) return;
  await (await firstAnswer(server, { runtime })).sandbox.kill(); // its template boots
  const created: number[] = [];
  for (let round = 0; round < creations; round += 1) {
    await sleep(200);
    const { ms, sandbox } = await firstAnswer(server, { runtime });
    created.push(ms);
    await sandbox.kill();
  }
  add(
    figure(`${runtime}: create without pool → first echo`, created, {
      promise: 'p50 ≤ 150 ms, p99 ≤ 300 ms',
      keeps: (p50, p99) => p50 <= 150 && p99 <= 300,
    }),
  );
  await fromPool(server, runtime);
}

async function fromPool(server: TestServer, runtime: string): Promise<void> {
  await server.client.pools.set('base', { size: 3, runtime });
  const created: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    await waitForPool(server, 3, runtime);
    await sleep(1000);
    const { ms, sandbox } = await firstAnswer(server, { runtime });
    created.push(ms);
    await sandbox.kill();
  }
  await server.client.pools.set('base', { size: 0, runtime });
  add(
    figure(`${runtime}: create from the pool → first echo`, created, {
      promise: 'p50 ≤ 60 ms',
      keeps: (p50) => p50 <= 60,
    }),
  );
}

async function isMachine(server: TestServer, runtime: string): Promise<boolean> {
  const found = (await server.client.runtimes.list()).find(({ name }) => name === runtime);
  return found?.capabilities?.isolation === 'virtual-machine';
}

async function restores(server: TestServer, runtime: string): Promise<void> {
  const { sandbox: source } = await firstAnswer(server, { runtime });
  const snapshot = `bench-${runtime}`;
  await source.snapshot({ name: snapshot });
  const created: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const from = performance.now();
    const sandbox = await Sandbox.create({ ...connectionOf(server), snapshot });
    await sandbox.exec(['echo', 'ready']);
    created.push(performance.now() - from);
    await sandbox.kill();
    await sleep(200);
  }
  add(
    figure(`${runtime}: create from a snapshot → first echo`, created, {
      promise: 'p50 ≤ 250 ms',
      keeps: (p50) => p50 <= 250,
    }),
  );
  const paused: number[] = [];
  const resumed: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    let from = performance.now();
    await source.pause();
    paused.push(performance.now() - from);
    from = performance.now();
    await source.resume();
    await source.exec(['echo', 'ready']);
    resumed.push(performance.now() - from);
  }
  add(figure(`${runtime}: pause`, paused));
  add(figure(`${runtime}: resume → first echo`, resumed));
  await source.kill();
  await server.client.snapshots.remove(snapshot);
}

async function fork(server: TestServer, runtime: string): Promise<void> {
  const source = await Sandbox.create({
    ...connectionOf(server),
    runtime,
    template: 'python',
    timeoutMs: 600_000,
  });
  await source.spawn(['python3', '-c', holder]);
  await source.exec('until [ -s held ]; do sleep 0.1; done'); // it has touched its memory
  const silence = longestSilence(source);
  const from = performance.now();
  const forked = await source.fork(children);
  const silent = await silence();
  const live = forked.filter((child) => child instanceof Sandbox);
  await Promise.all(live.map((child) => child.exec(['echo', 'ready'])));
  const took = performance.now() - from;
  if (live.length !== children) throw new Error(`${children - live.length} of ${children} children failed`);
  add(
    figure(`${runtime}: fork(${children}) of 100 MiB → all have answered`, [took], {
      promise: '≤ 2 s',
      keeps: (p50) => p50 <= 2000,
    }),
  );
  add(
    figure(`${runtime}: the source answered nothing for`, [silent], {
      promise: '≤ 500 ms',
      keeps: (p50) => p50 <= 500,
    }),
  );
  // What the host's control groups count for each: `available` tells little while a snapshot's pages go to the disk.
  const held = await Promise.all(live.map(async (child) => (await child.metrics()).memoryBytes / mib));
  add(
    figure(`${runtime}: host memory a child`, held, {
      unit: 'MiB',
      promise: '< 45 MiB',
      keeps: (p50) => p50 < 45,
    }),
  );
  await Promise.all([source, ...live].map((sandbox) => sandbox.kill()));
}

/** Asks for signs of life until the returned function is called, which answers the longest time without one, in ms. */
function longestSilence(sandbox: Sandbox): () => Promise<number> {
  let over = false;
  let longest = 0;
  const asking = (async () => {
    let last = performance.now();
    while (!over) {
      const alive = await sandbox.ping().then(
        () => true,
        () => false, // it stands still
      );
      const now = performance.now();
      longest = Math.max(longest, now - last);
      if (alive) last = now;
      await sleep(10);
    }
  })();
  return async () => {
    over = true;
    await asking;
    return longest;
  };
}
