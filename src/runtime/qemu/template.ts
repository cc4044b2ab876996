/** Boots a template for QEMU: to an agent that waits, with memory and disk in files that clones share. */
import { chmodSync, chownSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { runCommand } from '../../base/child.ts';
import type { SandboxLimits } from '../driver.ts';
import type { CgroupSet } from '../host/cgroup.ts';
import { type Boot, type BootedTemplate, guestSize, makeDisk, TemplateCache } from '../host/templateCache.ts';
import { fifosOf, makeFifos } from './channel.ts';
import { controlFolder } from './control.ts';
import type { RootImage } from './image.ts';
import { launch, machineUid } from './launch.ts';
import { type MachineShape, machineArguments, snapshotFormat, translationMib } from './machine.ts';
import type { Platform } from './platform.ts';
import { fileOf, makeRam, takeState, writeRecord } from './source.ts';

/** What QEMU itself needs beside the guest's memory. */
const ownMib = { tcg: 48 + translationMib, kvm: 48 } as const;
/** An emulated boot takes 3 s on a quiet machine. */
const bootMsDefault = 60_000;
const bootTries = 3;
/** From "the agent has opened its port" to "the agent waits for a host and all is quiet". */
const settleMs = 400;

export class Templates {
  readonly #cgroups: CgroupSet;
  readonly #cache: TemplateCache<MachineShape>;
  /** How long a guest may take to come up. */
  readonly bootMsMax: number;

  /** @param slowBootMs how long a guest may take to come up where KVM itself is emulated. */
  constructor(cacheDir: string, cgroups: CgroupSet, slowBootMs = bootMsDefault) {
    this.#cgroups = cgroups;
    this.bootMsMax = Math.max(bootMsDefault, slowBootMs);
    this.#cache = new TemplateCache({ cacheDir, runtime: 'qemu', cgroups, bootTries });
  }

  image(templateRoot: string): Promise<RootImage> {
    return this.#cache.image(templateRoot);
  }

  /** What a machine of these limits is booted as. */
  static shapeOf(platform: Platform, image: RootImage, limits: SandboxLimits): MachineShape {
    return {
      format: snapshotFormat,
      qemu: platform.qemu.version,
      accelerator: platform.accelerator,
      processor: platform.processor,
      kernel: platform.kernel.version,
      initrd: platform.initrd.digest,
      image: image.digest,
      ...guestSize(limits, ownMib[platform.accelerator]),
    };
  }

  /** The booted template, booted now if it never was. */
  booted(
    platform: Platform,
    templateRoot: string,
    limits: SandboxLimits,
  ): Promise<BootedTemplate<MachineShape>> {
    const shapeOf = (image: RootImage): MachineShape => Templates.shapeOf(platform, image, limits);
    return this.#cache.booted(templateRoot, shapeOf, (boot) => this.#bootInto(boot, platform));
  }

  async #bootInto({ folder, id, image, shape }: Boot<MachineShape>, platform: Platform): Promise<void> {
    const uid = machineUid(id);
    const memoryMib = shape.guestMemoryMib * 2 + ownMib[shape.accelerator];
    this.#cgroups.create(id, { cpus: shape.processors, memoryMib, diskMib: shape.diskMib, pids: 256 });
    await makeDisk(fileOf.layer(folder, 0), shape.diskMib);
    const empty = ['-f', 'qcow2', fileOf.emptyLayer(folder), `${shape.diskMib}M`];
    await runCommand(['qemu-img', 'create', '-q', ...empty]);
    await makeRam(folder, shape.guestMemoryMib);
    // A host that is "there" from the start: the agent sleeps in its read, in every clone too.
    await makeFifos(folder, uid);
    for (const path of [fileOf.ram(folder), fileOf.layer(folder, 0)]) chownSync(path, uid, uid);
    const machine = await launch({
      directory: folder,
      uid,
      cgroupJoinFiles: this.#cgroups.joinFiles(id),
      files: {
        ram: { source: fileOf.ram(folder), writable: true },
        'root.img': { source: image.file },
        kernel: { source: platform.kernel.image },
        initrd: { source: platform.initrd.file },
      },
      fileMibMax: shape.diskMib + 64,
      kvm: shape.accelerator === 'kvm',
      argv: machineArguments({
        qemu: platform.qemu,
        shape,
        ram: 'shared',
        start: 'boot',
        disk: { layers: 1, writableBase: true },
        agentPort: true,
      }),
    });
    try {
      await machine.control.portOpen(this.bootMsMax);
      await sleep(settleMs);
      await machine.control.commands(['stop']);
      await machine.control.save();
    } finally {
      await machine.kill();
      machine.release();
      await machine.control.forget();
    }
    takeState(folder, fileOf.state(folder));
    const kept = [fileOf.ram(folder), fileOf.layer(folder, 0), fileOf.emptyLayer(folder)];
    for (const path of kept) chownSync(path, 0, 0);
    for (const path of kept) chmodSync(path, 0o444);
    const used = [
      'jail',
      basename(controlFolder(folder)),
      ...Object.values(fifosOf('')).map((path) => basename(path)),
    ];
    for (const name of used) await rm(join(folder, name), { recursive: true, force: true });
    await writeRecord(folder, { shape, layers: 1, rootImage: image.file, rootImageBytes: image.bytes });
  }
}
