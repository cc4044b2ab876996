/** Boots a template once to a waiting agent and keeps it as something to clone: no sandbox boots. */
import { createHash } from 'node:crypto';
import { chmodSync, chownSync, existsSync, readdirSync, statSync, utimesSync } from 'node:fs';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { runCommand } from '../../base/child.ts';
import { CasemateError } from '../../base/errors.ts';
import { newId } from '../../base/ids.ts';
import type { SandboxLimits } from '../driver.ts';
import type { CgroupSet } from '../host/cgroup.ts';
import { fifosOf, makeFifos } from './channel.ts';
import { makeRootImage, type RootImage } from './image.ts';
import { launch, machineUid } from './launch.ts';
import { type MachineShape, machineArguments, translationMib } from './machine.ts';
import { saveDevices } from './migrate.ts';
import type { Platform } from './platform.ts';
import { isPortOpen } from './probe.ts';
import { fileOf, writeRecord } from './source.ts';

/** What QEMU itself needs beside the guest's memory. */
const ownMib = { tcg: 48 + translationMib, kvm: 48 } as const;
/** Less and the kernel does not reach the agent. */
const guestMibMin = 112;
/** An emulated boot takes 3 s on a quiet machine. */
const bootMsMax = 60_000;
const bootTries = 3;
/** From "the agent has opened its port" to "the agent waits for a host and all is quiet". */
const settleMs = 400;
/** Kept booted templates; the one that was used least lately goes first. */
const templatesMax = 24;

export interface BootedTemplate {
  readonly folder: string;
  readonly shape: MachineShape;
  readonly image: RootImage;
}

export function shapeOf(platform: Platform, image: RootImage, limits: SandboxLimits): MachineShape {
  const guestMemoryMib = Math.floor((limits.memoryMib - ownMib[platform.accelerator]) / 16) * 16;
  if (guestMemoryMib < guestMibMin)
    throw new CasemateError(
      'policy_unenforceable',
      `A virtual machine needs at least ${guestMibMin + ownMib[platform.accelerator]} MiB of memory here.`,
    );
  return {
    format: 1,
    qemu: platform.qemu.version,
    accelerator: platform.accelerator,
    processor: platform.processor,
    kernel: platform.kernel.version,
    initrd: platform.initrd.digest,
    image: image.digest,
    guestMemoryMib,
    // Not more than asked for: emulated processors that share memory cost each other time even when they idle.
    processors: Math.min(Math.ceil(limits.cpus), availableParallelism()),
    diskMib: limits.diskMib,
  };
}

export class Templates {
  readonly #cacheDir: string;
  readonly #cgroups: CgroupSet;
  readonly #images = new Map<string, Promise<RootImage>>();
  readonly #booting = new Map<string, Promise<void>>();

  constructor(cacheDir: string, cgroups: CgroupSet) {
    this.#cacheDir = cacheDir;
    this.#cgroups = cgroups;
  }

  image(templateRoot: string): Promise<RootImage> {
    let image = this.#images.get(templateRoot);
    if (image === undefined) {
      image = makeRootImage(this.#cacheDir, templateRoot);
      image.catch(() => this.#images.delete(templateRoot));
      this.#images.set(templateRoot, image);
    }
    return image;
  }

  /** The booted template, booted now if it never was. Two callers share one boot. */
  async booted(platform: Platform, templateRoot: string, limits: SandboxLimits): Promise<BootedTemplate> {
    const image = await this.image(templateRoot);
    const shape = shapeOf(platform, image, limits);
    const key = createHash('sha256').update(JSON.stringify(shape)).digest('hex').slice(0, 32);
    const folder = join(this.#cacheDir, 'templates', key);
    if (!existsSync(folder)) {
      const work = this.#booting.get(folder) ?? this.#boot(platform, image, shape, folder);
      this.#booting.set(folder, work);
      await work.finally(() => this.#booting.delete(folder));
    }
    const now = new Date();
    utimesSync(folder, now, now);
    return { folder, shape, image };
  }

  async #boot(platform: Platform, image: RootImage, shape: MachineShape, folder: string): Promise<void> {
    await this.#makeRoom();
    for (let round = 1; ; round += 1) {
      const id = newId();
      const partial = `${folder}.${process.pid}.partial`;
      await rm(partial, { recursive: true, force: true });
      await mkdir(partial, { recursive: true, mode: 0o711 });
      try {
        await this.#bootInto(partial, id, platform, image, shape);
        await rename(partial, folder);
        return;
      } catch (cause) {
        if (existsSync(folder)) return; // another process was faster
        if (round >= bootTries)
          throw new CasemateError('runtime_unavailable', `The guest does not boot: ${String(cause)}`, {
            cause,
          });
      } finally {
        await this.#cgroups.destroy(id);
        await rm(partial, { recursive: true, force: true });
      }
    }
  }

  async #bootInto(
    folder: string,
    id: string,
    platform: Platform,
    image: RootImage,
    shape: MachineShape,
  ): Promise<void> {
    const uid = machineUid(id);
    const memoryMib = shape.guestMemoryMib * 2 + ownMib[shape.accelerator];
    this.#cgroups.create(id, { cpus: shape.processors, memoryMib, diskMib: shape.diskMib, pids: 256 });
    await makeDisk(folder, shape.diskMib);
    const ram = await open(fileOf.ram(folder), 'wx', 0o600);
    await ram.truncate(shape.guestMemoryMib * 1024 * 1024);
    await ram.close();
    // A host that is "there" from the start: the agent sleeps in its read, in every clone too.
    await makeFifos(folder, uid);
    for (const path of [folder, fileOf.ram(folder), fileOf.layer(folder, 0)]) chownSync(path, uid, uid);
    const machine = launch({
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
      await machine.qmp.event(isPortOpen, bootMsMax);
      await sleep(settleMs);
      await machine.qmp.command('stop');
      await saveDevices(machine.qmp, folder, uid, fileOf.state(folder));
    } finally {
      await machine.kill();
      machine.release();
    }
    const kept = [
      fileOf.ram(folder),
      fileOf.state(folder),
      fileOf.layer(folder, 0),
      fileOf.emptyLayer(folder),
    ];
    for (const path of [folder, ...kept]) chownSync(path, 0, 0);
    for (const path of kept) chmodSync(path, 0o444);
    const used = [
      'jail',
      'qmp',
      'state-socket',
      ...Object.values(fifosOf(folder)).map((path) => basename(path)),
    ];
    for (const name of used) await rm(join(folder, name), { recursive: true, force: true });
    await writeRecord(folder, { shape, layers: 1, rootImage: image.file, rootImageBytes: image.bytes });
  }

  /** Running machines keep what they have open or linked: a folder can go under them. */
  async #makeRoom(): Promise<void> {
    const parent = join(this.#cacheDir, 'templates');
    if (!existsSync(parent)) return;
    const abandoned = (name: string): boolean => {
      const builder = /\.(\d+)\.partial$/.exec(name)?.[1];
      return builder !== undefined && !existsSync(`/proc/${builder}`);
    };
    const names = readdirSync(parent);
    const whole = names
      .filter((name) => !name.endsWith('.partial'))
      .map((name) => ({ name, usedMs: statSync(join(parent, name)).mtimeMs }))
      .sort((a, b) => b.usedMs - a.usedMs);
    const gone = [...names.filter(abandoned), ...whole.slice(templatesMax - 1).map(({ name }) => name)];
    for (const name of gone) await rm(join(parent, name), { recursive: true, force: true });
  }
}

/** An ext4 of the whole size in a sparse file, and an empty layer to put over it. */
async function makeDisk(folder: string, diskMib: number): Promise<void> {
  const base = fileOf.layer(folder, 0);
  await runCommand(['truncate', '-s', `${diskMib}M`, base]);
  const features = ['-O', '^has_journal', '-m', '0', '-E', 'nodiscard,lazy_itable_init=1'];
  await runCommand(['mkfs.ext4', '-q', '-F', ...features, base]);
  await runCommand(['qemu-img', 'create', '-q', '-f', 'qcow2', fileOf.emptyLayer(folder), `${diskMib}M`]);
}
