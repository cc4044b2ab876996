/** Lays out what a monitor sees, starts it as a user of its own in namespaces of its own, and waits for its API. */
import { spawn } from 'node:child_process';
import { chmodSync, chownSync, closeSync, mkdirSync, openSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { share } from '../qemu/source.ts';
import { fileIn, type Vmm, type VmmLaunch, type VmmProgram } from './vmm.ts';

/**
 * Joins the control groups first, so that all memory is charged to the machine. The tap lies in a network namespace
 * without anything else, and only the tap is moved to where the sandbox's network is.
 */
const script = `
set -e
uid="$1" join="$2" network="$3"; shift 3
IFS='
'
for file in $join; do echo $$ > "$file"; done
[ "$network" = no ] || ip tuntap add dev tap0 mode tap user "$uid"
exec "$@"
`;
const upMsMax = 60_000;
const retryMs = 4;

/** Short names for what lies deep in a jail: a Unix socket's path has 107 characters at most. */
const linkTo = { root: 'root', api: 'api', agent: 'agent' } as const;

export function rootOf(directory: string): string {
  return join(directory, linkTo.root);
}
export function apiOf(directory: string): string {
  return join(directory, linkTo.api);
}
export function agentOf(directory: string): string {
  return join(directory, linkTo.agent);
}

/** Makes the monitor's root with one more name for each of `files`, by the name that it has in there. */
export function layOut(
  vmm: Vmm,
  { directory, id }: Pick<VmmLaunch, 'directory' | 'id'>,
  files: Readonly<Record<string, string>>,
): void {
  const root = vmm.rootOf(directory, id);
  // Whatever this process's umask: the server's user has to reach the agent's socket, by name alone.
  for (let path = directory; path.length <= root.length; ) {
    mkdirSync(path, { recursive: true, mode: 0o711 });
    chmodSync(path, 0o711);
    if (path === root) break;
    path = join(path, root.slice(path.length + 1).split('/')[0] ?? '');
  }
  mkdirSync(join(root, fileIn.saved), { mode: 0o711 });
  for (const [name, source] of Object.entries(files)) share(source, join(root, name));
  symlinkSync(root, join(directory, linkTo.root));
  symlinkSync(join(root, fileIn.api), join(directory, linkTo.api));
  symlinkSync(join(root, fileIn.agent), join(directory, linkTo.agent));
}

/** Resolves when the monitor answers. @throws Error with the end of what it said */
export async function launchVmm(vmm: Vmm, program: VmmProgram, options: VmmLaunch): Promise<void> {
  const { directory, uid, cgroupJoinFiles, network } = options;
  const log = join(directory, 'monitor.log');
  const stderr = openSync(log, 'w', 0o600);
  const argv = [
    String(uid),
    cgroupJoinFiles.join('\n'),
    network ? 'yes' : 'no',
    ...vmm.argv(program, options),
  ];
  const child = spawn(
    'unshare',
    ['--net', '--ipc', '--uts', 'sh', '-c', script, 'casemate-machine', ...argv],
    {
      stdio: ['ignore', 'ignore', stderr],
      detached: true,
      cwd: '/',
      env: { PATH: process.env.PATH },
    },
  );
  closeSync(stderr);
  let failure: string | undefined;
  child.on('error', (error) => {
    failure = error.message;
  });
  // A jailer may end well and leave the monitor behind.
  child.on('exit', (code, signal) => {
    if (code !== 0) failure = `it ended with ${signal ?? `code ${code}`}`;
  });
  try {
    for (const until = Date.now() + upMsMax; ; await sleep(retryMs)) {
      const up = await vmm.ping(apiOf(directory)).then(
        () => true,
        () => false,
      );
      if (up) return;
      if (failure === undefined && Date.now() > until) failure = `it did not answer within ${upMsMax} ms`;
      if (failure !== undefined) throw new Error(`${vmm.name} did not start, ${failure}: ${tailOf(log)}`);
    }
  } finally {
    child.unref();
  }
}

function tailOf(log: string): string {
  return readFileSync(log, 'utf8').trim().slice(-800);
}

/** From here on the monitor can make no file and replace none: who could break into it finds no way to mislead root. */
export function sealRoot(directory: string): void {
  const root = rootOf(directory);
  chownSync(root, 0, 0);
  chmodSync(root, 0o711);
}
