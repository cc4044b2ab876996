/** The layers of images that people bring or build: one small disk image each, stacked read-only, shared by all templates. */
import { createHash } from 'node:crypto';
import { closeSync, fsyncSync, mkdirSync, openSync, readdirSync, statSync } from 'node:fs';
import { readFile, rename, rm, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from '../base/child.ts';
import { CasemateError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import { firstJailId, jailProgram } from './jail.ts';

/** SHA-256 of what it is made of; `template-` and the digest of a shipped template is a layer too. */
const layerPattern = /^[0-9a-f]{64}$/;
const templatePrefix = 'template-';
/** Layers of one root; overlayfs takes 500, and its options have to fit a page. */
export const layersMax = 120;

export interface LayerManifest {
  /** Whether its files belong to the users of the jail that unpacked them, or have the numbers that they shall have. */
  readonly jailed: boolean;
  readonly bytes: number;
  readonly createdAt: string;
  /** Of an unpacked image: its configuration, as it came. */
  readonly config?: string;
}

export interface StoredLayer extends LayerManifest {
  readonly digest: string;
}

export interface LayersOptions {
  /** Root's own folder, on the file system of the sandboxes. */
  readonly directory: string;
  /** The root of a shipped template. @throws CasemateError where it is gone. */
  readonly templateRoot: (digest: string) => string;
}

export class Layers {
  readonly #options: LayersOptions;
  readonly #roots = new Map<string, Promise<string>>();

  constructor(options: LayersOptions) {
    this.#options = options;
    for (const folder of ['', 'store', 'images', 'disks', 'shown', 'roots'])
      mkdirSync(join(options.directory, folder), { recursive: true, mode: 0o700 });
  }

  #path(...names: string[]): string {
    return join(this.#options.directory, ...names);
  }

  /** Takes away what a root process that died left half-made. */
  async sweep(): Promise<void> {
    for (const name of readdirSync(this.#path('store')))
      if (name.endsWith('.partial')) await rm(this.#path('store', name), { recursive: true });
  }

  /** @throws CasemateError `invalid_request` for what is no digest. */
  async find(digest: string): Promise<StoredLayer | undefined> {
    const file = this.#path('store', checked(digest), 'manifest.json');
    const text = await readFile(file, 'utf8').catch(() => undefined);
    return text === undefined ? undefined : { digest, ...(JSON.parse(text) as LayerManifest) };
  }

  async list(): Promise<StoredLayer[]> {
    const found = await Promise.all(
      readdirSync(this.#path('store'))
        .filter((name) => layerPattern.test(name))
        .map((name) => this.find(name)),
    );
    return found.filter((layer) => layer !== undefined);
  }

  /** Takes a disk image, which nothing has mounted any more, in as a layer. It is on the disk when this resolves. */
  async take(
    digest: string,
    image: string,
    manifest: Omit<LayerManifest, 'bytes' | 'createdAt'>,
  ): Promise<StoredLayer> {
    const target = this.#path('store', checked(digest));
    const known = await this.find(digest);
    if (known !== undefined) return known; // somebody else was faster
    const partial = `${target}.${newId(8)}.partial`;
    mkdirSync(partial, { mode: 0o700 });
    try {
      const file = openSync(image, 'r');
      fsyncSync(file);
      closeSync(file);
      await rename(image, join(partial, 'layer.img'));
      const bytes = statSync(join(partial, 'layer.img')).blocks * 512;
      const whole: LayerManifest = { ...manifest, bytes, createdAt: new Date().toISOString() };
      await writeFile(join(partial, 'manifest.json'), JSON.stringify(whole), { mode: 0o600, flush: true });
      await rename(partial, target);
      return { digest, ...whole };
    } finally {
      await rm(partial, { recursive: true, force: true });
    }
  }

  /**
   * The folder where the layers, from the lowest up, are seen as one read-only tree.
   * @throws CasemateError `template_not_ready` where one is gone.
   */
  root(layers: readonly string[]): Promise<string> {
    const key = createHash('sha256').update(layers.join(' ')).digest('hex').slice(0, 32);
    let root = this.#roots.get(key);
    if (root === undefined) {
      root = this.#mountRoot(key, layers);
      root.catch(() => this.#roots.delete(key));
      this.#roots.set(key, root);
    }
    return root;
  }

  async #mountRoot(key: string, layers: readonly string[]): Promise<string> {
    if (layers.length === 0 || layers.length > layersMax)
      throw new CasemateError('invalid_request', `A template has 1 to ${layersMax} layers.`);
    const root = this.#path('roots', key);
    const shown: string[] = [];
    for (const layer of layers) shown.unshift(await this.#show(layer));
    mkdirSync(root, { recursive: true, mode: 0o755 });
    if (await isMounted(root)) return root;
    // Names relative to the folder: the options of one mount have to fit a page. A stack of one is shown as it is.
    const [first = ''] = shown;
    const argv =
      shown.length === 1
        ? ['mount', '--bind', '-o', 'ro', this.#path('shown', first), root]
        : ['mount', '-t', 'overlay', '-o', `ro,nosuid,nodev,lowerdir=${shown.join(':')}`, 'casemate', root];
    await runCommand(['env', '-C', this.#path('shown'), ...argv]);
    return root;
  }

  /** Makes one layer's tree visible below `shown`; answers its name there. */
  async #show(layer: string): Promise<string> {
    const name = layer.slice(0, layer.startsWith(templatePrefix) ? templatePrefix.length + 12 : 12);
    const target = this.#path('shown', name);
    mkdirSync(target, { recursive: true, mode: 0o755 });
    if (await isMounted(target)) return name;
    if (layer.startsWith(templatePrefix)) {
      const source = this.#options.templateRoot(layer.slice(templatePrefix.length));
      await runCommand(['mount', '--bind', '-o', 'ro', source, target]);
      return name;
    }
    const found = await this.find(layer);
    if (found === undefined)
      throw new CasemateError('template_not_ready', 'A layer of this template is gone: build it again.');
    const disk = this.#path('disks', name);
    mkdirSync(disk, { recursive: true, mode: 0o700 });
    if (!(await isMounted(disk))) {
      const image = this.#path('store', layer, 'layer.img');
      await runCommand(['mount', '-o', 'loop,ro,noload,nosuid,nodev,noatime', image, disk]);
    }
    if (found.jailed)
      await runCommand([jailProgram, 'idmap', join(disk, 'upper/root'), target, String(firstJailId)]);
    else await runCommand(['mount', '--bind', '-o', 'ro', join(disk, 'upper'), target]);
    return name;
  }

  /**
   * Writes down that a template consists of these layers.
   * @param settings a digest of what else tells it from another one.
   * @returns its digest.
   */
  async defineImage(layers: readonly string[], settings: string): Promise<string> {
    const digest = createHash('sha256')
      .update(`image ${settings} ${layers.join(' ')}`)
      .digest('hex');
    const file = this.#path('images', `${digest}.json`);
    await writeFile(`${file}.new`, JSON.stringify({ layers }), { mode: 0o600, flush: true });
    await rename(`${file}.new`, file);
    return digest;
  }

  images(): string[] {
    return readdirSync(this.#path('images'))
      .filter((name) => name.endsWith('.json'))
      .map((name) => name.slice(0, -'.json'.length));
  }

  /** The layers of a template. @throws CasemateError `template_not_ready` where it is gone. */
  async layersOf(digest: string): Promise<string[]> {
    const file = this.#path('images', `${checked(digest)}.json`);
    const text = await readFile(file, 'utf8').catch(() => undefined);
    if (text === undefined)
      throw new CasemateError('template_not_ready', 'This version of the template is not here any more.');
    return (JSON.parse(text) as { layers: string[] }).layers;
  }

  /** Takes away templates and layers that nothing needs. With `dryRun` it only says which. */
  async collect(options: {
    readonly keepImages: readonly string[];
    readonly keepLayers: readonly string[];
    readonly dryRun: boolean;
  }): Promise<{ images: string[]; layers: string[]; bytes: number }> {
    const keep = new Set(options.keepLayers);
    const images: string[] = [];
    for (const digest of this.images()) {
      if (!options.keepImages.includes(digest)) images.push(digest);
      else for (const layer of await this.layersOf(digest)) keep.add(layer);
    }
    const unneeded = (await this.list()).filter(({ digest }) => !keep.has(digest));
    if (!options.dryRun) {
      await this.#unmountAll(unneeded.map(({ digest }) => digest));
      for (const digest of images) await rm(this.#path('images', `${digest}.json`), { force: true });
      for (const { digest } of unneeded) await rm(this.#path('store', digest), { recursive: true });
    }
    const bytes = unneeded.reduce((sum, layer) => sum + layer.bytes, 0);
    return { images, layers: unneeded.map(({ digest }) => digest), bytes };
  }

  /** Roots that show a layer which goes are unmounted first; mounted again by the next who needs them. */
  async #unmountAll(layers: readonly string[]): Promise<void> {
    if (layers.length === 0) return;
    this.#roots.clear();
    for (const name of readdirSync(this.#path('roots'))) await this.#unmount('roots', name);
    for (const layer of layers) {
      await this.#unmount('shown', layer.slice(0, 12));
      await this.#unmount('disks', layer.slice(0, 12));
    }
  }

  async #unmount(folder: string, name: string): Promise<void> {
    const path = this.#path(folder, name);
    // Lazily: what still runs from it keeps it until it ends.
    if (await isMounted(path)) await runCommand(['umount', '-l', path]);
    await rmdir(path).catch(() => {}); // still in use, or gone already
  }

  /** Gives all mounts back; called when no sandbox is left. */
  async release(): Promise<void> {
    this.#roots.clear();
    for (const folder of ['roots', 'shown', 'disks'])
      for (const name of readdirSync(this.#path(folder))) await this.#unmount(folder, name);
  }
}

function checked(digest: string): string {
  if (layerPattern.test(digest)) return digest;
  throw new CasemateError('invalid_request', 'A digest has 64 hex digits.');
}

async function isMounted(path: string): Promise<boolean> {
  const mounts = await readFile('/proc/self/mounts', 'utf8');
  return mounts.split('\n').some((line) => line.split(' ')[1] === path);
}
