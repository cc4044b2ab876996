/** Boots a template once to a waiting agent and keeps it as something to clone: no sandbox boots. */
import { createHash } from 'node:crypto';
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, statSync, utimesSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { runCommand } from '../../base/child.ts';
import { CasemateError } from '../../base/errors.ts';
import { newId } from '../../base/ids.ts';
import type { SandboxLimits } from '../driver.ts';
import { makeRootImage, type RootImage } from '../qemu/image.ts';
import { machineUid } from '../qemu/launch.ts';
import { agentOf, apiOf, launchVmm, layOut, rootOf, sealRoot } from './launch.ts';
import { bootMsDefault, type MicrovmOptions, type MicrovmPlatform } from './platform.ts';
import { type MicrovmShape, takeSaved, writeShape } from './source.ts';
import { fileIn, type Vmm } from './vmm.ts';
import { untilAgentListens } from './vsock.ts';

/** Less and the kernel does not reach the agent. */
const guestMibMin = 112;
/** From "the agent listens" to "all is quiet"; before that the docs advise against a snapshot. */
const settleMs = 400;
/** No boot takes that long: what is older was left by a process that was killed. */
const abandonedMs = 3_600_000;
/** Kept booted templates; the one that was used least lately goes first. */
const templatesMax = 24;

export interface BootedTemplate {
  readonly folder: string;
  readonly shape: MicrovmShape;
  readonly image: RootImage;
}

export class MicrovmTemplates {
  readonly #vmm: Vmm;
  readonly #options: MicrovmOptions;
  readonly #images = new Map<string, Promise<RootImage>>();
  readonly #booting = new Map<string, Promise<void>>();

  constructor(vmm: Vmm, options: MicrovmOptions) {
    this.#vmm = vmm;
    this.#options = options;
  }

  image(templateRoot: string): Promise<RootImage> {
    let image = this.#images.get(templateRoot);
    if (image === undefined) {
      image = makeRootImage(this.#options.cacheDir, templateRoot);
      image.catch(() => this.#images.delete(templateRoot));
      this.#images.set(templateRoot, image);
    }
    return image;
  }

  /** The booted template, booted now if it never was. Two callers share one boot. */
  async booted(
    platform: MicrovmPlatform,
    templateRoot: string,
    limits: SandboxLimits,
  ): Promise<BootedTemplate> {
    const image = await this.image(templateRoot);
    const shape = this.#shapeOf(platform, image, limits);
    const key = createHash('sha256').update(JSON.stringify(shape)).digest('hex').slice(0, 32);
    const folder = join(this.#parent(), key);
    if (!existsSync(folder)) {
      const work = this.#booting.get(folder) ?? this.#boot(platform, image, shape, folder);
      this.#booting.set(folder, work);
      await work.finally(() => this.#booting.delete(folder));
    }
    const now = new Date();
    utimesSync(folder, now, now);
    return { folder, shape, image };
  }

  #parent(): string {
    return join(this.#options.cacheDir, `templates-${this.#vmm.name}`);
  }

  #shapeOf(platform: MicrovmPlatform, image: RootImage, limits: SandboxLimits): MicrovmShape {
    const { ownMib, name } = this.#vmm;
    const guestMemoryMib = Math.floor((limits.memoryMib - ownMib) / 16) * 16;
    if (guestMemoryMib < guestMibMin)
      throw new CasemateError(
        'policy_unenforceable',
        `A virtual machine needs at least ${guestMibMin + ownMib} MiB of memory here.`,
      );
    return {
      format: 1,
      monitor: name,
      version: platform.program.version,
      processor: platform.processor,
      kernel: platform.kernel.version,
      initrd: platform.initrd.digest,
      image: image.digest,
      guestMemoryMib,
      processors: Math.min(Math.ceil(limits.cpus), availableParallelism()),
      diskMib: limits.diskMib,
    };
  }

  async #boot(
    platform: MicrovmPlatform,
    image: RootImage,
    shape: MicrovmShape,
    folder: string,
  ): Promise<void> {
    await this.#makeRoom();
    // A short name: the path of a socket in it has 107 characters at most.
    const partial = join(this.#options.cacheDir, `boot-${newId(8)}`);
    const id = newId();
    await mkdir(join(partial, 'machine'), { recursive: true, mode: 0o711 });
    try {
      await this.#bootInto(partial, id, platform, image, shape);
      await this.#options.cgroups.destroy(id);
      await rm(join(partial, 'machine'), { recursive: true, force: true });
      await writeShape(partial, shape);
      await mkdir(this.#parent(), { recursive: true, mode: 0o711 });
      await rename(partial, folder);
    } catch (cause) {
      throw new CasemateError('runtime_unavailable', `The guest does not boot: ${String(cause)}`, { cause });
    } finally {
      await this.#options.cgroups.destroy(id);
      await rm(partial, { recursive: true, force: true });
    }
  }

  async #bootInto(
    target: string,
    id: string,
    platform: MicrovmPlatform,
    image: RootImage,
    shape: MicrovmShape,
  ): Promise<void> {
    const { cgroups, bootMsMax = bootMsDefault } = this.#options;
    const vmm = this.#vmm;
    const directory = join(target, 'machine');
    const uid = machineUid(id);
    const { guestMemoryMib, processors, diskMib } = shape;
    const memoryMib = guestMemoryMib * 2 + vmm.ownMib;
    cgroups.create(id, { cpus: processors, memoryMib, diskMib, pids: 128 });
    const disk = join(target, fileIn.disk);
    await makeDisk(disk, diskMib);
    chownSync(disk, uid, uid);
    layOut(
      vmm,
      { directory, id },
      {
        [fileIn.kernel]: platform.vmlinux,
        [fileIn.initrd]: platform.initrd.file,
        [fileIn.rootImage]: image.file,
        [fileIn.disk]: disk,
      },
    );
    await launchVmm(vmm, platform.program, {
      ...{ id, directory, uid, cgroupJoinFiles: cgroups.joinFiles(id), network: true },
      fileMibMax: fileMibMax(shape),
    });
    const api = apiOf(directory);
    await vmm.define(api, shape, true);
    makeNext(directory, uid);
    sealRoot(directory);
    await vmm.start(api);
    await untilAgentListens(agentOf(directory), bootMsMax);
    await sleep(settleMs);
    await vmm.pause(api);
    await vmm.save(api);
    await cgroups.kill(id);
    takeNext(directory, target, uid);
    chownSync(disk, 0, 0);
    chmodSync(disk, 0o444);
  }

  /** Running machines keep what they have open or linked: a folder can go under them. */
  async #makeRoom(): Promise<void> {
    const { cacheDir } = this.#options;
    for (const name of readdirSync(cacheDir).filter((entry) => entry.startsWith('boot-'))) {
      const path = join(cacheDir, name);
      const { mtimeMs } = statSync(path, { throwIfNoEntry: false }) ?? { mtimeMs: Date.now() };
      if (Date.now() - mtimeMs > abandonedMs) await rm(path, { recursive: true, force: true });
    }
    const parent = this.#parent();
    if (!existsSync(parent)) return;
    const names = readdirSync(parent)
      .map((name) => ({ name, usedMs: statSync(join(parent, name)).mtimeMs }))
      .sort((a, b) => b.usedMs - a.usedMs);
    for (const { name } of names.slice(templatesMax - 1))
      await rm(join(parent, name), { recursive: true, force: true });
  }
}

export function fileMibMax({ diskMib, guestMemoryMib }: MicrovmShape): number {
  return Math.max(diskMib, guestMemoryMib) + 64;
}

/** The one folder of a machine's root that its monitor may write into. */
export function makeNext(directory: string, uid: number): void {
  const next = join(rootOf(directory), fileIn.next);
  mkdirSync(next, { mode: 0o700 });
  chownSync(next, uid, uid);
}

export function takeNext(directory: string, target: string, uid: number): void {
  takeSaved(join(rootOf(directory), fileIn.next), join(directory, 'taken'), target, uid);
}

/** An ext4 of the whole size in a sparse file. */
async function makeDisk(file: string, diskMib: number): Promise<void> {
  await runCommand(['truncate', '-s', `${diskMib}M`, file]);
  const features = ['-O', '^has_journal', '-m', '0', '-E', 'nodiscard,lazy_itable_init=1'];
  await runCommand(['mkfs.ext4', '-q', '-F', ...features, file]);
}
