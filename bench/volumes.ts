/** Volumes: a claim with one beside a claim without, and its input and output beside the same sandbox's own root. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type CreateOptions, Sandbox } from '../sdk/typescript/src/index.ts';
import type { TestServer } from '../test/system/server.ts';
import { startServer } from '../test/system/server.ts';
import { add, connectionOf, waitForPool } from './shared.ts';
import { figure, percentile } from './stats.ts';

const rounds = 20;
const poolSize = 3;
/** Prints MiB/s, or operations/s, of a file in a folder: each way over the same 32 MiB, flushed where it was written. */
const program = `import os, random, sys, time
size, path = 32 << 20, os.path.join(sys.argv[1], "bench"); block = b"x" * (128 << 10)
def rate(work, amount):
    begun = time.time(); work(); print(amount / (time.time() - begun))
def write():
    f = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    for _ in range(size // len(block)): os.write(f, block)
    os.fsync(f); os.close(f)
def read():
    f = os.open(path, os.O_RDONLY)
    while os.read(f, len(block)): pass
    os.close(f)
places = [random.randrange(size // 4096) * 4096 for _ in range(1000)]
def random_read():
    f = os.open(path, os.O_RDONLY)
    for place in places: os.pread(f, 4096, place)
    os.close(f)
def random_write():
    f = os.open(path, os.O_WRONLY)
    for place in places: os.pwrite(f, block[:4096], place)
    os.fsync(f); os.close(f)
def files():
    for n in range(100): open(path + str(n), "w").close(); os.stat(path + str(n)); os.unlink(path + str(n))
rate(write, size >> 20); rate(read, size >> 20); rate(random_read, 1000); rate(random_write, 1000); rate(files, 100); os.unlink(path)`;
const measures = [
  ['sequential write', 'MiB/s'],
  ['sequential read', 'MiB/s'],
  ['random read of 4 KiB', '/s'],
  ['random write of 4 KiB', '/s'],
  ['create, stat, unlink', '/s'],
] as const;

/** On a server of its own: pools of the other sections would take the processors. */
export async function volumes(): Promise<void> {
  const server = await startServer();
  try {
    await server.client.volumes.create({ name: 'bench', quotaMib: 256 });
    for (const { name, available, capabilities } of await server.client.runtimes.list()) {
      if (!available || capabilities === undefined || capabilities.volumes === 'none') continue;
      try {
        await claims(server, name);
        await inputAndOutput(server, name);
      } catch (error) {
        console.log(
          `${name}: NOT MEASURED further: ${error instanceof Error ? error.message : String(error)}`,
        );
      }
    }
  } finally {
    await server.close();
  }
}

async function claims(server: TestServer, runtime: string): Promise<void> {
  await server.client.pools.set('base', { runtime, size: poolSize });
  const taken: Record<'without' | 'with', number[]> = { without: [], with: [] };
  for (let round = 0; round < rounds; round += 1) {
    for (const kind of ['without', 'with'] as const) {
      await waitForPool(server, poolSize, runtime);
      await sleep(300); // a pool that has just filled still works
      const volume: CreateOptions = kind === 'with' ? { volumes: [{ volume: 'bench', path: '/data' }] } : {};
      const from = performance.now();
      const sandbox = await Sandbox.create({ ...connectionOf(server), template: 'base', runtime, ...volume });
      taken[kind].push(performance.now() - from);
      if ((await sandbox.info()).source !== 'warm') taken[kind].pop();
      await sandbox.kill();
    }
  }
  await server.client.pools.set('base', { runtime, size: 0 });
  const without = percentile(taken.without, 0.5);
  add(
    figure(`${runtime}: claim of a warm one with a volume`, taken.with, {
      peers: { 'claim without': taken.without },
      promise: '≤ 3× a claim without',
      keeps: (p50) => p50 <= 3 * without,
    }),
  );
}

async function inputAndOutput(server: TestServer, runtime: string): Promise<void> {
  await using sandbox = await Sandbox.create({
    ...connectionOf(server),
    template: 'python',
    runtime,
    timeoutMs: 1_800_000,
    volumes: [{ volume: 'bench', path: '/data' }],
  });
  const rates = async (folder: string): Promise<number[]> => {
    const { stdout, stderr, exitCode } = await sandbox.exec(['python3', '-c', program, folder]);
    if (exitCode !== 0) throw new Error(stderr);
    return stdout.trim().split('\n').map(Number);
  };
  const [root, volume] = [await rates('/home/user'), await rates('/data')];
  for (const [index, [what, unit]] of measures.entries()) {
    const own = root[index] ?? Number.NaN;
    add(figure(`${runtime}: volume, ${what}`, [volume[index] ?? Number.NaN], { unit }));
    console.log(`  the same sandbox’s own root: ${own.toFixed(1)} ${unit}`);
  }
}
