/** Binds folders of the host into a sandbox that runs: they appear under one folder that it was started with. */
import { mkdirSync } from 'node:fs';
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

export class AttachFolder {
  /** What the sandbox is started with, as a slave: binds below it reach the sandbox, and nothing comes back. */
  readonly path: string;

  /** @param directory the sandbox's own folder, root-owned. */
  constructor(directory: string) {
    this.path = join(directory, 'volumes');
  }

  async create(): Promise<void> {
    mkdirSync(this.path, { mode: 0o711 });
    await runCommand(['mount', '--bind', '--make-shared', this.path, this.path]);
  }

  /**
   * One program that makes the mount and says where it belongs, read-only before anybody sees it: each `mount` more costs a claim
   * milliseconds.
   * @param agentDir holds the guest agent, whose program does it.
   */
  async attach({ slot, descriptor, readOnly }: Attachment, agentDir: string): Promise<void> {
    const target = join(this.path, String(slot));
    mkdirSync(target, { recursive: true, mode: 0o700 });
    const program = join(agentDir, 'guest-agent');
    await runCommand([program, 'volume', 'attach', target, readOnly ? 'ro' : 'rw'], {
      descriptors: [descriptor],
    });
  }

  /** Idempotent; the sandbox's processes are dead. */
  async destroy(): Promise<void> {
    const mounts = await readFile('/proc/self/mounts', 'utf8');
    const points = mounts.split('\n').map((line) => line.split(' ')[1] ?? '');
    const own = points.filter((point) => point.startsWith(this.path));
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
