/** The root half of template builds: images pulled into layers, sandboxes whose changes become layers, caches of builds. */
import { createHash } from 'node:crypto';
import { chmodSync, chownSync, existsSync, lstatSync, mkdirSync, readdirSync, statfsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from '../base/child.ts';
import type { RegistrySetting, SystemUser } from '../base/config.ts';
import { CasemateError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import { limits as bounds } from '../base/limits.ts';
import type { Layers } from '../image/layers.ts';
import { type ImageSource, pullImage, registryDigest } from '../image/pull.ts';
import type { LayerMount, SandboxLimits } from '../runtime/driver.ts';
import type { CgroupSet } from '../runtime/host/cgroup.ts';
import { SandboxDisk } from '../runtime/host/disk.ts';
import type { Instances } from './instances.ts';
import type { RootImageSource, RootInstance, RootLayerSource } from './protocol.ts';

export interface BuildsOptions {
  readonly instances: Instances;
  readonly layers: Layers;
  readonly cgroups: CgroupSet;
  readonly sandboxesDir: string;
  /** The server's folder of what builds take in: one folder a context, one file an archive. Its parent is root's. */
  readonly contextsDir: string;
  /** Root's: one folder a cache that `RUN --mount=type=cache` asks for. */
  readonly cachesDir: string;
  readonly serverUser: SystemUser;
  readonly registries: readonly RegistrySetting[];
}

/** Raised when an image is unpacked in another way. */
const unpackVersion = 1;
/** What the tools may use that fetch and unpack one image. */
const jailLimits = { cpus: 2, memoryMib: 1024, diskMib: bounds.imageMibMax, pids: 256 };
const hashMsMax = 120_000;
const folderPattern = /^[a-z0-9]{20}$/;
const cachePattern = /^[0-9a-f]{64}$/;

export interface LayerStart {
  readonly layers: readonly string[];
  readonly sources: Readonly<Record<string, RootLayerSource>>;
  /** Where each cache is seen inside. */
  readonly caches: readonly { readonly id: string; readonly target: string }[];
  readonly limits: SandboxLimits;
}

export class Builds {
  readonly #options: BuildsOptions;
  readonly #pulling = new Map<string, Promise<{ layer: string; config: string }>>();
  /** Who has a cache: the next waits until it is let go. */
  readonly #cacheTurns = new Map<string, Promise<void>>();
  readonly #letGo = new Map<string, () => Promise<void>>();
  /** Folders of sandboxes that images are being unpacked in, which no journal entry names. */
  readonly #places = new Set<string>();

  constructor(options: BuildsOptions) {
    this.#options = options;
    mkdirSync(options.contextsDir, { recursive: true, mode: 0o711 });
    chownSync(options.contextsDir, options.serverUser.uid, options.serverUser.gid);
    chmodSync(options.contextsDir, 0o711);
    mkdirSync(options.cachesDir, { recursive: true, mode: 0o700 });
  }

  /** What an earlier process left mounted. */
  async sweep(): Promise<void> {
    await this.#options.layers.sweep();
    for (const name of readdirSync(this.#options.cachesDir))
      await new SandboxDisk(join(this.#options.cachesDir, name)).unmount();
  }

  /** An image as a layer, fetched and unpacked unless it is there. @throws CasemateError `build_failed` */
  async pull(
    source: RootImageSource,
    onProgress: (message: string) => void,
  ): Promise<{ layer: string; config: string }> {
    const id = newId();
    const directory = join(this.#options.sandboxesDir, id);
    this.#options.cgroups.create(id, jailLimits);
    this.#places.add(id);
    try {
      mkdirSync(directory, { mode: 0o711 });
      if (source.kind === 'scratch') return { layer: await this.#emptyLayer(directory), config: '{}' };
      const from = this.#imageSource(source);
      const identity = await this.#identity(from, directory, id);
      const layer = createHash('sha256').update(`image ${unpackVersion} ${identity}`).digest('hex');
      const known = await this.#options.layers.find(layer);
      if (known?.config !== undefined) return { layer, config: known.config };
      const running = this.#pulling.get(layer) ?? this.#pull(from, layer, directory, id, onProgress);
      this.#pulling.set(layer, running);
      return await running.finally(() => this.#pulling.delete(layer));
    } catch (error) {
      if (error instanceof CasemateError) throw error;
      throw new CasemateError('build_failed', reasonOf(error), { cause: error });
    } finally {
      await this.#options.cgroups.destroy(id);
      await new SandboxDisk(directory).destroy();
      await rm(directory, { recursive: true, force: true });
      this.#places.delete(id);
    }
  }

  /** Whether an image is being unpacked in that folder. */
  pulls(id: string): boolean {
    return this.#places.has(id);
  }

  hasCacheOpen(id: string): boolean {
    return this.#cacheTurns.has(id);
  }

  async #pull(
    source: ImageSource,
    layer: string,
    directory: string,
    id: string,
    onProgress: (message: string) => void,
  ): Promise<{ layer: string; config: string }> {
    const disk = new SandboxDisk(directory);
    await disk.create(roomForImage(this.#options.sandboxesDir), { files: true });
    chmodSync(disk.mountPoint, 0o711); // the jail's users have to get through
    const cgroupJoinFiles = this.#options.cgroups.joinFiles(id);
    const config = await pullImage(source, { directory, disk: disk.mountPoint, cgroupJoinFiles }, onProgress);
    await rm(join(disk.mountPoint, 'work'), { recursive: true, force: true });
    await disk.unmount();
    await this.#options.layers.take(layer, disk.image, { jailed: true, config });
    return { layer, config };
  }

  /** What `FROM scratch` begins with: nothing but the place where the agent is seen. */
  async #emptyLayer(directory: string): Promise<string> {
    const layer = createHash('sha256').update('scratch').digest('hex');
    if (await this.has(layer)) return layer;
    const disk = new SandboxDisk(directory);
    await disk.create(bounds.sandboxDiskMibMin, { files: true });
    for (const folder of ['upper', 'upper/.casemate']) mkdirSync(join(disk.mountPoint, folder));
    await disk.unmount();
    await this.#options.layers.take(layer, disk.image, { jailed: false });
    return layer;
  }

  #imageSource(source: Exclude<RootImageSource, { kind: 'scratch' }>): ImageSource {
    const { registries, contextsDir } = this.#options;
    if (source.kind !== 'registry') {
      const path = join(contextsDir, named(source.id));
      return source.kind === 'archive' ? { kind: 'archive', file: path } : { kind: 'layout', folder: path };
    }
    const registry = registries.find(({ name }) => name === source.registry);
    if (registry === undefined)
      throw new CasemateError('forbidden', `No images are pulled from ${JSON.stringify(source.registry)}.`, {
        hint: 'The administrator names the registries that builds may use: `casemate serve --registry`.',
      });
    const host = registry.location ?? (registry.name === 'hub' ? '' : registry.name);
    const location = `${host === '' ? '' : `${host}/`}${source.repository}${source.reference}`;
    return { kind: 'registry', location, insecure: registry.insecure };
  }

  /** What tells this image from every other one. */
  async #identity(source: ImageSource, directory: string, id: string): Promise<string> {
    if (source.kind !== 'registry') {
      // Everything in a layout hangs by digests on its index.
      const file = source.kind === 'archive' ? source.file : join(source.folder, 'index.json');
      const { stdout } = await runCommand(['sha256sum', file], { timeoutMs: hashMsMax });
      return stdout.slice(0, 64);
    }
    const place = join(directory, 'inspect');
    mkdirSync(place);
    const cgroupJoinFiles = this.#options.cgroups.joinFiles(id);
    return registryDigest(source, { place, cgroupJoinFiles });
  }

  async has(digest: string): Promise<boolean> {
    return (await this.#options.layers.find(digest)) !== undefined;
  }

  /** Starts a sandbox on these layers whose changes can be sealed as the next. */
  async start({ layers, sources, caches, limits }: LayerStart): Promise<RootInstance> {
    const store = this.#options.layers;
    const templateRoot = await store.root(layers);
    const shown: Record<string, string> = {};
    for (const [name, source] of Object.entries(sources)) shown[name] = await this.#sourceFolder(source);
    const taken = await this.#takeCaches(caches.map(({ id }) => id));
    const mounts: LayerMount[] = caches.map(({ id, target }) => ({
      source: join(new SandboxDisk(join(this.#options.cachesDir, id)).mountPoint, 'files'),
      target,
      writable: true,
    }));
    try {
      const instance = await this.#options.instances.createForLayer({
        templateRoot,
        limits,
        layer: { sources: shown, mounts },
      });
      this.#letGo.set(instance.id, taken);
      return instance;
    } catch (error) {
      await taken();
      throw error;
    }
  }

  async #sourceFolder(source: RootLayerSource): Promise<string> {
    if ('layers' in source) return this.#options.layers.root(source.layers);
    const folder = join(this.#options.contextsDir, named(source.context));
    if (!lstatSync(folder, { throwIfNoEntry: false })?.isDirectory())
      throw new CasemateError('not_found', 'There is no such build context.');
    return folder;
  }

  /** Waits for its turn with each; answers what gives them back. */
  async #takeCaches(ids: readonly string[]): Promise<() => Promise<void>> {
    const ends: (() => void)[] = [];
    const taken: SandboxDisk[] = [];
    const release = async (): Promise<void> => {
      for (const disk of taken.splice(0)) await disk.unmount();
      for (const end of ends.splice(0)) end();
    };
    try {
      // In one order for everybody: two builds that want the same two never wait for each other.
      for (const id of [...new Set(ids)].sort()) {
        const before = this.#cacheTurns.get(id);
        const turn = Promise.withResolvers<void>();
        this.#cacheTurns.set(id, turn.promise);
        ends.push(() => {
          if (this.#cacheTurns.get(id) === turn.promise) this.#cacheTurns.delete(id);
          turn.resolve();
        });
        await before;
        taken.push(await this.#openCache(id));
      }
      return release;
    } catch (error) {
      await release();
      throw error;
    }
  }

  async #openCache(id: string): Promise<SandboxDisk> {
    if (!cachePattern.test(id)) throw new CasemateError('invalid_request', 'A cache id has 64 hex digits.');
    const directory = join(this.#options.cachesDir, id);
    const disk = new SandboxDisk(directory);
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    if (existsSync(disk.image)) await disk.mount();
    else await disk.create(bounds.buildCacheMibMax, { files: true });
    mkdirSync(join(disk.mountPoint, 'files'), { recursive: true, mode: 0o755 });
    return disk;
  }

  /** Ends the sandbox; what it changed is a layer from now on. */
  async seal(id: string, digest: string): Promise<{ bytes: number }> {
    try {
      const image = await this.#options.instances.sealLayer(id);
      const { bytes } = await this.#options.layers.take(digest, image, { jailed: false });
      return { bytes };
    } finally {
      await this.#options.instances.destroy(id);
      await this.ended(id);
    }
  }

  /** A sandbox is gone: its caches are the next one's. */
  async ended(id: string): Promise<void> {
    await this.#letGo.get(id)?.();
    this.#letGo.delete(id);
  }
}

function named(id: string): string {
  if (folderPattern.test(id)) return id;
  throw new CasemateError('invalid_request', 'A build context is named by 20 characters.');
}

/** What an image may take: never so much that the host's disk is full. @throws CasemateError `no_capacity` */
function roomForImage(directory: string): number {
  const { bavail, bsize } = statfsSync(directory);
  const leftMib = Math.floor((bavail * bsize) / (1024 * 1024)) - bounds.hostDiskReserveMib;
  if (leftMib >= bounds.sandboxDiskMibMin) return Math.min(leftMib, bounds.imageMibMax);
  throw new CasemateError('no_capacity', 'The disk of this host has no room for an image.');
}

/** The end of what the tool said; it speaks of the image that somebody named, not of the host. */
function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return `The image cannot be used: ${text.replaceAll(/\s+/g, ' ').slice(-600)}`;
}
