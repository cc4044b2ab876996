/** Binds folders of the host into a sandbox that runs: they appear under one folder that it was started with. */
import { mkdirSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from '../../base/child.ts';
import { CasemateError } from '../../base/errors.ts';

/** A folder of a volume, held open by the caller, and where it shall appear. */
export interface Attachment {
  /** 0 to 63; its name under the folder that the sandbox sees. */
  readonly slot: number;
  /** An open descriptor of the folder: a path could lead elsewhere by the time that it is used. */
  readonly descriptor: number;
  readonly readOnly: boolean;
}

/**
 * A bind that is made read-only after it was propagated would stay writable in the sandbox: it is made so at a private
 * place, and bound from there. `-c` keeps mount from turning the descriptor back into a path.
 */
const script = `
set -e
mount -c -o "bind,$3" /proc/self/fd/3 "$1"
mount --bind "$1" "$2" || { umount "$1"; exit 1; }
umount "$1"
`;

export class AttachFolder {
  /** What the sandbox is started with, as a slave: binds below it reach the sandbox, and nothing comes back. */
  readonly path: string;
  readonly #staging: string;

  /** @param directory the sandbox's own folder, root-owned. */
  constructor(directory: string) {
    this.path = join(directory, 'volumes');
    this.#staging = join(directory, 'volume-staging');
  }

  async create(): Promise<void> {
    mkdirSync(this.path, { mode: 0o711 });
    await runCommand(['mount', '--bind', '--make-shared', this.path, this.path]);
  }

  async attach({ slot, descriptor, readOnly }: Attachment): Promise<void> {
    const target = join(this.path, String(slot));
    const staging = `${this.#staging}-${slot}`;
    for (const folder of [target, staging]) mkdirSync(folder, { recursive: true, mode: 0o700 });
    await runCommand(['sh', '-c', script, 'casemate-attach', staging, target, readOnly ? 'ro' : 'rw'], {
      descriptors: [descriptor],
    });
    rmSync(staging, { recursive: true });
  }

  /** Idempotent; the sandbox's processes are dead. */
  async destroy(): Promise<void> {
    const mounts = await readFile('/proc/self/mounts', 'utf8');
    const points = mounts.split('\n').map((line) => line.split(' ')[1] ?? '');
    const own = points.filter((point) => [this.path, this.#staging].some((start) => point.startsWith(start)));
    // The last one mounted first. Lazily, because a dead process may not be gone from it to the last bit.
    for (const point of own.reverse()) await runCommand(['umount', '-l', point]);
  }
}

/** `attach` of monitors whose volumes were never tried. */
export async function attachNothing(): Promise<void> {
  throw new CasemateError('unsupported', 'Machines of this runtime take no volumes.');
}

/** `attach` of virtual machines: the guest's kernel asks for files over the agent's stream (docs/design/0006-volumes.md). */
export async function attachByStream(): Promise<void> {}
