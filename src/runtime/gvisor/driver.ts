/** The gVisor driver: one runsc sandbox per id, its agent on two FIFOs, its writable layer on a bounded disk. */
import { chownSync, existsSync, mkdirSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { runCommand } from '../../base/child.ts';
import { CasemateError } from '../../base/errors.ts';
import type {
  AgentStreamAddress,
  CreateOptions,
  ProbeResult,
  RuntimeCapabilities,
  RuntimeDriver,
  SandboxLimits,
  StageOptions,
} from '../driver.ts';
import { type Attachment, AttachFolder } from '../host/attach.ts';
import { isMountPoint, SandboxDisk } from '../host/disk.ts';
import { GroupDriver, type GroupOptions } from '../host/groupDriver.ts';
import { findRunsc, type Runsc, type RunscChoice } from './binary.ts';
import { bundleRoot, writeBundle } from './bundle.ts';
import { launch } from './launch.ts';
import { mountWritable, unmountWritable } from './layer.ts';
import { probeRunsc } from './probe.ts';
import { checkOrigin, checkpoint, imageOf, writeOrigin } from './snapshot.ts';

export interface GvisorOptions extends RunscChoice, GroupOptions {
  /** Root-owned folder where template roots are mounted read-only, with the agent inside. */
  readonly rootsDir: string;
  /** The folder with the guest agent’s program, and an empty one that volumes appear in. */
  readonly agentDir: string;
}

export class GvisorDriver extends GroupDriver implements RuntimeDriver {
  readonly name = 'gvisor';
  readonly #options: GvisorOptions;
  #runsc: Promise<Runsc> | undefined;
  readonly #roots = new Map<string, Promise<string>>();

  constructor(options: GvisorOptions) {
    super(options);
    this.#options = options;
  }

  async probe(): Promise<ProbeResult> {
    try {
      const runsc = await this.#choose();
      return {
        available: true,
        version: runsc.version,
        detail: `${runsc.path}, platform ${runsc.platform}`,
        capabilities: capabilitiesOf(runsc),
      };
    } catch (error) {
      return {
        available: false,
        reason: error instanceof Error ? error.message : String(error),
        remedy: 'Run `make setup`, which installs runsc, and look at the reason again.',
      };
    }
  }

  /** The newest runsc that really starts a sandbox here; found once. */
  #choose(): Promise<Runsc> {
    this.#runsc ??= this.#tryAll().catch((error: unknown) => {
      this.#runsc = undefined;
      throw error;
    });
    return this.#runsc;
  }

  async #tryAll(): Promise<Runsc> {
    const found = await findRunsc(this.#options);
    const failures: string[] = [];
    for (const runsc of found) {
      const failure = await probeRunsc(runsc);
      if (failure === undefined) return runsc;
      failures.push(`${runsc.path} (${runsc.version}): ${failure}`);
    }
    throw new CasemateError(
      'runtime_unavailable',
      found.length === 0
        ? 'No runsc is installed.'
        : `No runsc starts a sandbox here: ${failures.join('; ')}`,
    );
  }

  async prepare(templateRoot: string): Promise<void> {
    await Promise.all([this.#choose(), this.#readOnlyRoot(templateRoot)]);
  }

  /** Mounts a template read-only (so that even a broken runtime cannot write to it), the agent's folder inside it. */
  #readOnlyRoot(templateRoot: string): Promise<string> {
    let root = this.#roots.get(templateRoot);
    if (root === undefined) {
      root = this.#mountRoot(templateRoot);
      root.catch(() => this.#roots.delete(templateRoot));
      this.#roots.set(templateRoot, root);
    }
    return root;
  }

  async #mountRoot(templateRoot: string): Promise<string> {
    const root = this.#rootOf(templateRoot);
    mkdirSync(root, { recursive: true, mode: 0o700 });
    if (!(await isMountPoint(root))) {
      await runCommand(['mount', '--bind', '-o', 'ro', templateRoot, root]);
    }
    mkdirSync(join(this.#options.agentDir, 'volumes'), { recursive: true, mode: 0o755 });
    if (!(await isMountPoint(join(root, '.casemate')))) {
      await runCommand(['mount', '--bind', '-o', 'ro', this.#options.agentDir, join(root, '.casemate')]);
    }
    return root;
  }

  async stage({ id, limits, layer = false }: StageOptions): Promise<void> {
    const directory = this.directory(id);
    mkdirSync(directory, { mode: 0o711 });
    this.cgroups.create(id, limits);
    const { hostToGuest, guestToHost } = this.#fifos(id);
    await Promise.all([
      runCommand(['mkfifo', '-m', '600', hostToGuest, guestToHost]),
      new SandboxDisk(directory).create(limits.diskMib, { files: layer }),
      new AttachFolder(directory).create(),
    ]);
  }

  create(options: CreateOptions): Promise<AgentStreamAddress> {
    return this.#start(options);
  }

  async #start(options: CreateOptions, imageDirectory?: string): Promise<AgentStreamAddress> {
    const directory = this.directory(options.id);
    const runsc = await this.#choose();
    const { layer } = options;
    const disk = new SandboxDisk(directory).mountPoint;
    const templateRoot =
      layer === undefined
        ? await this.#readOnlyRoot(options.templateRoot)
        : await this.#writableRoot(runsc, options.id, options.templateRoot, layer.sources);
    await this.setLimits(options.id, options.limits, options.stagedLimits);
    const { cgroups } = this.#options;
    await writeBundle({
      create: { ...options, templateRoot },
      directory,
      cgroupsPath: cgroups.relativePath(options.id),
      volumesPath: new AttachFolder(directory).path,
    });
    await launch({
      runsc,
      id: options.id,
      directory,
      overlay: layer === undefined ? runsc.overlay(disk) : 'none',
      networkNamespace: options.networkNamespace,
      ...(imageDirectory === undefined ? {} : { imageDirectory }),
      cgroupJoinFiles: cgroups.joinFiles(options.id),
    });
    // Only now: runsc gives its standard streams to the sandbox's root user while it starts.
    const { hostToGuest, guestToHost } = this.#fifos(options.id);
    for (const fifo of [hostToGuest, guestToHost])
      chownSync(fifo, options.streamOwner.uid, options.streamOwner.gid);
    cgroups.grantFreezer(options.id, options.streamOwner);
    return this.agentStream(options.id);
  }

  /** What programs write goes through to files on the sandbox's own disk, so that they can become a layer. */
  #writableRoot(
    runsc: Runsc,
    id: string,
    templateRoot: string,
    sources: Readonly<Record<string, string>>,
  ): Promise<string> {
    if (!runsc.modern) throw new CasemateError('unsupported', `runsc ${runsc.version} cannot make layers.`);
    const { agentDir } = this.#options;
    const directory = this.directory(id);
    const disk = new SandboxDisk(directory).mountPoint;
    return mountWritable({ directory, disk, templateRoot, agentDir, sources });
  }

  async sealLayer(id: string): Promise<string> {
    const directory = this.directory(id);
    const disk = new SandboxDisk(directory);
    await this.cgroups.kill(id);
    await unmountWritable(directory);
    rmSync(join(disk.mountPoint, 'work'), { recursive: true, force: true });
    await disk.unmount();
    return disk.image;
  }

  #fifos(id: string): { hostToGuest: string; guestToHost: string } {
    const directory = this.directory(id);
    return { hostToGuest: join(directory, 'in'), guestToHost: join(directory, 'out') };
  }

  agentStream(id: string): AgentStreamAddress {
    return { kind: 'fifo', ...this.#fifos(id) };
  }

  async setLimits(id: string, limits: SandboxLimits, stagedLimits: SandboxLimits): Promise<void> {
    const { cpus, memoryMib, pids, diskMib } = stagedLimits;
    if (limits.cpus !== cpus || limits.memoryMib !== memoryMib || limits.pids !== pids) {
      this.cgroups.setLimits(id, limits);
    }
    if (limits.diskMib !== diskMib) await new SandboxDisk(this.directory(id)).resize(limits.diskMib, diskMib);
  }

  async attach(id: string, attachment: Attachment): Promise<void> {
    if (!(await this.#choose()).modern)
      throw new CasemateError('unsupported', 'This runsc mounts nothing inside a sandbox that runs.');
    await new AttachFolder(this.directory(id)).attach(attachment, this.#options.agentDir);
  }

  protected override diskBytes(id: string): number {
    return new SandboxDisk(this.directory(id)).usedBytes();
  }

  async snapshot(id: string, directory: string): Promise<void> {
    const runsc = await this.#choose();
    if (!runsc.modern)
      throw new CasemateError('unsupported', `runsc ${runsc.version} cannot checkpoint a layer on disk.`);
    const sandboxDirectory = this.directory(id);
    await this.resume(id); // what stands still cannot write itself down
    await writeOrigin(directory, runsc, await bundleRoot(sandboxDirectory));
    await checkpoint({ runsc, id, sandboxDirectory, directory });
    await this.cgroups.kill(id); // it is on its way out by itself
  }

  async restore(options: CreateOptions, directory: string): Promise<AgentStreamAddress> {
    const root = await this.#readOnlyRoot(options.templateRoot);
    await checkOrigin(directory, await this.#choose(), root);
    return this.#start(options, imageOf(directory));
  }

  async saveFiles(): Promise<void> {
    throw noReboot();
  }

  async boot(): Promise<AgentStreamAddress> {
    throw noReboot();
  }

  async destroy(id: string): Promise<void> {
    const directory = this.directory(id);
    await this.cgroups.destroy(id);
    await new AttachFolder(directory).destroy();
    await unmountWritable(directory);
    await new SandboxDisk(directory).destroy();
    rmSync(directory, { recursive: true, force: true });
  }

  async release(): Promise<void> {
    this.#roots.clear();
    const { rootsDir } = this.#options;
    for (const name of existsSync(rootsDir) ? readdirSync(rootsDir) : [])
      await unmountRoot(join(rootsDir, name));
  }

  async forget(templateRoot: string): Promise<void> {
    this.#roots.delete(templateRoot);
    const root = this.#rootOf(templateRoot);
    if (existsSync(root)) await unmountRoot(root);
  }

  #rootOf(templateRoot: string): string {
    return join(this.#options.rootsDir, templateRoot.replaceAll('/', '_'));
  }
}

/** What programs changed is known to runsc's own kernel alone, which is written down as a whole or not at all. */
function noReboot(): CasemateError {
  return new CasemateError('unsupported', 'gVisor’s kernel cannot be started anew on its files.');
}

async function unmountRoot(root: string): Promise<void> {
  for (const mount of [join(root, '.casemate'), root]) {
    if (await isMountPoint(mount)) await runCommand(['umount', mount]);
  }
  rmdirSync(root);
}

function capabilitiesOf(runsc: Runsc): RuntimeCapabilities {
  return {
    isolation: 'application-kernel',
    snapshot: runsc.modern ? 'ends' : 'none',
    reboots: false,
    fork: runsc.modern ? 'copy' : 'none',
    volumes: runsc.modern ? 'late' : 'none',
    idle: runsc.quiet ? 'quiet' : 'restless',
    lateLimits: ['cpus', 'memoryMib', 'diskMib', 'pids'],
    limitsSeenInside: {
      cpus: 'nproc shows the CPUs of the sandbox, rounded up (the agent sets the affinity of every program).',
      memory:
        'free shows the limit that the sandbox was started with; a limit changed at claim binds, unseen.',
      disk: 'df shows no limit: the writable layer is bounded from outside.',
    },
    atDiskLimit: runsc.modern ? 'error' : 'ends',
    inodes: 'Inodes live in the runtime’s memory, about 2.5 kB each: the memory limit bounds them.',
    caveats: runsc.modern
      ? []
      : ['Programs newer than this runsc may meet missing system calls: `ls` of Debian 12 is one (statx).'],
  };
}
