/** Boots a template for a monitor: to an agent that listens, written down as every snapshot is. */
import { chownSync, mkdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SandboxLimits } from '../driver.ts';
import { type Boot, type BootedTemplate, guestSize, makeDisk, TemplateCache } from '../host/templateCache.ts';
import type { RootImage } from '../qemu/image.ts';
import { machineUid } from '../qemu/launch.ts';
import { agentOf, apiOf, launchVmm, layOut, rootOf, sealRoot } from './launch.ts';
import { bootMsDefault, type MicrovmOptions, type MicrovmPlatform } from './platform.ts';
import { type MicrovmShape, sealSource, takeSaved, writeShape } from './source.ts';
import { fileIn, type Vmm } from './vmm.ts';
import { untilAgentListens } from './vsock.ts';

/** From "the agent listens" to "all is quiet"; before that the docs advise against a snapshot. */
const settleMs = 400;

export interface BootLaunch {
  readonly id: string;
  readonly directory: string;
  readonly platform: MicrovmPlatform;
  readonly shape: MicrovmShape;
  readonly image: RootImage;
  /** On the file system of `directory`: the machine's root gets another name of it. */
  readonly disk: string;
  /** The monitor's API is up, and the machine's root still its user's. */
  readonly beforeSealed?: () => void;
}

export class MicrovmTemplates {
  readonly #vmm: Vmm;
  readonly #options: MicrovmOptions;
  readonly #cache: TemplateCache<MicrovmShape>;

  constructor(vmm: Vmm, options: MicrovmOptions) {
    this.#vmm = vmm;
    this.#options = options;
    const { cacheDir, cgroups } = options;
    this.#cache = new TemplateCache({ cacheDir, runtime: vmm.name, cgroups, bootTries: 1 });
  }

  image(templateRoot: string): Promise<RootImage> {
    return this.#cache.image(templateRoot);
  }

  /** What a machine of these limits is booted as. */
  shapeOf(platform: MicrovmPlatform, image: RootImage, limits: SandboxLimits): MicrovmShape {
    return {
      format: 1,
      monitor: this.#vmm.name,
      version: platform.program.version,
      processor: platform.processor,
      kernel: platform.kernel.version,
      initrd: platform.initrd.digest,
      image: image.digest,
      ...guestSize(limits, this.#vmm.ownMib),
    };
  }

  /** The booted template, booted now if it never was. */
  booted(
    platform: MicrovmPlatform,
    templateRoot: string,
    limits: SandboxLimits,
  ): Promise<BootedTemplate<MicrovmShape>> {
    const shapeOf = (image: RootImage): MicrovmShape => this.shapeOf(platform, image, limits);
    return this.#cache.booted(templateRoot, shapeOf, (boot) => this.#bootInto(boot, platform));
  }

  async #bootInto(
    { folder: target, id, image, shape }: Boot<MicrovmShape>,
    platform: MicrovmPlatform,
  ): Promise<void> {
    const { cgroups } = this.#options;
    const vmm = this.#vmm;
    const directory = join(target, 'machine');
    mkdirSync(directory, { mode: 0o711 });
    const uid = machineUid(id);
    const { guestMemoryMib, processors, diskMib } = shape;
    const memoryMib = guestMemoryMib * 2 + vmm.ownMib;
    cgroups.create(id, { cpus: processors, memoryMib, diskMib, pids: 128 });
    const disk = join(target, fileIn.disk);
    await makeDisk(disk, diskMib);
    chownSync(disk, uid, uid);
    await this.launch({
      id,
      directory,
      platform,
      shape,
      image,
      disk,
      beforeSealed: () => makeNext(directory, uid),
    });
    const api = apiOf(directory);
    await this.untilUp(directory);
    await sleep(settleMs);
    await vmm.pause(api);
    await vmm.save(api);
    await cgroups.kill(id);
    takeNext(directory, target, uid);
    await rm(directory, { recursive: true, force: true });
    await sealSource(target);
    await writeShape(target, shape);
  }

  /** Starts a machine that boots, with a disk that is its user's. */
  async launch(options: BootLaunch): Promise<void> {
    const { id, directory, platform, shape, image, disk, beforeSealed } = options;
    const vmm = this.#vmm;
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
    const uid = machineUid(id);
    await launchVmm(vmm, platform.program, {
      ...{ id, directory, uid, cgroupJoinFiles: this.#options.cgroups.joinFiles(id), network: true },
      fileMibMax: fileMibMax(shape),
    });
    const api = apiOf(directory);
    await vmm.define(api, shape, true);
    beforeSealed?.();
    sealRoot(directory);
    await vmm.start(api);
  }

  async untilUp(directory: string): Promise<void> {
    await untilAgentListens(agentOf(directory), this.#options.bootMsMax ?? bootMsDefault);
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
