/** Finds Firecracker and the jailer beside it, and refuses builds with known holes. */
import { accessSync, constants } from 'node:fs';
import { dirname, join } from 'node:path';
import { runCommand } from '../../base/child.ts';
import { CasemateError } from '../../base/errors.ts';
import type { VmmProgram } from '../microvm/vmm.ts';

export const remedy =
  'Set CASEMATE_FIRECRACKER to a firecracker program (1.12 or newer, its jailer beside it), on a machine where KVM boots a guest.';

export function jailerOf(program: string): string {
  return join(dirname(program), 'jailer');
}

/** @param path from CASEMATE_FIRECRACKER. @throws CasemateError `runtime_unavailable` */
export async function findFirecracker(path: string | undefined): Promise<VmmProgram> {
  if (path === undefined || path === '')
    throw new CasemateError('runtime_unavailable', 'CASEMATE_FIRECRACKER names no program.');
  for (const file of [path, jailerOf(path)]) {
    try {
      accessSync(file, constants.X_OK);
    } catch (cause) {
      throw new CasemateError('runtime_unavailable', `${file} is no program that can be started.`, { cause });
    }
  }
  const [said, jailer] = await Promise.all(
    [path, jailerOf(path)].map((file) => runCommand([file, '--version']).then(({ stdout }) => stdout)),
  ).catch((cause: unknown) => {
    throw new CasemateError('runtime_unavailable', `${path} does not tell its version.`, { cause });
  });
  const version = versionOf(said ?? '');
  if (version === undefined || versionOf(jailer ?? '') !== version)
    throw new CasemateError('runtime_unavailable', `${path} and its jailer are not of one version.`);
  if (!isNewEnough(version))
    throw new CasemateError('runtime_unavailable', `Firecracker ${version} is older than 1.12.`);
  return { path, version };
}

function versionOf(said: string): string | undefined {
  return /v(\d+\.\d+\.\d+\S*)/.exec(said)?.[1];
}

/** 1.12 starts a kernel through PVH, which Debian's has. */
function isNewEnough(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > 1 || (major === 1 && minor >= 12);
}
