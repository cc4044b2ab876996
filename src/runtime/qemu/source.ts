/** What a machine is started from: RAM, device state and disk layers in one folder; templates and snapshots look alike. */
import {
  closeSync,
  constants,
  copyFileSync,
  fstatSync,
  linkSync,
  openSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CasemateError } from '../../base/errors.ts';
import { controlFolder } from './control.ts';
import { controlFile, stateBytesMax } from './controlWire.ts';
import { type MachineShape, snapshotFormat } from './machine.ts';
import type { Platform } from './platform.ts';

/** `machine.json` of a source, and of a running machine's folder (without RAM and state). */
export interface MachineRecord {
  readonly shape: MachineShape;
  /** Files `layer0` … ; in a source all are read-only, in a machine's folder the last is its own. */
  readonly layers: number;
  /** The template's image that it was started with. */
  readonly rootImage: string;
  readonly rootImageBytes: number;
}

export const fileOf = {
  ram: (folder: string): string => join(folder, 'ram'),
  state: (folder: string): string => join(folder, 'state'),
  /** An empty layer of the disk's size, to copy. */
  emptyLayer: (folder: string): string => join(folder, 'empty'),
  layer: (folder: string, index: number): string => join(folder, `layer${index}`),
} as const;

/** Each snapshot of one running machine adds a layer, and each layer an open file and a look-up: a bound, far from what hurts. */
export const layersMax = 32;

/** @throws CasemateError `conflict` where a machine goes back over too many snapshots. */
export function needRoomForLayer({ layers }: MachineRecord): void {
  if (layers >= layersMax)
    throw new CasemateError(
      'conflict',
      `A virtual machine can be written down ${layersMax} times; pause and resume it before the next.`,
    );
}

export async function readRecord(folder: string): Promise<MachineRecord> {
  try {
    return JSON.parse(await readFile(join(folder, 'machine.json'), 'utf8')) as MachineRecord;
  } catch (cause) {
    throw new CasemateError('snapshot_damaged', 'This snapshot holds no readable machine.json.', { cause });
  }
}

export async function writeRecord(folder: string, record: MachineRecord): Promise<void> {
  await writeFile(join(folder, 'machine.json'), JSON.stringify(record), { mode: 0o600 });
}

/** @throws CasemateError `snapshot_mismatch`, naming the first thing that is not what it was. */
export function checkFits(shape: MachineShape, platform: Platform, imageDigest: string): void {
  const facts: [what: string, then: unknown, now: unknown][] = [
    ['the form of snapshots', shape.format, snapshotFormat],
    ['QEMU', shape.qemu, platform.qemu.version],
    ['hardware support', shape.accelerator, platform.accelerator],
    ['the processor', shape.processor, platform.processor],
    ['the guest’s kernel', shape.kernel, platform.kernel.version],
    ['the guest agent', shape.initrd, platform.initrd.digest],
    ['the template', shape.image, imageDigest],
  ];
  for (const [what, then, now] of facts) {
    if (then !== now)
      throw new CasemateError(
        'snapshot_mismatch',
        `This snapshot was taken with another state of ${what}: ${String(then)}, here it is ${String(now)}.`,
      );
  }
}

/** One more name for a file that nobody changes any more; a copy where the folders lie on different file systems. */
export function share(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EXDEV') throw error;
    copyFileSync(from, to, constants.COPYFILE_FICLONE);
  }
}

/** An empty file of the guest's memory. */
export async function makeRam(folder: string, guestMemoryMib: number): Promise<void> {
  const ram = await open(fileOf.ram(folder), 'wx', 0o600);
  await ram.truncate(guestMemoryMib * 1024 * 1024);
  await ram.close();
}

/** Takes the devices' state from where others can write: as a copy, and only if it is a plain file of a sensible size. */
export function takeState(directory: string, target: string): void {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  const path = join(controlFolder(directory), controlFile.state);
  const file = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    const stat = fstatSync(file);
    if (!stat.isFile() || stat.size > stateBytesMax)
      throw new CasemateError('internal', 'What should be a machine’s state is something else.');
    writeFileSync(target, readFileSync(file).subarray(0, stateBytesMax), { mode: 0o444, flag: 'wx' });
  } finally {
    closeSync(file);
  }
}
