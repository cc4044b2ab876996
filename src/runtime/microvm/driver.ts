/** The driver of microVMs, for every monitor that is steered over HTTP: clones of a template that booted once. */
import { chmodSync, chownSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type {
  AgentStreamAddress,
  CreateOptions,
  ProbeResult,
  RuntimeCapabilities,
  RuntimeDriver,
  StageOptions,
} from '../driver.ts';
import { attachNothing } from '../host/attach.ts';
import { MachineDriver } from '../host/groupDriver.ts';
import { copySparse } from '../host/sealed.ts';
import { machineUid } from '../qemu/launch.ts';
import { share } from '../qemu/source.ts';
import { moveTap, prepareNetwork } from '../qemu/tap.ts';
import { agentOf, apiOf, launchVmm, layOut, rootOf, sealRoot } from './launch.ts';
import { findPlatform, type MicrovmOptions, type MicrovmPlatform } from './platform.ts';
import { checkFits, readShape, savedFiles, sealSource, writeShape } from './source.ts';
import { fileMibMax, MicrovmTemplates, makeNext, takeNext } from './template.ts';
import { agentVsockPort, fileIn, type Vmm } from './vmm.ts';

export class MicrovmDriver extends MachineDriver implements RuntimeDriver {
  readonly name: string;
  readonly attach = attachNothing;
  readonly #vmm: Vmm;
  readonly #options: MicrovmOptions;
  readonly #templates: MicrovmTemplates;
  #platform: Promise<MicrovmPlatform> | undefined;

  constructor(vmm: Vmm, options: MicrovmOptions) {
    super(options);
    this.name = vmm.name;
    this.#vmm = vmm;
    this.#options = options;
    this.#templates = new MicrovmTemplates(vmm, options);
  }

  async probe(): Promise<ProbeResult> {
    try {
      const { program, kernel } = await this.#choose();
      return {
        available: true,
        version: program.version,
        detail: `KVM boots a guest here; the guest’s kernel is ${kernel.version}`,
        capabilities: capabilitiesOf(this.#vmm),
      };
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      return { available: false, reason, remedy: this.#vmm.remedy };
    }
  }

  #choose(): Promise<MicrovmPlatform> {
    this.#platform ??= findPlatform(this.#vmm, this.#options).catch((error: unknown) => {
      this.#platform = undefined;
      throw error;
    });
    return this.#platform;
  }

  async prepare(templateRoot: string): Promise<void> {
    await Promise.all([this.#choose(), this.#templates.image(templateRoot)]);
  }

  async stage({ id, limits, templateRoot }: StageOptions): Promise<void> {
    mkdirSync(this.directory(id), { mode: 0o711 });
    this.cgroups.create(id, limits);
    if (templateRoot !== undefined) await this.#templates.booted(await this.#choose(), templateRoot, limits);
  }

  async create(options: CreateOptions): Promise<AgentStreamAddress> {
    const platform = await this.#choose();
    const { folder, image } = await this.#templates.booted(platform, options.templateRoot, options.limits);
    return this.#start(options, platform, folder, image.file);
  }

  async restore(options: CreateOptions, directory: string): Promise<AgentStreamAddress> {
    const [platform, image, shape] = await Promise.all([
      this.#choose(),
      this.#templates.image(options.templateRoot),
      readShape(directory),
    ]);
    checkFits(shape, this.name, platform, image.digest);
    return this.#start(options, platform, directory, image.file);
  }

  async #start(
    options: CreateOptions,
    platform: MicrovmPlatform,
    source: string,
    rootImage: string,
  ): Promise<AgentStreamAddress> {
    const { id, networkNamespace, streamOwner, limits } = options;
    const { cgroups } = this;
    const vmm = this.#vmm;
    const directory = this.directory(id);
    const uid = machineUid(id);
    const shape = await readShape(source);
    cgroups.setLimits(id, limits);
    layOut(vmm, { directory, id }, { [fileIn.rootImage]: rootImage, ...savedFiles(source) });
    await writeShape(directory, shape);
    await this.#ownDisk(id, source, this.#disk(id));
    const network = prepareNetwork(networkNamespace);
    network.catch(() => {}); // told below
    await launchVmm(vmm, platform.program, {
      ...{ id, directory, uid, cgroupJoinFiles: cgroups.joinFiles(id), network: true },
      fileMibMax: fileMibMax(shape),
    });
    const api = apiOf(directory);
    await vmm.load(api);
    sealRoot(directory);
    await this.#connect(options, network);
    await vmm.resume(api);
    cgroups.grantFreezer(id, streamOwner);
    return this.agentStream(id);
  }

  #disk(id: string): string {
    return join(this.#vmm.rootOf(this.directory(id), id), fileIn.disk);
  }

  agentStream(id: string): AgentStreamAddress {
    return { kind: 'vsock', path: agentOf(this.directory(id)), port: agentVsockPort };
  }

  protected override diskBytes(id: string): number {
    return (statSync(this.#disk(id), { throwIfNoEntry: false })?.blocks ?? 0) * 512;
  }

  /** It stands still while its memory is written: O(memory), and as much of its disk as the file system cannot share. */
  async snapshot(id: string, target: string): Promise<void> {
    await this.resume(id); // a monitor that stands still answers nobody
    const directory = this.directory(id);
    const uid = machineUid(id);
    const api = apiOf(directory);
    const shape = await readShape(directory);
    await rm(join(rootOf(directory), fileIn.next), { recursive: true, force: true });
    makeNext(directory, uid);
    await this.#vmm.pause(api);
    try {
      await this.#vmm.save(api);
      await copySparse(this.#disk(id), join(target, fileIn.disk));
    } finally {
      await this.#vmm.resume(api);
    }
    takeNext(directory, target, uid);
    await sealSource(target);
    await writeShape(target, shape);
  }

  async saveFiles(id: string, target: string): Promise<void> {
    await this.resume(id);
    const directory = this.directory(id);
    const api = apiOf(directory);
    const shape = await readShape(directory);
    await this.#vmm.pause(api);
    try {
      share(this.#disk(id), join(target, fileIn.disk));
      await writeShape(target, shape);
    } catch (error) {
      await this.#vmm.resume(api);
      throw error;
    }
    await this.cgroups.kill(id);
    await sealSource(target);
  }

  async boot(options: CreateOptions, source: string): Promise<AgentStreamAddress> {
    const { id, limits, templateRoot } = options;
    const [platform, image, saved] = await Promise.all([
      this.#choose(),
      this.#templates.image(templateRoot),
      readShape(source),
    ]);
    this.cgroups.setLimits(id, limits);
    const directory = this.directory(id);
    const { diskMib } = saved; // a disk keeps its size
    const shape = this.#templates.shapeOf(platform, image, { ...limits, diskMib });
    await writeShape(directory, shape);
    const disk = join(directory, fileIn.disk);
    await this.#ownDisk(id, source, disk);
    await this.#templates.launch({ id, directory, platform, shape, image, disk });
    rmSync(disk); // the machine's root has the other name of it
    await this.#connect(options, prepareNetwork(options.networkNamespace));
    await this.#templates.untilUp(directory);
    this.cgroups.grantFreezer(id, options.streamOwner);
    return this.agentStream(id);
  }

  async #ownDisk(id: string, source: string, disk: string): Promise<void> {
    const uid = machineUid(id);
    await copySparse(join(source, fileIn.disk), disk);
    chmodSync(disk, 0o600);
    chownSync(disk, uid, uid);
  }

  /** To its network, and its agent to its host. */
  async #connect(
    { id, networkNamespace, streamOwner }: CreateOptions,
    prepared: Promise<void>,
  ): Promise<void> {
    await prepared;
    const [pid = 0] = this.cgroups.programs(id);
    await moveTap(pid, networkNamespace);
    const agent = agentOf(this.directory(id));
    chownSync(agent, streamOwner.uid, streamOwner.gid);
    chmodSync(agent, 0o600);
  }

  async destroy(id: string): Promise<void> {
    await this.cgroups.destroy(id);
    await rm(this.directory(id), { recursive: true, force: true });
  }
}

function capabilitiesOf({ fork, caveats, ownMib }: Vmm): RuntimeCapabilities {
  return {
    isolation: 'virtual-machine',
    acceleration: 'kvm',
    snapshot: 'live',
    reboots: true,
    fork,
    volumes: 'none',
    idle: 'restless',
    lateLimits: ['pids'],
    limitsSeenInside: {
      cpus: 'nproc shows the CPUs of the sandbox, rounded up (the agent sets the affinity of every program).',
      memory: `free shows the guest’s own memory: the limit less ${ownMib} MiB that the monitor needs.`,
      disk: 'df shows the private disk with its limit.',
    },
    atDiskLimit: 'error',
    inodes: 'The private disk’s ext4 has one inode for 16 KiB of it.',
    caveats: [
      'At the memory limit the guest’s kernel ends a program of the sandbox; the host counts no kill then.',
      'A snapshot writes all of the guest’s memory while it stands still.',
      ...caveats,
    ],
  };
}
