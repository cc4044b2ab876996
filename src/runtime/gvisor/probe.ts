/** Finds out whether a runsc works here, by running a program in it. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CommandError, runCommand } from '../../base/child.ts';
import type { Runsc } from './binary.ts';
import { launcher } from './launch.ts';

/**
 * Runs the runsc program itself (it is static, so it needs no root file system) inside a sandbox without network.
 * @returns what went wrong, undefined where it works.
 */
export async function probeRunsc(runsc: Runsc): Promise<string | undefined> {
  const directory = await mkdtemp(join(tmpdir(), 'casemate-probe-'));
  const state = join(directory, 'state');
  const root = join(directory, 'root');
  const output = join(directory, 'output');
  const base = [
    runsc.path,
    `--root=${state}`,
    `--platform=${runsc.platform}`,
    '--network=none',
    '--ignore-cgroups',
  ];
  try {
    await runCommand(['install', '-D', '-m', '755', runsc.path, join(root, 'probe')]);
    const config = {
      ociVersion: '1.0.2',
      process: { user: { uid: 0, gid: 0 }, args: ['/probe', '--version'], env: [], cwd: '/' },
      root: { path: root, readonly: true },
      mounts: [{ destination: '/proc', type: 'proc', source: 'proc' }],
      linux: { namespaces: [{ type: 'pid' }, { type: 'mount' }, { type: 'ipc' }, { type: 'uts' }] },
    };
    await writeFile(join(directory, 'config.json'), JSON.stringify(config));
    await writeFile(output, '');
    // Through the launcher as every sandbox: what runsc mounts for itself goes away with its mount namespace.
    const place = [launcher, '/proc/self/ns/net', '/dev/null', output, ''];
    await runCommand([...place, ...base, 'run', `--bundle=${directory}`, 'probe'], { timeoutMs: 5000 });
    return (await readFile(output, 'utf8')).includes('runsc version')
      ? undefined
      : 'it ran, but nothing came out of the sandbox';
  } catch (error) {
    await runCommand([...base, 'delete', '--force', 'probe'], { timeoutMs: 5000 }).catch(() => {});
    return error instanceof CommandError ? error.message.slice(-300) : String(error);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
