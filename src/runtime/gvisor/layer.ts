/** The root of a sandbox that makes a layer: overlayfs over the layers below, on the sandbox's own bounded disk. */
import { chmodSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from '../../base/child.ts';

export interface WritableRootOptions {
  /** The sandbox's own folder. */
  readonly directory: string;
  /** Its disk, mounted. */
  readonly disk: string;
  /** The layers below, as one tree that has a folder `.casemate`. */
  readonly templateRoot: string;
  readonly agentDir: string;
  /** Folders of the host that are seen read-only beside the agent, by their names. */
  readonly sources: Readonly<Record<string, string>>;
}

/** Nothing in the upper folder may need another mount's options to be read: it is stacked under others later. */
const plain = 'redirect_dir=off,metacopy=off,index=off,xino=off';

function rootOf(directory: string): string {
  return join(directory, 'root');
}

/** Mounts it; answers where. */
export async function mountWritable(options: WritableRootOptions): Promise<string> {
  const { directory, disk, templateRoot, agentDir, sources } = options;
  const root = rootOf(directory);
  const [upper, work] = [join(disk, 'upper'), join(disk, 'work')];
  for (const folder of [root, upper, work]) {
    mkdirSync(folder, { mode: 0o755 });
    chmodSync(folder, 0o755); // whatever the umask is: the upper folder's mode is the mode of `/`
  }
  const layers = `lowerdir=${templateRoot},upperdir=${upper},workdir=${work}`;
  await runCommand(['mount', '-t', 'overlay', '-o', `nosuid,nodev,${plain},${layers}`, 'casemate', root]);
  const beside = join(root, '.casemate');
  const names = Object.entries(sources);
  if (names.length === 0) {
    await runCommand(['mount', '--bind', '-o', 'ro', agentDir, beside]);
    return root;
  }
  await runCommand(['mount', '-t', 'tmpfs', '-o', 'nosuid,nodev,size=64k,mode=755', 'casemate', beside]);
  writeFileSync(join(beside, 'guest-agent'), '');
  await runCommand([
    'mount',
    '--bind',
    '-o',
    'ro',
    join(agentDir, 'guest-agent'),
    join(beside, 'guest-agent'),
  ]);
  for (const [name, source] of names) {
    mkdirSync(join(beside, name), { mode: 0o755 });
    await runCommand(['mount', '--bind', '-o', 'ro', source, join(beside, name)]);
  }
  await runCommand(['mount', '-o', 'remount,ro,nosuid,nodev', beside]);
  return root;
}

/** Unmounts everything of it, the deepest first. Idempotent; does nothing for a sandbox that made no layer. */
export async function unmountWritable(directory: string): Promise<void> {
  const root = rootOf(directory);
  const mounts = (await readFile('/proc/self/mounts', 'utf8'))
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((path) => path === root || path.startsWith(`${root}/`));
  for (const path of mounts.reverse())
    await runCommand(['umount', path]).catch(() => runCommand(['umount', '-l', path]));
  if (mounts.length > 0) rmdirSync(root);
}
