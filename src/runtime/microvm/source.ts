/** What a microVM is started from: saved memory, device state and disk in one folder; templates and snapshots look alike. */
import {
  chmodSync,
  chownSync,
  constants,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CasemateError } from '../../base/errors.ts';
import { seal } from '../host/sealed.ts';
import type { MicrovmPlatform } from './platform.ts';
import { fileIn } from './vmm.ts';

/** Everything that a snapshot has to find again; `machine.json` of a source. */
export interface MicrovmShape {
  readonly format: 1;
  readonly monitor: string;
  readonly version: string;
  readonly processor: string;
  readonly kernel: string;
  /** SHA-256 of the initial RAM disk, hence of the agent. */
  readonly initrd: string;
  /** SHA-256 of the template's image. */
  readonly image: string;
  readonly guestMemoryMib: number;
  readonly processors: number;
  readonly diskMib: number;
}

/** @throws CasemateError `snapshot_damaged` */
export async function readShape(folder: string): Promise<MicrovmShape> {
  try {
    return JSON.parse(await readFile(join(folder, 'machine.json'), 'utf8')) as MicrovmShape;
  } catch (cause) {
    throw new CasemateError('snapshot_damaged', 'This snapshot holds no readable machine.json.', { cause });
  }
}

export async function writeShape(folder: string, shape: MicrovmShape): Promise<void> {
  await writeFile(join(folder, 'machine.json'), JSON.stringify(shape), { mode: 0o600 });
}

/** @throws CasemateError `snapshot_mismatch`, naming the first thing that is not what it was. */
export function checkFits(
  shape: MicrovmShape,
  monitor: string,
  platform: MicrovmPlatform,
  image: string,
): void {
  const facts: [what: string, then: unknown, now: unknown][] = [
    ['the form of snapshots', shape.format, 1],
    ['the runtime', shape.monitor, monitor],
    [`${monitor}’s version`, shape.version, platform.program.version],
    ['the processor', shape.processor, platform.processor],
    ['the guest’s kernel', shape.kernel, platform.kernel.version],
    ['the guest agent', shape.initrd, platform.initrd.digest],
    ['the template', shape.image, image],
  ];
  for (const [what, then, now] of facts) {
    if (then !== now)
      throw new CasemateError(
        'snapshot_mismatch',
        `This snapshot was taken with another state of ${what}: ${String(then)}, here it is ${String(now)}.`,
      );
  }
}

/** Names of the saved files, for more names of them in a machine's root. */
export function savedFiles(source: string): Record<string, string> {
  const folder = join(source, fileIn.saved);
  if (!existsSync(folder)) return {}; // files alone
  return Object.fromEntries(
    readdirSync(folder).map((name) => [`${fileIn.saved}/${name}`, join(folder, name)]),
  );
}

/**
 * Takes what a monitor wrote. It may have been broken into: what is no plain file of its own is refused, and looked at
 * only where it can change no name any more.
 * @param aside a folder of root's on the same file system, which does not exist yet.
 */
export function takeSaved(written: string, aside: string, target: string, uid: number): void {
  const kept = join(target, fileIn.saved);
  renameSync(written, aside);
  try {
    chownSync(aside, 0, 0);
    chmodSync(aside, 0o700);
    mkdirSync(kept, { mode: 0o711 });
    for (const name of readdirSync(aside)) {
      const from = join(aside, name);
      const { uid: owner, nlink } = lstatSync(from);
      if (!lstatSync(from).isFile() || owner !== uid || nlink !== 1)
        throw new CasemateError('internal', 'The machine’s monitor wrote something that is no plain file.');
      chownSync(from, 0, 0);
      chmodSync(from, 0o444);
      moveFile(from, join(kept, name));
    }
  } finally {
    rmSync(aside, { recursive: true, force: true });
  }
}

/** Makes all files of a source root's and read-only. @throws CasemateError `internal` where somebody can still write to one */
export async function sealSource(folder: string): Promise<void> {
  await seal(join(folder, fileIn.disk), ...Object.values(savedFiles(folder)));
}

function moveFile(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EXDEV') throw error;
    copyFileSync(from, to, constants.COPYFILE_EXCL);
  }
}
