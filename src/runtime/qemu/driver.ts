/** The QEMU driver: every sandbox is a virtual machine, cloned copy-on-write from a template that booted once. */
import { chownSync, existsSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { CasemateError } from '../../base/errors.ts';
import type {
  AgentStreamAddress,
  CreateOptions,
  FreezerAddress,
  Inspection,
  ProbeResult,
  RuntimeCapabilities,
  RuntimeDriver,
  SandboxLimits,
  StageOptions,
} from '../driver.ts';
import { attachNothing } from '../host/attach.ts';
import type { CgroupSet } from '../host/cgroup.ts';
import { fifosOf, makeFifos } from './channel.ts';
import { launchClone, type Waiting, wake } from './clone.ts';
import type { RootImage } from './image.ts';
import { machineUid } from './launch.ts';
import { findPlatform, type Platform, type PlatformOptions } from './platform.ts';
import { snapshotMachine } from './snapshot.ts';
import { checkFits, fileOf, layersMax, readRecord } from './source.ts';
import { Templates } from './template.ts';

export interface QemuOptions extends PlatformOptions {
  /** Root-owned folder with one folder per sandbox. */
  readonly sandboxesDir: string;
  readonly cgroups: CgroupSet;
}

export class QemuDriver implements RuntimeDriver {
  readonly name = 'qemu';
  readonly attach = attachNothing;
  readonly #options: QemuOptions;
  readonly #templates: Templates;
  readonly #waiting = new Map<string, Promise<Waiting>>();
  #platform: Promise<Platform> | undefined;

  constructor(options: QemuOptions) {
    this.#options = options;
    this.#templates = new Templates(options.cacheDir, options.cgroups);
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

  #directory(id: string): string {
    return join(this.#options.sandboxesDir, id);
  }

  /** With a source, QEMU is started too: it waits for its state, and knows no tenant. */
  async stage({ id, limits, templateRoot, snapshot }: StageOptions): Promise<void> {
    const directory = this.#directory(id);
    mkdirSync(directory, { mode: 0o711 });
    this.#options.cgroups.create(id, limits);
    await makeFifos(directory, machineUid(id));
    if (templateRoot === undefined) return;
    const { folder, image } =
      snapshot === undefined
        ? await this.#booted(templateRoot, limits)
        : { folder: snapshot, image: await this.#fittingImage(templateRoot, snapshot) };
    const waiting = this.#launch(id, folder, image.file);
    this.#waiting.set(id, waiting);
    await waiting;
  }

  async #booted(templateRoot: string, limits: SandboxLimits) {
    return this.#templates.booted(await this.#choose(), templateRoot, limits);
  }

  async #launch(id: string, source: string, rootImage: string): Promise<Waiting> {
    return launchClone({
      id,
      platform: await this.#choose(),
      directory: this.#directory(id),
      source,
      rootImage,
      cgroupJoinFiles: this.#options.cgroups.joinFiles(id),
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
    const { cgroups } = this.#options;
    cgroups.setLimits(id, options.limits);
    const staged = await this.#waiting.get(id);
    this.#waiting.delete(id);
    if (staged !== undefined && staged.source !== source) await this.#stageAnew(id, staged);
    const waiting = staged?.source === source ? staged : await this.#launch(id, source, rootImage);
    await wake(waiting, this.#directory(id), options);
    cgroups.grantFreezer(id, streamOwner);
    return this.agentStream(id);
  }

  /**
   * What waits was started for another source. It has to be gone before the next one starts in the same folder: it
   * would put its control socket in the place of the other's.
   */
  async #stageAnew(id: string, staged: Waiting): Promise<void> {
    await end(staged);
    await this.#options.cgroups.kill(id);
    const directory = this.#directory(id);
    for (const name of readdirSync(directory)) rmSync(join(directory, name), { recursive: true });
    chownSync(directory, 0, 0);
    await makeFifos(directory, machineUid(id));
  }

  agentStream(id: string): AgentStreamAddress {
    return { kind: 'fifo', ...fifosOf(this.#directory(id)) };
  }

  /** The guest was started with its processors, its memory and its disk. */
  async setLimits(id: string, limits: SandboxLimits, stagedLimits: SandboxLimits): Promise<void> {
    for (const field of ['cpus', 'memoryMib', 'diskMib'] as const)
      if (limits[field] !== stagedLimits[field])
        throw new CasemateError('unsupported', `A virtual machine’s ${field} is fixed when it is started.`);
    this.#options.cgroups.setLimits(id, limits);
  }

  async inspect(id: string): Promise<Inspection> {
    const usage = this.#options.cgroups.usage(id);
    const alive = this.#options.cgroups.processes(id).length > 0;
    return { state: alive ? 'running' : 'gone', ...usage, diskBytes: alive ? this.#diskBytes(id) : 0 };
  }

  /** What it wrote since it was cloned; layers that others share too are not counted. */
  #diskBytes(id: string): number {
    for (let index = layersMax; index > 0; index -= 1) {
      const stat = statSync(fileOf.layer(this.#directory(id), index), { throwIfNoEntry: false });
      if (stat !== undefined) return stat.blocks * 512;
    }
    return 0;
  }

  freezer(id: string): FreezerAddress {
    return this.#options.cgroups.freezer(id);
  }

  async pause(id: string): Promise<void> {
    this.#options.cgroups.setFrozen(id, true);
  }

  async resume(id: string): Promise<void> {
    this.#options.cgroups.setFrozen(id, false);
  }

  async snapshot(id: string, target: string): Promise<void> {
    await this.resume(id); // QEMU that stands still answers nobody
    await snapshotMachine({
      id,
      platform: await this.#choose(),
      directory: this.#directory(id),
      target,
      cgroups: this.#options.cgroups,
    });
  }

  async destroy(id: string): Promise<void> {
    const waiting = await this.#waiting.get(id)?.catch(() => undefined);
    this.#waiting.delete(id);
    if (waiting !== undefined) await end(waiting);
    await this.#options.cgroups.destroy(id);
    await rm(this.#directory(id), { recursive: true, force: true });
  }

  /** Images and booted templates are a cache on disk; nothing is mounted, nothing runs. */
  async release(): Promise<void> {}

  async leftovers(): Promise<string[]> {
    const { cgroups, sandboxesDir } = this.#options;
    const folders = existsSync(sandboxesDir) ? readdirSync(sandboxesDir) : [];
    return [...new Set([...cgroups.list(), ...folders])];
  }
}

async function end({ machine }: Waiting): Promise<void> {
  await machine.kill();
  machine.release();
}

const capabilities: RuntimeCapabilities = {
  isolation: 'virtual-machine',
  snapshot: 'live',
  fork: 'copy-on-write',
  volumes: 'none',
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
