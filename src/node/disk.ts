/** The disk of this host as the server sees it: what is left, what takes it up, and taking away what nobody owns. */
import { statfsSync } from 'node:fs';
import type { RootDiskItem, RootDiskKind } from '../rootd/protocol.ts';
import type { RootClient } from './rootClient.ts';

export interface DiskRoom {
  readonly totalBytes: number;
  readonly freeBytes: number;
}

export class HostDisk {
  readonly #root: RootClient;
  readonly #probeDir: string;

  constructor(root: RootClient, probeDir: string) {
    this.#root = root;
    this.#probeDir = probeDir;
  }

  room(): DiskRoom {
    const { blocks, bavail, bsize } = statfsSync(this.#probeDir);
    return { totalBytes: blocks * bsize, freeBytes: bavail * bsize };
  }

  list(): Promise<readonly RootDiskItem[]> {
    return this.#root.call('diskUse', {});
  }

  async remove(kind: RootDiskKind, id: string): Promise<void> {
    await this.#root.call('removeOwnerless', { kind, id });
  }
}
