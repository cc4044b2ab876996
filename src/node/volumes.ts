/** Volumes of this host as the server sees them: admission, and attaching them to sandboxes that run. */
import type { AttachedVolume, RootMethods, RootVolume } from '../rootd/protocol.ts';
import { admitVolume, hostRoom } from './admission.ts';
import type { RootClient } from './rootClient.ts';
import type { LiveSandbox, WantedVolume } from './types.ts';

export class HostVolumes {
  readonly #root: RootClient;
  readonly #diskProbeDir: string;

  constructor(root: RootClient, diskProbeDir: string) {
    this.#root = root;
    this.#diskProbeDir = diskProbeDir;
  }

  /** @throws CasemateError `no_capacity` */
  async create(params: RootMethods['createVolume']['params']): Promise<void> {
    admitVolume(hostRoom(this.#diskProbeDir), await this.list(), params.mib);
    await this.#root.call('createVolume', params);
  }

  async remove(volumeId: string): Promise<void> {
    await this.#root.call('removeVolume', { volumeId });
  }

  list(): Promise<readonly RootVolume[]> {
    return this.#root.call('volumes', {});
  }

  /** The host makes them appear, the agent puts them where they are wanted. */
  async attach(sandbox: LiveSandbox, wanted: readonly WantedVolume[] = []): Promise<void> {
    if (wanted.length === 0) return;
    await this.#root.call('attachVolumes', { id: sandbox.id, volumes: wanted.map(attachedOf) });
    for (const { slot, path } of wanted) await sandbox.guest.mountVolume({ slot, path });
  }
}

/** What the root process has to know of it: not where it is inside. */
export function attachedOf({ volumeId, slot, readOnly, subpath }: AttachedVolume): AttachedVolume {
  return { volumeId, slot, readOnly, ...(subpath === undefined ? {} : { subpath }) };
}
