/** Code in a warm kernel, through E2B's SDK, beside the same kernel of the same template outside of a sandbox. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Sandbox } from '@e2b/code-interpreter';
import { defaultDataDir } from '../src/base/config.ts';
import { templateRoot } from '../src/image/store.ts';
import { startServer } from '../test/system/server.ts';
import { add, waitForPool } from './shared.ts';
import { figure, timeEach } from './stats.ts';

const template = 'code-interpreter';
const rounds = 20;

/** Runs `1+1` a hundred times and prints how many milliseconds each took. */
const floorProgram = `
import asyncio, json, sys, time
sys.path.insert(0, "/opt/code-interpreter")
from casemate_interpreter.contexts import Context
from casemate_interpreter.languages import find_language

async def measure():
    context = Context(find_language("python"), "/home/user")
    await context.start()
    taken = []
    for number in range(110):
        begun = time.perf_counter()
        async for _ in context.execute("1+1", {}):
            pass
        taken.append((time.perf_counter() - begun) * 1000)
    await context.remove()
    print(json.dumps(taken[10:]))

asyncio.run(measure())
`;

/** The template's root with a layer in memory over it, in namespaces that end with it: the template stays as it is. */
async function floor(): Promise<number[]> {
  const { root } = await templateRoot(
    process.env.CASEMATE_STORE_DIR ?? join(defaultDataDir, 'store'),
    template,
  );
  const folder = mkdtempSync(join(tmpdir(), 'casemate-floor-'));
  const enter = `mount -t tmpfs none "$1" && mkdir "$1/up" "$1/work" "$1/root" &&
    mount -t overlay none -o "lowerdir=$2,upperdir=$1/up,workdir=$1/work" "$1/root" &&
    mount -t proc proc "$1/root/proc" && mount --rbind /dev "$1/root/dev" &&
    exec chroot --userspec=1000:1000 "$1/root" env -i PATH=/usr/bin:/bin HOME=/home/user python3 -c "$3"`;
  const namespaces = ['--mount', '--pid', '--fork', '--kill-child'];
  const argv = [...namespaces, 'sh', '-c', enter, 'casemate-floor', folder, root, floorProgram];
  const { stdout, stderr, status } = spawnSync('unshare', argv, { encoding: 'utf8', timeout: 60_000 });
  rmdirSync(folder);
  if (status !== 0) throw new Error(`the kernel outside of a sandbox: ${stderr.slice(-500)}`);
  return JSON.parse(stdout) as number[];
}

/** Starts a server of its own: the pool is of another template. */
export async function codeInterpreter(): Promise<void> {
  const peer = await floor();
  const server = await startServer({ pools: [`${template}=2`] });
  try {
    const options = {
      apiUrl: server.url,
      sandboxUrl: server.url,
      apiKey: server.apiKey.replace('casemate_', 'e2b_'),
    };
    await waitForPool(server, 2);
    const first: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const from = performance.now();
      const made = await Sandbox.create(options);
      await made.runCode('1+1');
      first.push(performance.now() - from);
      await made.kill();
      await waitForPool(server, 2);
      await sleep(200);
    }
    const create = { promise: 'p50 ≤ 150 ms', keeps: (p50: number) => p50 <= 150 };
    add(figure('E2B create from the pool → first Python result', first, create));
    const sandbox = await Sandbox.create(options);
    const again = await timeEach(200, () => sandbox.runCode('1+1'), 10);
    add(
      figure("E2B runCode('1+1')", again, {
        peers: { 'same kernel outside': peer },
        promise: 'p50 ≤ 40 ms',
        keeps: (p50) => p50 <= 40,
      }),
    );
    await sandbox.kill();
  } finally {
    await server.close();
  }
}
