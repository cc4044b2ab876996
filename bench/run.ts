/** `make bench`: the promises of SPECIFICATION.md, measured; each figure beside its peer in the same run. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { cpus, release } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Sandbox } from '../sdk/typescript/src/index.ts';
import { defaultDataDir } from '../src/base/config.ts';
import { templateRoot } from '../src/image/store.ts';
import { findRunsc } from '../src/runtime/gvisor/binary.ts';
import { residentBytes, serverPid } from '../test/system/host.ts';
import { startServer, type TestServer } from '../test/system/server.ts';
import { type BareRunsc, bareRunsc, settledAvailableBytes } from './bareRunsc.ts';
import { codeInterpreter } from './codeInterpreter.ts';
import { e2b } from './e2b.ts';
import { egress } from './egress.ts';
import { add, connectionOf, figures, firstAnswer, mib, waitForPool } from './shared.ts';
import { snapshots } from './snapshots.ts';
import { figure, percentile, timeEach } from './stats.ts';
import { volumes } from './volumes.ts';

function spawnTrue(): Promise<void> {
  return new Promise((resolve) => spawn('/bin/true').once('exit', () => resolve()));
}

async function warm(server: TestServer, run: readonly number[]): Promise<void> {
  await waitForPool(server, 10);
  const samples: number[] = [];
  for (let round = 0; round < 100; round += 1) {
    const next = sleep(400);
    const { ms, sandbox } = await firstAnswer(server);
    samples.push(ms);
    void sandbox.kill();
    await next;
  }
  const promise = 'p50 ≤ 15 ms, p99 ≤ 60 ms, ≥ 6× bare runsc run';
  const keeps = (p50: number, p99: number, peers: Readonly<Record<string, number>>): boolean =>
    p50 <= 15 && p99 <= 60 && (peers['runsc run'] ?? 0) >= 6;
  add(
    figure('warm: create → first echo, every 400 ms', samples, {
      peers: { 'runsc run': run },
      promise,
      keeps,
    }),
  );
  await waitForPool(server, 10);
  await backToBack(server);
}

/** Until the pool is empty: prints where warm turns into cold. */
async function backToBack(server: TestServer): Promise<void> {
  const made: Sandbox[] = [];
  const samples: number[] = [];
  let crossover = 0;
  for (let round = 0; round < 15; round += 1) {
    const { ms, sandbox } = await firstAnswer(server);
    made.push(sandbox);
    samples.push(ms);
    if (crossover === 0 && (await sandbox.info()).source === 'cold') crossover = round + 1;
  }
  add(figure(`back to back, pool of 10 (cold from no. ${crossover})`, samples));
  await Promise.all(made.map((sandbox) => sandbox.kill()));
}

async function execs(server: TestServer, bare: BareRunsc): Promise<void> {
  await using sandbox = await Sandbox.create({ ...connectionOf(server), template: 'base' });
  const peer = await timeEach(40, () => bare.execTrue());
  const local = await timeEach(60, spawnTrue);
  const samples = await timeEach(200, () => sandbox.exec(['/bin/true']));
  const inside = await forksInside(sandbox);
  add(
    figure('exec /bin/true', samples, {
      peers: { 'runsc exec': peer, 'local spawn': local, 'fork+exec inside': inside },
      promise: 'p50 ≤ 9 ms, p99 ≤ 30 ms, ≥ 4× runsc exec',
      keeps: (p50, p99, peers) => p50 <= 9 && p99 <= 30 && (peers['runsc exec'] ?? 0) >= 4,
    }),
  );
  const pings = await timeEach(300, () => sandbox.ping());
  add(figure('agent ping through HTTP and SDK', pings, { promise: 'p50 ≤ 2 ms', keeps: (p50) => p50 <= 2 }));
}

/** The floor: what the runtime itself takes for a program that a program inside starts. Milliseconds each. */
async function forksInside(sandbox: Sandbox): Promise<number[]> {
  const loop = 'for i in $(seq 40); do a=$(date +%s%N); /bin/true; b=$(date +%s%N); echo $((b - a)); done';
  const { stdout } = await sandbox.exec(loop);
  const pause = await sandbox.exec(
    'for i in $(seq 20); do a=$(date +%s%N); b=$(date +%s%N); echo $((b - a)); done',
  );
  const [both, clock] = [stdout, pause.stdout].map((text) => text.trim().split('\n').map(Number));
  const once = percentile(clock ?? [], 0.5); // one `date` lies between the two readings
  return (both ?? []).map((nanoseconds) => (nanoseconds - once) / 1e6);
}

async function transfers(server: TestServer): Promise<void> {
  await using sandbox = await Sandbox.create({ ...connectionOf(server), template: 'base' });
  const pid = serverPid(server.process.pid ?? 0);
  const bytes = new Uint8Array(mib).fill(120);
  const before = residentBytes(pid);
  let highest = before;
  const watch = setInterval(() => {
    highest = Math.max(highest, residentBytes(pid));
  }, 20);
  let from = performance.now();
  await sandbox.files.write(
    '/home/user/big',
    (async function* () {
      for (let sent = 0; sent < 256; sent += 1) yield bytes;
    })(),
  );
  const up = 256_000 / (performance.now() - from);
  from = performance.now();
  let read = 0;
  for await (const piece of await sandbox.files.read('/home/user/big', { format: 'stream' }))
    read += piece.length;
  const down = 256_000 / (performance.now() - from);
  clearInterval(watch);
  if (read !== 256 * mib) throw new Error(`read ${read} bytes`);
  const inside = await sandbox.exec('dd if=/dev/zero of=/home/user/own bs=1M count=256 2>&1 | tail -n 1');
  const fast = (p50: number): boolean => p50 >= 100;
  add(figure('256 MiB up', [up], { unit: 'MiB/s', promise: '≥ 100 MiB/s', keeps: fast }));
  add(figure('256 MiB down', [down], { unit: 'MiB/s', promise: '≥ 100 MiB/s', keeps: fast }));
  const grown = (highest - before) / mib;
  add(
    figure('server memory growth meanwhile', [grown], {
      unit: 'MiB',
      promise: '< 32 MiB',
      keeps: (p50) => p50 < 32,
    }),
  );
  console.log(`  the runtime's own writing of 256 MiB: ${inside.stdout.trim()}`);
}

async function burst(server: TestServer): Promise<void> {
  await server.client.pools.set('base', { size: 50 });
  await waitForPool(server, 50);
  const all = await Promise.all(Array.from({ length: 50 }, () => firstAnswer(server)));
  // The floor: the same programs in the same sandboxes, started all at once too, and no create before them.
  const programs = await Promise.all(
    all.map(async ({ sandbox }) => {
      const from = performance.now();
      await sandbox.exec(['echo', 'ready']);
      return performance.now() - from;
    }),
  );
  add(
    figure(
      '50 creates at once, pool of 50',
      all.map(({ ms }) => ms),
      { peers: { 'programs alone': programs }, promise: 'p50 ≤ 250 ms', keeps: (p50) => p50 <= 250 },
    ),
  );
  await Promise.all(all.map(({ sandbox }) => sandbox.kill()));
  await waitForPool(server, 50);
  const settled = await Promise.allSettled(Array.from({ length: 100 }, () => firstAnswer(server)));
  const made = settled.filter((result) => result.status === 'fulfilled').map((result) => result.value);
  const codes = settled
    .filter((result) => result.status === 'rejected')
    .map((result) => (result.reason as { code?: string }).code);
  add(
    figure(
      '100 creates at once, pool of 50',
      made.map(({ ms }) => ms),
    ),
  );
  console.log(`  ${made.length} made, ${codes.length} refused (${[...new Set(codes)].join(', ') || 'none'})`);
  await Promise.all(made.map(({ sandbox }) => sandbox.kill()));
  await server.client.pools.set('base', { size: 0 });
  await sleep(3000);
}

async function idle(server: TestServer, bare: BareRunsc): Promise<void> {
  const count = 20;
  const bareBytes = await bare.idleBytes(count);
  const before = await settledAvailableBytes();
  const made: Sandbox[] = [];
  for (let number = 0; number < count; number += 1) made.push((await firstAnswer(server)).sandbox);
  const ours = (before - (await settledAvailableBytes())) / count;
  add(
    figure('memory of an idle sandbox beyond bare runsc', [(ours - bareBytes) / mib], {
      unit: 'MiB',
      promise: '≤ 8 MiB',
      keeps: (p50) => p50 <= 8,
    }),
  );
  console.log(
    `  bare runsc ${(bareBytes / mib).toFixed(1)} MiB, Casemate ${(ours / mib).toFixed(1)} MiB each`,
  );
  await Promise.all(made.map((sandbox) => sandbox.kill()));
}

/** Docker is a peer only where a daemon answers. */
function dockerMissing(): string | undefined {
  const answer = spawnSync('docker', ['info'], { stdio: 'ignore', timeout: 10_000 });
  return answer.status === 0 ? undefined : 'no Docker daemon answers on this machine';
}

async function main(): Promise<void> {
  const [runsc] = await findRunsc({ libraryDir: join(defaultDataDir, 'lib/gvisor') });
  if (runsc === undefined) throw new Error('there is no runsc on this machine');
  const { root } = await templateRoot(
    process.env.CASEMATE_STORE_DIR ?? join(defaultDataDir, 'store'),
    'base',
  );
  const bare = await bareRunsc({ path: runsc.path, platform: runsc.platform, root });
  console.log(
    `runsc ${runsc.version} (${runsc.platform}), ${cpus().length} cores, kernel ${release()}, page cache warm`,
  );
  const noDocker = dockerMissing();
  if (noDocker !== undefined) console.log(`docker run, docker exec: skipped, ${noDocker}`);
  try {
    const run = await timeEach(20, () => bare.runEcho());
    add(figure('peer: bare runsc run echo', run));
    const cold = await startServer();
    try {
      const samples: number[] = [];
      for (let round = 0; round < 25; round += 1) {
        const { ms, sandbox } = await firstAnswer(cold);
        if (round >= 5) samples.push(ms);
        await sandbox.kill();
        await sleep(200);
      }
      const keeps = (p50: number): boolean => p50 <= 1.3 * percentile(run, 0.5);
      add(
        figure('cold: create → first echo', samples, {
          peers: { 'runsc run': run },
          promise: 'p50 ≤ 1.3× bare',
          keeps,
        }),
      );
      await idle(cold, bare);
    } finally {
      await cold.close();
    }
    const server = await startServer({ pools: ['base=10'] });
    try {
      await waitForPool(server, 10); // a pool that fills takes the processor from what is measured
      await execs(server, bare);
      await transfers(server);
      await warm(server, run);
      await e2b(server);
      await burst(server);
      await snapshots(server); // the pool is empty again
    } finally {
      await server.close();
    }
    await codeInterpreter();
    await egress();
    await volumes();
  } finally {
    await bare.close();
  }
  await mkdir('build', { recursive: true });
  await writeFile(
    'build/bench.json',
    JSON.stringify({ runsc: runsc.version, kernel: release(), figures }, undefined, 2),
  );
  console.log('\nbuild/bench.json has them for machines.');
}

await main();
