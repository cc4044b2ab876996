/** Layers of templates on this host, as the server sees them; the root process keeps and mounts them. */
import type { RootImageSource, RootInstance } from '../rootd/protocol.ts';
import type { RootClient } from './rootClient.ts';
import type { LiveSandbox, NodeBuilds } from './types.ts';

export interface HostBuildsOptions {
  readonly root: RootClient;
  /** Admits one more sandbox to the host. @throws CasemateError `no_capacity` */
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

  async start(params: Parameters<NodeBuilds['start']>[0]): Promise<LiveSandbox> {
    const { root, admit, connect } = this.#options;
    const sandbox = await connect(await admit(() => root.call('startLayer', params)));
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
