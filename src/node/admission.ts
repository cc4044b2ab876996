/** Decides whether one more sandbox fits on this host; says no in words rather than letting the host swap. */
import { readFileSync, statfsSync } from 'node:fs';
import { CasemateError } from '../base/errors.ts';
import { limits } from '../base/limits.ts';
import type { RootVolume } from '../rootd/protocol.ts';
import type { Inspection } from '../runtime/driver.ts';

/** What a sandbox takes at least before a program in it asks for memory. */
const sandboxMemoryMibLeast = 32;
/** Real bytes on disk that a fresh sandbox takes. */
const sandboxDiskMibLeast = 8;

export interface HostRoom {
  readonly memoryAvailableMib: number;
  readonly diskAvailableMib: number;
}

/** Reads what the kernel says is left. */
export function hostRoom(directory: string): HostRoom {
  const meminfo = readFileSync('/proc/meminfo', 'utf8');
  const available = Number(/^MemAvailable:\s+(\d+) kB$/m.exec(meminfo)?.[1] ?? 0);
  const disk = statfsSync(directory);
  return {
    memoryAvailableMib: Math.floor(available / 1024),
    diskAvailableMib: Math.floor((disk.bavail * disk.bsize) / (1024 * 1024)),
  };
}

/**
 * Memory may be promised more than once (most sandboxes idle); it is given only while the host really has it. What
 * sandboxes take afterwards is bounded by their own limits and by the limit of all of them together.
 * @param starting sandboxes that were admitted but have not taken their memory yet.
 * @throws CasemateError `no_capacity`
 */
export function admit(room: HostRoom, starting: number): void {
  const memoryNeededMib = limits.hostMemoryReserveMib + sandboxMemoryMibLeast * (starting + 1);
  if (room.memoryAvailableMib < memoryNeededMib) {
    throw new CasemateError(
      'no_capacity',
      `The host has ${room.memoryAvailableMib} MiB of memory left, of which ${limits.hostMemoryReserveMib} MiB are held back.`,
    );
  }
  const diskNeededMib = limits.hostDiskReserveMib + sandboxDiskMibLeast * (starting + 1);
  if (room.diskAvailableMib < diskNeededMib) {
    throw new CasemateError(
      'no_capacity',
      `The host has ${room.diskAvailableMib} MiB of disk left, of which ${limits.hostDiskReserveMib} MiB are held back.`,
    );
  }
}

/** Its memory and its files have to fit on the disk. @throws CasemateError `no_capacity` */
export function admitSnapshot(
  room: HostRoom,
  { memoryBytes, diskBytes }: Pick<Inspection, 'memoryBytes' | 'diskBytes'>,
): void {
  const neededMib = Math.ceil((memoryBytes + diskBytes) / (1024 * 1024));
  const freeMib = room.diskAvailableMib - limits.hostDiskReserveMib;
  if (neededMib <= freeMib) return;
  throw new CasemateError(
    'no_capacity',
    `A snapshot of about ${neededMib} MiB does not fit: ${Math.max(0, freeMib)} MiB of disk are not held back.`,
  );
}

/**
 * What a volume promises is kept: there is room for all of them full, so that none fails in the middle of a write because
 * others grew.
 * @throws CasemateError `no_capacity`
 */
export function admitVolume(room: HostRoom, volumes: readonly RootVolume[], mib: number): void {
  const promisedBytes = volumes.reduce(
    (sum, volume) => sum + Math.max(0, volume.mib * 1024 * 1024 - volume.allocatedBytes),
    0,
  );
  const freeMib =
    room.diskAvailableMib - Math.ceil(promisedBytes / (1024 * 1024)) - limits.hostDiskReserveMib;
  if (mib <= freeMib) return;
  throw new CasemateError(
    'no_capacity',
    `A volume of ${mib} MiB does not fit: ${Math.max(0, freeMib)} MiB of disk are neither held back nor promised to volumes.`,
  );
}
