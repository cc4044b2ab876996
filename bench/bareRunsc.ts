/** The peer of every start: bare runsc on the same template, network and limits left out, nothing of Casemate around it. */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface BareRunsc {
  /** `runsc run` of a program that prints a word and ends. */
  runEcho(): Promise<void>;
  /** `runsc exec /bin/true` in one that runs. */
  execTrue(): Promise<void>;
  /** Starts `count` idle ones and answers by how much the host's available memory fell, in bytes each. */
  idleBytes(count: number): Promise<number>;
  close(): Promise<void>;
}

/**
 * With `--network=sandbox` in a namespace of its own, as Casemate starts them: otherwise the comparison would flatter
 * neither side honestly.
 */
export async function bareRunsc(options: {
  readonly path: string;
  readonly platform: string;
  readonly root: string;
}): Promise<BareRunsc> {
  const folder = mkdtempSync(join(tmpdir(), 'casemate-bare-'));
  const namespace = `cm-bare-${process.pid}`;
  await run('ip', ['netns', 'add', namespace]);
  const hide = '[ ! -d /proc/sys/net/core ] || mount -t tmpfs tmpfs /proc/sys/net/core; exec "$@"';
  const inside = ['unshare', '--mount', 'sh', '-c', hide, 'sh', options.path];
  const runsc = (state: string, args: string[]): Promise<unknown> =>
    run('nsenter', [
      `--net=/run/netns/${namespace}`,
      ...inside,
      `--root=${join(folder, state)}`,
      `--platform=${options.platform}`,
      '--network=sandbox',
      '--ignore-cgroups',
      `--overlay2=root:dir=${folder}`,
      ...args,
    ]);
  const bundle = (name: string, argv: string[]): string => {
    const directory = join(folder, name);
    mkdirSync(directory, { recursive: true });
    writeFileSync(
      join(directory, 'config.json'),
      JSON.stringify({
        ociVersion: '1.0.2',
        process: { user: { uid: 0, gid: 0 }, args: argv, env: ['PATH=/usr/bin:/bin'], cwd: '/' },
        root: { path: options.root },
        mounts: [{ destination: '/proc', type: 'proc', source: 'proc' }],
        linux: {
          namespaces: [
            { type: 'pid' },
            { type: 'mount' },
            { type: 'ipc' },
            { type: 'uts' },
            { type: 'network', path: `/run/netns/${namespace}` },
          ],
        },
      }),
    );
    return directory;
  };
  const echo = bundle('echo', ['/bin/echo', 'ready']);
  const idle = bundle('idle', ['/bin/sleep', '1000000']);
  let number = 0;
  let sleeper: string | undefined;
  const started: string[] = [];
  const start = async (): Promise<string> => {
    number += 1;
    const id = `idle${String(number).padStart(6, '0')}`;
    // A detached sandbox keeps its parent's output open: give it none, or this process would wait for its end.
    await run('sh', [
      '-c',
      'exec "$@" </dev/null >/dev/null 2>&1',
      'sh',
      'nsenter',
      `--net=/run/netns/${namespace}`,
      ...inside,
      `--root=${join(folder, 'state')}`,
      `--platform=${options.platform}`,
      '--network=sandbox',
      '--ignore-cgroups',
      `--overlay2=root:dir=${folder}`,
      'run',
      '--detach',
      `--bundle=${idle}`,
      id,
    ]);
    started.push(id);
    return id;
  };
  return {
    runEcho: async () => {
      number += 1;
      const id = `echo${String(number).padStart(6, '0')}`;
      await runsc('state', ['run', `--bundle=${echo}`, id]);
    },
    execTrue: async () => {
      sleeper ??= await start();
      await runsc('state', ['exec', sleeper, '/bin/true']);
    },
    idleBytes: async (count) => {
      const before = await settledAvailableBytes();
      for (let made = 0; made < count; made += 1) await start();
      return (before - (await settledAvailableBytes())) / count;
    },
    close: async () => {
      for (const id of started) await runsc('state', ['delete', '--force', id]).catch(() => {});
      await run('ip', ['netns', 'del', namespace]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** MemAvailable once the host has come to rest. */
export async function settledAvailableBytes(): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, 1500));
  const { readFileSync } = await import('node:fs');
  return Number(/^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1] ?? 0) * 1024;
}
