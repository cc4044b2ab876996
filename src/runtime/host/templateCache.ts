/** Templates of virtual machines that booted once, kept as something to clone: no sandbox boots. */
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readdirSync, statSync, utimesSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { runCommand } from '../../base/child.ts';
import { CasemateError } from '../../base/errors.ts';
import { newId } from '../../base/ids.ts';
import type { SandboxLimits } from '../driver.ts';
import { makeRootImage, type RootImage } from '../qemu/image.ts';
import type { CgroupSet } from './cgroup.ts';

/** Less and the kernel does not reach the agent. */
const guestMibMin = 112;
/** No boot takes that long: what is older was left by a process that was killed. */
const abandonedMs = 3_600_000;
/** Kept booted templates; the one that was used least lately goes first. */
const templatesMax = 24;
const bootPrefix = 'boot-';

export interface TemplateCacheOptions {
  /** Root-owned folder for what can be made again. */
  readonly cacheDir: string;
  /** What runs the machines: their templates are none of another's. */
  readonly runtime: string;
  readonly cgroups: CgroupSet;
  /** How often a guest that does not come up is tried. */
  readonly bootTries: number;
}

export interface Boot<Shape> {
  /** Empty, root's, and reached through by every user; what is left in it becomes the template. */
  readonly folder: string;
  /** The boot's own, of its control groups too. */
  readonly id: string;
  readonly image: RootImage;
  readonly shape: Shape;
}

export interface BootedTemplate<Shape> {
  readonly folder: string;
  readonly shape: Shape;
  readonly image: RootImage;
}

export class TemplateCache<Shape extends object> {
  readonly #options: TemplateCacheOptions;
  readonly #parent: string;
  readonly #images = new Map<string, Promise<RootImage>>();
  readonly #booting = new Map<string, Promise<void>>();

  constructor(options: TemplateCacheOptions) {
    this.#options = options;
    this.#parent = join(options.cacheDir, `templates-${options.runtime}`);
  }

  image(templateRoot: string): Promise<RootImage> {
    let image = this.#images.get(templateRoot);
    if (image === undefined) {
      openCache(this.#options.cacheDir);
      image = makeRootImage(this.#options.cacheDir, templateRoot);
      image.catch(() => this.#images.delete(templateRoot));
      this.#images.set(templateRoot, image);
    }
    return image;
  }

  /**
   * The booted template, booted now if it never was. Two callers share one boot.
   * @param bootInto fills a folder; the boot's control groups are ended after it.
   * @throws CasemateError `runtime_unavailable`
   */
  async booted(
    templateRoot: string,
    shapeOf: (image: RootImage) => Shape,
    bootInto: (boot: Boot<Shape>) => Promise<void>,
  ): Promise<BootedTemplate<Shape>> {
    const image = await this.image(templateRoot);
    const shape = shapeOf(image);
    const key = createHash('sha256').update(JSON.stringify(shape)).digest('hex').slice(0, 32);
    const folder = join(this.#parent, key);
    if (!existsSync(folder)) {
      const work = this.#booting.get(folder) ?? this.#boot(folder, { image, shape }, bootInto);
      this.#booting.set(folder, work);
      await work.finally(() => this.#booting.delete(folder));
    }
    const now = new Date();
    utimesSync(folder, now, now);
    return { folder, shape, image };
  }

  async #boot(
    folder: string,
    what: Pick<Boot<Shape>, 'image' | 'shape'>,
    bootInto: (boot: Boot<Shape>) => Promise<void>,
  ): Promise<void> {
    const { cacheDir, cgroups, bootTries } = this.#options;
    await this.#makeRoom();
    for (let round = 1; ; round += 1) {
      const id = newId();
      // A short name: the path of a socket in it has 107 characters at most. Beside the templates, which are root's alone.
      const partial = join(cacheDir, `${bootPrefix}${newId(8)}`);
      await mkdir(partial, { mode: 0o711 });
      chmodSync(partial, 0o711);
      try {
        await bootInto({ ...what, folder: partial, id });
        await mkdir(this.#parent, { recursive: true, mode: 0o700 });
        await rename(partial, folder);
        return;
      } catch (cause) {
        if (existsSync(folder)) return; // another process was faster
        if (round >= bootTries)
          throw new CasemateError('runtime_unavailable', `The guest does not boot: ${String(cause)}`, {
            cause,
          });
      } finally {
        await cgroups.destroy(id);
        await rm(partial, { recursive: true, force: true });
      }
    }
  }

  /** Running machines keep what they have open or linked: a folder can go under them. */
  async #makeRoom(): Promise<void> {
    const { cacheDir } = this.#options;
    for (const name of readdirSync(cacheDir).filter((entry) => entry.startsWith(bootPrefix))) {
      const path = join(cacheDir, name);
      const { mtimeMs } = statSync(path, { throwIfNoEntry: false }) ?? { mtimeMs: Date.now() };
      if (Date.now() - mtimeMs > abandonedMs) await rm(path, { recursive: true, force: true });
    }
    if (!existsSync(this.#parent)) return;
    const names = readdirSync(this.#parent)
      .map((name) => ({ name, usedMs: statSync(join(this.#parent, name)).mtimeMs }))
      .sort((a, b) => b.usedMs - a.usedMs);
    for (const { name } of names.slice(templatesMax - 1))
      await rm(join(this.#parent, name), { recursive: true, force: true });
  }
}

/** Every user may pass through to what lies in it by name: machines and who speaks to them have users of their own. */
export function openCache(cacheDir: string): void {
  mkdirSync(cacheDir, { recursive: true, mode: 0o711 });
  chmodSync(cacheDir, 0o711);
}

/**
 * The guest's memory, processors and disk for a sandbox's limits.
 * @param ownMib what runs the machine needs beside the guest's memory.
 * @throws CasemateError `policy_unenforceable`
 */
export function guestSize(
  limits: SandboxLimits,
  ownMib: number,
): { guestMemoryMib: number; processors: number; diskMib: number } {
  const guestMemoryMib = Math.floor((limits.memoryMib - ownMib) / 16) * 16;
  if (guestMemoryMib < guestMibMin)
    throw new CasemateError(
      'policy_unenforceable',
      `A virtual machine needs at least ${guestMibMin + ownMib} MiB of memory here.`,
    );
  // Not more than asked for: emulated processors that share memory cost each other time even when they idle.
  const processors = Math.min(Math.ceil(limits.cpus), availableParallelism());
  return { guestMemoryMib, processors, diskMib: limits.diskMib };
}

/** An ext4 of the whole size in a sparse file. */
export async function makeDisk(file: string, diskMib: number): Promise<void> {
  await runCommand(['truncate', '-s', `${diskMib}M`, file]);
  const features = ['-O', '^has_journal', '-m', '0', '-E', 'nodiscard,lazy_itable_init=1'];
  await runCommand(['mkfs.ext4', '-q', '-F', ...features, file]);
}
