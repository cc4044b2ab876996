/** Volumes of this host as the server sees them: admission, and attaching them to sandboxes that run. */
import { limits } from '../base/limits.ts';
import type { GuestClient } from '../guest/client.ts';
import { openAgentStream } from '../guest/stream.ts';
import { VolumeClient } from '../guest/volumeClient.ts';
import type { AttachedVolume, RootInstance, RootMethods, RootVolume } from '../rootd/protocol.ts';
import type { RuntimeCapabilities } from '../runtime/driver.ts';
import { admitVolume, hostRoom } from './admission.ts';
import type { RootClient } from './rootClient.ts';
import type { LiveSandbox, WantedVolume } from './types.ts';
import { bridgeVolume } from './volumeBridge.ts';

/** What serves one volume's files, and how many calls use it now. */
interface Served {
  readonly client: Promise<VolumeClient>;
  users: number;
  idle?: NodeJS.Timeout | undefined;
}

export class HostVolumes {
  readonly #root: RootClient;
  readonly #diskProbeDir: string;
  readonly #served = new Map<string, Served>();
  /** Whose volumes come over their agent's stream. */
  readonly #streaming = new WeakMap<GuestClient, RootInstance>();
  /** What was attached since the root process told of a sandbox. */
  readonly #added = new WeakMap<RootInstance, readonly AttachedVolume[]>();

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
    await this.#stopServing(volumeId);
    await this.#root.call('removeVolume', { volumeId });
  }

  list(): Promise<readonly RootVolume[]> {
    return this.#root.call('volumes', {});
  }

  async useFiles(
    volumeId: string,
    readOnly: boolean,
  ): Promise<{ readonly files: VolumeClient; readonly done: () => void }> {
    const served = this.#served.get(volumeId) ?? this.#serve(volumeId, readOnly);
    clearTimeout(served.idle);
    served.users += 1;
    const done = (): void => {
      served.users -= 1;
      if (served.users > 0) return;
      served.idle = setTimeout(() => {
        if (this.#served.get(volumeId) === served) void this.#stopServing(volumeId).catch(() => {});
      }, limits.volumeFilesIdleMs).unref();
    };
    try {
      return { files: await served.client, done };
    } catch (error) {
      done();
      throw error;
    }
  }

  #serve(volumeId: string, readOnly: boolean): Served {
    const open = async (): Promise<VolumeClient> => {
      const { stream } = await this.#root.call('openVolumeFiles', { volumeId, readOnly });
      return VolumeClient.attach(await openAgentStream(stream));
    };
    const served: Served = { client: open(), users: 0 };
    this.#served.set(volumeId, served);
    const forget = (): void => {
      if (this.#served.get(volumeId) === served) this.#served.delete(volumeId);
    };
    served.client.then((client) => client.closed.then(forget), forget);
    return served;
  }

  async #stopServing(volumeId: string): Promise<void> {
    const served = this.#served.get(volumeId);
    if (served === undefined) return;
    this.#served.delete(volumeId);
    clearTimeout(served.idle);
    (await served.client.catch(() => undefined))?.close();
    await this.#root.call('closeVolumeFiles', { volumeId });
  }

  /** The host makes them appear, the agent puts them where they are wanted. */
  async attach(sandbox: LiveSandbox, wanted: readonly WantedVolume[] = []): Promise<void> {
    if (wanted.length === 0) return;
    const volumes = wanted.map(attachedOf);
    const instance = this.#streaming.get(sandbox.guest);
    const mounted = this.#mount(sandbox, wanted, instance !== undefined);
    if (instance === undefined) return mounted;
    // What will answer a machine's requests gets ready meanwhile.
    await this.#bridge(sandbox.guest, volumes, mounted);
    this.#added.set(instance, [...(this.#added.get(instance) ?? []), ...volumes]);
  }

  async #mount(sandbox: LiveSandbox, wanted: readonly WantedVolume[], stream: boolean): Promise<void> {
    await this.#root.call('attachVolumes', { id: sandbox.id, volumes: wanted.map(attachedOf) });
    for (const { slot, path, readOnly } of wanted)
      await sandbox.guest.mountVolume({ slot, path, ...(stream ? { stream, readOnly } : {}) });
  }

  /** Lets requests flow again for volumes that are mounted in it, where they come over the agent's stream. */
  async connected(
    instance: RootInstance,
    guest: GuestClient,
    how: RuntimeCapabilities['volumes'],
  ): Promise<void> {
    if (how !== 'stream') return;
    this.#streaming.set(guest, instance);
    const mounted = new Map(
      [...(instance.volumes ?? []), ...(this.#added.get(instance) ?? [])].map((volume) => [
        volume.slot,
        volume,
      ]),
    );
    await this.#bridge(guest, [...mounted.values()]);
  }

  async #bridge(
    guest: GuestClient,
    volumes: readonly AttachedVolume[],
    mounted = Promise.resolve(),
  ): Promise<void> {
    const useFiles = (volumeId: string): ReturnType<HostVolumes['useFiles']> =>
      this.useFiles(volumeId, false);
    await Promise.all(
      volumes.map((volume) =>
        bridgeVolume({ guest, volume, mounted, useFiles: () => useFiles(volume.volumeId) }),
      ),
    );
  }
}

/** What the root process has to know of it: not where it is inside. */
export function attachedOf({ volumeId, slot, readOnly, subpath }: AttachedVolume): AttachedVolume {
  return { volumeId, slot, readOnly, ...(subpath === undefined ? {} : { subpath }) };
}
