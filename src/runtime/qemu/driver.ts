/** The QEMU driver: every sandbox is a virtual machine, cloned copy-on-write from a template that booted once. */
import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type {
  AgentStreamAddress,
  CreateOptions,
  Inspection,
  ProbeResult,
  RuntimeCapabilities,
  RuntimeDriver,
  SandboxLimits,
  StageOptions,
} from '../driver.ts';
import { attachByStream } from '../host/attach.ts';
import { type GroupOptions, MachineDriver } from '../host/groupDriver.ts';
import { fifosOf, makeFifos } from './channel.ts';
import { launchClone, type Waiting, wake } from './clone.ts';
import { controlFolder, MachineControl } from './control.ts';
import type { RootImage } from './image.ts';
import { machineUid } from './launch.ts';
import { findPlatform, type Platform, type PlatformOptions } from './platform.ts';
import { bootOnDisk, saveDisk } from './reboot.ts';
import { snapshotMachine } from './snapshot.ts';
import { checkFits, fileOf, layersMax, readRecord } from './source.ts';
import { Templates } from './template.ts';

export interface QemuOptions extends PlatformOptions, GroupOptions {}

export class QemuDriver extends MachineDriver implements RuntimeDriver {
  readonly name = 'qemu';
  readonly attach = attachByStream;
  /** A waiting QEMU takes about 20 MiB, and most of a start. */
  readonly stagedAhead = 2;
  readonly #options: QemuOptions;
  readonly #templates: Templates;
  readonly #waiting = new Map<string, Promise<Waiting>>();
  readonly #controls = new Map<string, Promise<MachineControl>>();
  #platform: Promise<Platform> | undefined;

  constructor(options: QemuOptions) {
    super(options);
    this.#options = options;
    this.#templates = new Templates(options.cacheDir, options.cgroups, options.kvmBootMsMax);
  }

  async probe(): Promise<ProbeResult> {
    try {
      const { qemu, kernel, kvm, accelerator } = await this.#choose();
      return {
        available: true,
        version: qemu.version,
        detail: `${kvm}; the guest’s kernel is ${kernel.version}`,
        capabilities: { ...capabilities, acceleration: accelerator === 'kvm' ? 'kvm' : 'emulation' },
      };
    } catch (error) {
      return {
        available: false,
        reason: error instanceof Error ? error.message : String(error),
        remedy: 'Run `make setup`, which installs QEMU and a guest kernel, and look at the reason again.',
      };
    }
  }

  #choose(): Promise<Platform> {
    this.#platform ??= findPlatform(this.#options).catch((error: unknown) => {
      this.#platform = undefined;
      throw error;
    });
    return this.#platform;
  }

  async prepare(templateRoot: string): Promise<void> {
    await Promise.all([this.#choose(), this.#templates.image(templateRoot)]);
  }

  /** With a source, QEMU is started too: it waits for its state, and knows no tenant. */
  async stage({ id, limits, templateRoot, snapshot, network }: StageOptions): Promise<void> {
    const directory = this.directory(id);
    mkdirSync(directory, { mode: 0o711 });
    chmodSync(directory, 0o711); // whatever this process's umask
    this.cgroups.create(id, limits);
    await makeFifos(directory, machineUid(id));
    if (templateRoot === undefined) return;
    const { folder, image } =
      snapshot === undefined
        ? await this.#booted(templateRoot, limits)
        : { folder: snapshot, image: await this.#fittingImage(templateRoot, snapshot) };
    const waiting = this.#launch(id, folder, image.file);
    this.#waiting.set(id, waiting);
    const launched = await waiting;
    if (network !== undefined) void launched.connect(network).catch(() => {}); // `wake` tells
  }

  async #booted(templateRoot: string, limits: SandboxLimits) {
    return this.#templates.booted(await this.#choose(), templateRoot, limits);
  }

  async #launch(id: string, source: string, rootImage: string): Promise<Waiting> {
    return launchClone({
      id,
      platform: await this.#choose(),
      directory: this.directory(id),
      source,
      rootImage,
      cgroupJoinFiles: this.cgroups.joinFiles(id),
    });
  }

  async create(options: CreateOptions): Promise<AgentStreamAddress> {
    const { folder, image } = await this.#booted(options.templateRoot, options.limits);
    return this.#start(options, folder, image.file);
  }

  async restore(options: CreateOptions, directory: string): Promise<AgentStreamAddress> {
    const image = await this.#fittingImage(options.templateRoot, directory);
    return this.#start(options, directory, image.file);
  }

  /** @throws CasemateError `snapshot_mismatch` */
  async #fittingImage(templateRoot: string, snapshot: string): Promise<RootImage> {
    const [platform, image, { shape }] = await Promise.all([
      this.#choose(),
      this.#templates.image(templateRoot),
      readRecord(snapshot),
    ]);
    checkFits(shape, platform, image.digest);
    return image;
  }

  async #start(options: CreateOptions, source: string, rootImage: string): Promise<AgentStreamAddress> {
    const { id, streamOwner } = options;
    const { cgroups } = this;
    cgroups.setLimits(id, options.limits);
    const staged = await this.#waiting.get(id);
    this.#waiting.delete(id);
    if (staged !== undefined && staged.source !== source) await this.#stageAnew(id, staged);
    const waiting = staged?.source === source ? staged : await this.#launch(id, source, rootImage);
    this.#controls.set(id, Promise.resolve(waiting.machine.control));
    await wake(waiting, this.directory(id), options);
    cgroups.grantFreezer(id, streamOwner);
    return this.agentStream(id);
  }

  /**
   * What waits was started for another source. It has to be gone before the next one starts in the same folder: it
   * would come to who speaks to the other one.
   */
  async #stageAnew(id: string, staged: Waiting): Promise<void> {
    await end(staged);
    await this.cgroups.kill(id);
    const directory = this.directory(id);
    for (const name of readdirSync(directory)) rmSync(join(directory, name), { recursive: true });
    await makeFifos(directory, machineUid(id));
  }

  agentStream(id: string): AgentStreamAddress {
    return { kind: 'fifo', ...fifosOf(this.directory(id)) };
  }

  override async inspect(id: string): Promise<Inspection> {
    const inspection = await super.inspect(id);
    const panicked = existsSync(controlFolder(this.directory(id))) && (await this.#hasPanicked(id));
    return panicked ? { ...inspection, kernelPanic: true } : inspection;
  }

  async #hasPanicked(id: string): Promise<boolean> {
    const control = await this.#control(id);
    return control.hasPanicked().catch(() => false); // who could know it has ended
  }

  /** Of a machine that an earlier process started as well: its QEMU comes back within a second. */
  #control(id: string): Promise<MachineControl> {
    const known = this.#controls.get(id);
    if (known !== undefined) return known;
    const control = new MachineControl(this.directory(id));
    const watching = control.watch().then(() => control);
    this.#controls.set(id, watching);
    watching.catch(() => this.#controls.delete(id));
    return watching;
  }

  /** What it wrote since it was cloned; layers that others share too are not counted. */
  protected override diskBytes(id: string): number {
    for (let index = layersMax; index > 0; index -= 1) {
      const stat = statSync(fileOf.layer(this.directory(id), index), { throwIfNoEntry: false });
      if (stat !== undefined) return stat.blocks * 512;
    }
    return 0;
  }

  async snapshot(id: string, target: string): Promise<void> {
    await this.resume(id); // QEMU that stands still answers nobody
    await snapshotMachine({
      id,
      platform: await this.#choose(),
      directory: this.directory(id),
      target,
      cgroups: this.cgroups,
      control: await this.#control(id),
    });
  }

  async saveFiles(id: string, target: string): Promise<void> {
    await this.resume(id);
    await saveDisk({
      directory: this.directory(id),
      target,
      control: await this.#control(id),
      end: () => this.cgroups.kill(id),
    });
  }

  async boot(options: CreateOptions, directory: string): Promise<AgentStreamAddress> {
    const { id, templateRoot, limits, streamOwner } = options;
    const [platform, image, saved] = await Promise.all([
      this.#choose(),
      this.#templates.image(templateRoot),
      readRecord(directory),
    ]);
    const staged = await this.#waiting.get(id);
    this.#waiting.delete(id);
    if (staged !== undefined) await this.#stageAnew(id, staged);
    this.cgroups.setLimits(id, limits);
    const { diskMib } = saved.shape; // a disk keeps its size
    const { control } = await bootOnDisk({
      ...{ id, platform, create: options, directory: this.directory(id), source: directory },
      shape: Templates.shapeOf(platform, image, { ...limits, diskMib }),
      ...{ rootImage: image.file, rootImageBytes: image.bytes },
      cgroupJoinFiles: this.cgroups.joinFiles(id),
      bootMsMax: this.#templates.bootMsMax,
    });
    this.#controls.set(id, Promise.resolve(control));
    this.cgroups.grantFreezer(id, streamOwner);
    return this.agentStream(id);
  }

  async destroy(id: string): Promise<void> {
    const waiting = await this.#waiting.get(id)?.catch(() => undefined);
    this.#waiting.delete(id);
    if (waiting !== undefined) await end(waiting);
    await this.cgroups.destroy(id);
    const control = await this.#controls.get(id)?.catch(() => undefined);
    this.#controls.delete(id);
    await control?.forget();
    await rm(this.directory(id), { recursive: true, force: true });
  }
}

async function end({ machine }: Waiting): Promise<void> {
  await machine.kill();
  machine.release();
  await machine.control.forget();
}

const capabilities: RuntimeCapabilities = {
  isolation: 'virtual-machine',
  snapshot: 'live',
  reboots: true,
  fork: 'copy-on-write',
  volumes: 'stream',
  idle: 'restless',
  lateLimits: ['pids'],
  limitsSeenInside: {
    cpus: 'nproc shows the CPUs of the sandbox, rounded up (the agent sets the affinity of every program).',
    memory:
      'free shows the guest’s own memory: the limit less what QEMU needs (80 MiB without KVM, 48 with).',
    disk: 'df shows the private disk with its limit.',
  },
  atDiskLimit: 'error',
  inodes: 'The private disk’s ext4 has one inode for 16 KiB of it.',
  caveats: [
    'At the memory limit the guest’s kernel ends a program of the sandbox; the host counts no kill then.',
    'The number of processes inside is bounded by the guest’s memory; the limit counts QEMU’s threads.',
  ],
};
