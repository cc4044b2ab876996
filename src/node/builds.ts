/** Layers of templates on this host, as the server sees them; the root process keeps and mounts them. */
import { limits as bounds } from '../base/limits.ts';
import type { RootImageSource, RootInstance } from '../rootd/protocol.ts';
import { admit, hostRoom } from './admission.ts';
import type { RootClient } from './rootClient.ts';
import type { LiveSandbox, NodeBuilds } from './types.ts';

export interface HostBuildsOptions {
  readonly root: RootClient;
  /** Admits one more sandbox to the host. @throws CasemateError `no_capacity` */
  /** A folder on the file system that sandboxes' disks take their bytes from. */
  readonly diskProbeDir: string;
  readonly admit: (start: () => Promise<RootInstance>) => Promise<RootInstance>;
  readonly connect: (instance: RootInstance) => Promise<LiveSandbox>;
}

export class HostBuilds implements NodeBuilds {
  readonly #options: HostBuildsOptions;

  constructor(options: HostBuildsOptions) {
    this.#options = options;
  }

  pull(
    source: RootImageSource,
    onProgress: (message: string) => void,
  ): Promise<{ layer: string; config: string }> {
    return this.#options.root.call('pullImage', { source }, ({ message }) => onProgress(message));
  }

  async hasLayer(digest: string): Promise<boolean> {
    return (await this.#options.root.call('hasLayer', { digest })).has;
  }

  admit(): void {
    admit(hostRoom(this.#options.diskProbeDir), 0);
  }

  async start(params: Parameters<NodeBuilds['start']>[0]): Promise<LiveSandbox> {
    const { root, connect, diskProbeDir } = this.#options;
    // A step may write much, but never so much that the host's disk is full.
    const leftMib = hostRoom(diskProbeDir).diskAvailableMib - bounds.hostDiskReserveMib;
    const diskMib = Math.max(bounds.sandboxDiskMibMin, Math.min(params.limits.diskMib, leftMib));
    const limits = { ...params.limits, diskMib };
    const sandbox = await connect(
      await this.#options.admit(() => root.call('startLayer', { ...params, limits })),
    );
    await sandbox.guest.bind({ clockUnixMs: Date.now(), cpus: params.limits.cpus });
    return sandbox;
  }

  async seal(sandbox: LiveSandbox, digest: string): Promise<number> {
    sandbox.rest.end();
    sandbox.guest.close();
    return (await this.#options.root.call('sealLayer', { id: sandbox.id, digest })).bytes;
  }

  async defineImage(layers: readonly string[], settings: string): Promise<string> {
    return (await this.#options.root.call('defineImage', { layers, settings })).digest;
  }

  collect(options: Parameters<NodeBuilds['collect']>[0]): ReturnType<NodeBuilds['collect']> {
    return this.#options.root.call('collectImages', options);
  }
}
