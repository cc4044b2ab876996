/** Finds Cloud Hypervisor and refuses builds with known holes. */
import { accessSync, constants } from 'node:fs';
import { runCommand } from '../../base/child.ts';
import { CasemateError } from '../../base/errors.ts';
import type { VmmProgram } from '../microvm/vmm.ts';

export const remedy =
  'Set CASEMATE_CLOUD_HYPERVISOR to a static cloud-hypervisor program (52 or newer), on a machine where KVM boots a guest.';

/** CVE-2026-45782, a use after free in the block device, is mended from here on. */
const versionMin = 52;

/** @param path from CASEMATE_CLOUD_HYPERVISOR. @throws CasemateError `runtime_unavailable` */
export async function findCloudHypervisor(path: string | undefined): Promise<VmmProgram> {
  if (path === undefined || path === '')
    throw new CasemateError('runtime_unavailable', 'CASEMATE_CLOUD_HYPERVISOR names no program.');
  try {
    accessSync(path, constants.X_OK);
  } catch (cause) {
    throw new CasemateError('runtime_unavailable', `${path} is no program that can be started.`, { cause });
  }
  const said = await runCommand([path, '--version']).catch((cause: unknown) => {
    throw new CasemateError('runtime_unavailable', `${path} does not tell its version.`, { cause });
  });
  const version = /v(\d+\.\d+\S*)/.exec(said.stdout)?.[1];
  if (version === undefined)
    throw new CasemateError('runtime_unavailable', `${path} does not tell its version.`);
  if (Number.parseInt(version, 10) < versionMin)
    throw new CasemateError(
      'runtime_unavailable',
      `Cloud Hypervisor ${version} is older than ${versionMin}.`,
    );
  return { path, version };
}
