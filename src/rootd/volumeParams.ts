/** Checks what the server asks of volumes: the root process trusts none of it. */
import { CasemateError } from '../base/errors.ts';
import { sandboxIdPattern } from '../base/ids.ts';
import { limits } from '../base/limits.ts';
import { componentsOf } from './beneath.ts';
import type { AttachedVolume, VolumeQuota } from './protocol.ts';

const slotsMax = 64;

export function volumeIdOf(value: unknown, field: string): string {
  if (typeof value === 'string' && sandboxIdPattern.test(value)) return value;
  throw new CasemateError('invalid_request', `"${field}" has 20 characters of [a-z0-9].`);
}

export function createVolumeParams(
  params: Record<string, unknown>,
): { volumeId: string; from?: string } & VolumeQuota {
  return {
    volumeId: volumeIdOf(params.volumeId, 'volumeId'),
    mib: whole(params.mib, 'mib', limits.volumeMibMin, 16 * 1024 * 1024),
    inodes: whole(params.inodes, 'inodes', 16, 2 ** 31),
    ...(params.from === undefined ? {} : { from: volumeIdOf(params.from, 'from') }),
  };
}

export function attachedOf(value: unknown): AttachedVolume[] {
  if (!Array.isArray(value) || value.length > slotsMax)
    throw new CasemateError('invalid_request', `"volumes" is a list of ${slotsMax} at most.`);
  return value.map((item: unknown) => {
    const { volumeId, slot, readOnly, subpath } = (item ?? {}) as Record<string, unknown>;
    if (subpath !== undefined) componentsOf(String(subpath));
    return {
      volumeId: volumeIdOf(volumeId, 'volumeId'),
      slot: whole(slot, 'slot', 0, slotsMax - 1),
      readOnly: readOnly !== false,
      ...(subpath === undefined ? {} : { subpath: String(subpath) }),
    };
  });
}

function whole(value: unknown, field: string, least: number, most: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value;
  throw new CasemateError('invalid_request', `"${field}" is a whole number from ${least} to ${most}.`);
}
