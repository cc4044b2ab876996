/** The jailer's arguments (firecracker `docs/jailer.md`). Its folder is root-owned and fresh: older jailers follow links. */
import { basename, join } from 'node:path';
import { fileIn, type VmmLaunch, type VmmProgram } from '../microvm/vmm.ts';
import { jailerOf } from './binary.ts';

const openFilesMax = 256;

/** The jailer makes `<base>/<program>/<id>/root`. */
export function jailRoot(directory: string, id: string, program: string): string {
  return join(directory, 'jail', basename(program), id, 'root');
}

/** Control groups are joined before, so that the jailer's own copying is charged to the machine. */
export function jailerArguments({ path }: VmmProgram, launch: VmmLaunch): string[] {
  const { id, directory, uid, fileMibMax } = launch;
  return [
    jailerOf(path),
    ...['--id', id, '--exec-file', path, '--uid', String(uid), '--gid', String(uid)],
    ...['--chroot-base-dir', join(directory, 'jail')],
    ...['--resource-limit', `fsize=${fileMibMax * 1024 * 1024}`],
    ...['--resource-limit', `no-file=${openFilesMax}`],
    ...['--new-pid-ns', '--', '--api-sock', `/${fileIn.api}`],
  ];
}
