/** The sandboxes of this host as the server sees them: pools, claims, adoption; the root process does the work. */
import { CasemateError } from '../base/errors.ts';
import { limits as bounds } from '../base/limits.ts';
import type { Log } from '../base/log.ts';
import { attachAgent } from '../guest/attach.ts';
import type { RootInstance, RuntimeProbe } from '../rootd/protocol.ts';
import type { Inspection, RuntimeCapabilities, SandboxLimits } from '../runtime/driver.ts';
import { HostBuilds } from './builds.ts';
import { HostDisk } from './disk.ts';
import { freshEntropy, newMachineId, renew } from './identity.ts';
import { admit, admitSnapshot, hostRoom } from './admission.ts';
import { Pool } from './pool.ts';
import { Rest, wake } from './rest.ts';
import type { RootClient } from './rootClient.ts';
import { ensureStarted } from './startCommand.ts';
import type {
  BuildProgress,
  ClaimRequest,
  GoneReason,
  LiveSandbox,
  NodeBuilds,
  PoolStatus,
  RestoreRequest,
  RuntimeInfo,
  SandboxNode,
  SnapshotOptions,
  StartCommand,
  TemplateInfo,
} from './types.ts';
import { HostUsage } from './usage.ts';
import { attachedOf, HostVolumes } from './volumes.ts';

const defaultLimits: SandboxLimits = {
  cpus: bounds.sandboxCpusDefault,
  memoryMib: bounds.sandboxMemoryMibDefault,
  diskMib: bounds.sandboxDiskMibDefault,
  pids: bounds.sandboxPidsDefault,
};

interface Wanted extends Pick<ClaimRequest, 'template' | 'runtime' | 'limits'> {
  readonly start?: StartCommand | undefined;
}

/** The user that every template has. */
const defaultUser = 'user';
const limitFields = ['cpus', 'memoryMib', 'diskMib', 'pids'] as const;

export interface HostNodeOptions {
  readonly root: RootClient;
  /** A folder on the file system that sandboxes' disks take their bytes from. */
  readonly diskProbeDir: string;
  readonly log: Log;
}

export class HostNode implements SandboxNode {
  readonly builds: NodeBuilds;
  readonly volumes: HostVolumes;
  readonly disk: HostDisk;
  readonly usage: HostUsage;
  readonly #options: HostNodeOptions;
  readonly #live = new Map<string, LiveSandbox>();
  /** What the root process said of each that was connected to. */
  readonly #instances = new Map<string, RootInstance>();
  readonly #pools = new Map<string, Pool>();
  readonly #survivors = new Map<string, RootInstance>();
  readonly #movedListeners: ((live: LiveSandbox) => void)[] = [];
  readonly #goneListeners: ((id: string, why: GoneReason) => void)[] = [];
  readonly #probes = new Map<string, Promise<RuntimeInfo | undefined>>();
  /** Of templates whose sandboxes need more than usual; what is shipped does not change while this runs. */
  readonly #memoryMib = new Map<string, number>();
  #starting = 0;
  #stopped = false;

  constructor(options: HostNodeOptions) {
    this.#options = options;
    this.volumes = new HostVolumes(options.root, options.diskProbeDir);
    this.usage = new HostUsage(options.root, this.#live);
    this.disk = new HostDisk(options.root, options.diskProbeDir);
    this.builds = new HostBuilds({
      root: options.root,
      diskProbeDir: options.diskProbeDir,
      admit: (start) => this.#admitted(start),
      connect: (instance) => this.#connectOrDestroy(instance, 'cold'),
    });
  }

  async start(): Promise<void> {
    const { root } = this.#options;
    for (const instance of await root.call('survivors', {})) this.#survivors.set(instance.id, instance);
    for (const { name, memoryMib } of await root.call('templates', {}))
      if (memoryMib !== undefined) this.#memoryMib.set(name, memoryMib);
  }

  survivors(): readonly string[] {
    return [...this.#survivors.keys()];
  }

  async adopt(id: string): Promise<LiveSandbox> {
    const instance = this.#survivors.get(id);
    if (instance === undefined) throw new CasemateError('not_found', `Sandbox ${id} did not survive.`);
    const sandbox = await this.#connect(instance, 'warm');
    this.#survivors.delete(id);
    this.#watch(sandbox);
    return sandbox;
  }

  async adoptIntoPool(id: string): Promise<void> {
    const instance = this.#survivors.get(id);
    if (instance === undefined) return;
    this.#survivors.delete(id);
    const pool = this.#pools.get(poolKey(instance.template, instance.runtime));
    const current = (await this.templates()).find((template) => template.name === instance.template);
    if (pool === undefined || current?.digest !== instance.templateDigest) return this.destroy(id);
    try {
      if (!pool.adopt(await this.#connect(instance, 'warm'))) await this.destroy(id);
    } catch {
      await this.destroy(id);
    }
  }

  async claim(request: ClaimRequest): Promise<LiveSandbox> {
    const sandbox = await this.#take(request);
    return this.#own(sandbox, request, async () => {
      await Promise.all([
        this.#bind(sandbox, request),
        this.#lateLimits(sandbox, request.limits),
        this.volumes.attach(sandbox, request.volumes),
      ]);
    });
  }

  /** From here on it is somebody's; whatever fails now ends it. */
  async #own(
    sandbox: LiveSandbox,
    { onTaken }: { onTaken(id: string): void },
    attach: () => Promise<void>,
  ): Promise<LiveSandbox> {
    const done = sandbox.rest.use();
    this.#watch(sandbox);
    try {
      onTaken(sandbox.id);
      await attach();
      return sandbox;
    } catch (error) {
      await this.destroy(sandbox.id);
      throw error;
    } finally {
      done();
    }
  }

  async #take(request: ClaimRequest): Promise<LiveSandbox> {
    await this.#needVolumes(request.runtime, request.volumes);
    admit(hostRoom(this.#options.diskProbeDir), this.#starting);
    const pool = this.#pools.get(poolKey(request.template, request.runtime));
    if (pool !== undefined && (await this.#canStillChange(request))) {
      const warm = pool.take();
      if (warm !== undefined) return warm;
    }
    return this.#make(request, 'cold');
  }

  async restore(request: RestoreRequest): Promise<LiveSandbox> {
    const { snapshotId, id, held = [] } = request;
    const volumes = held.map(attachedOf);
    const source = id === undefined ? 'cold' : 'warm'; // limits of a new one may differ from the snapshot's
    const instance = await this.#admitted(() =>
      this.#options.root.call('restore', { snapshotId, volumes, ...(id === undefined ? {} : { id }) }),
    );
    const sandbox = await this.#connectOrDestroy(instance, source);
    return this.#own(sandbox, request, async () => {
      if (!sameLimits(request.limits, instance.limits)) {
        await this.#options.root.call('setLimits', { id: sandbox.id, limits: request.limits });
      }
      const { booted = false } = instance;
      await this.volumes.attach(sandbox, [...(booted ? held : []), ...(request.volumes ?? [])]);
      await renew(sandbox.guest, request.bind, { booted, isCopy: id === undefined });
      await ensureStarted(sandbox.guest, shippedStart(instance) ?? request.start, { restored: true });
    });
  }

  async snapshot(id: string, snapshotId: string, options: SnapshotOptions): Promise<number> {
    admitSnapshot(hostRoom(this.#options.diskProbeDir), await this.inspect(id));
    const sandbox = this.#live.get(id);
    const instance = this.#instances.get(id);
    if (sandbox === undefined || instance === undefined) {
      throw new CasemateError('sandbox_ended', `Sandbox ${id} has just ended.`);
    }
    const { reboots } = await this.#capabilitiesOf(instance.runtime);
    if (options.filesOnly === true) await sandbox.guest.killAll({ reboots }).finally(sandbox.rest.use());
    const filesOnly = options.filesOnly === true && reboots;
    // From here on the end of its stream is our doing.
    this.#live.delete(id);
    sandbox.rest.end();
    sandbox.guest.close();
    try {
      const written = await this.#options.root.call('snapshot', { id, snapshotId, ...options, filesOnly });
      if (options.keepRunning) await this.#takeBack(written.restarted ?? instance, sandbox);
      return written.bytes;
    } catch (error) {
      await this.#takeBack(instance, sandbox).catch(() => this.#lost(id));
      throw error;
    }
  }

  /** Speaks to it again. It is the same sandbox; only its clock and its randomness may stand where they stood. */
  async #takeBack(instance: RootInstance, before: LiveSandbox): Promise<void> {
    const sandbox = await this.#connect(instance, before.source);
    await sandbox.guest.bind({ clockUnixMs: Date.now(), entropyBase64: freshEntropy() });
    this.#watch(sandbox);
    sandbox.rest.use()();
    if (sandbox.address !== before.address) for (const listener of this.#movedListeners) listener(sandbox);
  }

  /** Fails before anything is taken where the runtime has no way to do it. @throws CasemateError `unsupported` */
  async #needVolumes(runtime: string, wanted: ClaimRequest['volumes'] = []): Promise<void> {
    if (wanted.length === 0) return;
    if ((await this.#capabilitiesOf(runtime)).volumes !== 'none') return;
    throw new CasemateError('unsupported', `Sandboxes of ${runtime} take no volumes here.`);
  }

  snapshots(): Promise<readonly string[]> {
    return this.#options.root.call('snapshots', {});
  }

  async removeSnapshot(snapshotId: string): Promise<void> {
    await this.#options.root.call('removeSnapshot', { snapshotId });
  }

  /** Whether the limits that differ from a warm sandbox's are ones that its runtime changes while it runs. */
  async #canStillChange({ template, runtime, limits }: ClaimRequest): Promise<boolean> {
    const pooled = this.defaultLimits(template);
    const differing = limitFields.filter((field) => limits[field] !== pooled[field]);
    if (differing.length === 0) return true;
    // A disk grows only where the kernel lets this root do it, and in containers it may not: a bigger one is made anew.
    if (limits.diskMib > pooled.diskMib) return false;
    const late = (await this.#probed(runtime))?.capabilities?.lateLimits ?? [];
    return differing.every((field) => late.includes(field));
  }

  /** Late binding: what differs between two users of a template reaches the running sandbox here. */
  #bind(sandbox: LiveSandbox, { bind, limits }: ClaimRequest): Promise<void> {
    return sandbox.guest.bind({
      env: bind.env,
      cpus: limits.cpus,
      clockUnixMs: Date.now(), // it may have stood still in its pool for long
      ...(bind.user === undefined ? {} : { user: bind.user }),
      ...(bind.hostname === undefined ? {} : { hostname: bind.hostname }),
      ...(bind.cwd === undefined ? {} : { cwd: bind.cwd }),
    });
  }

  async #lateLimits(sandbox: LiveSandbox, limits: SandboxLimits): Promise<void> {
    if (sandbox.source === 'cold' || sameLimits(limits, this.defaultLimits(sandbox.template))) return;
    await this.#options.root.call('setLimits', { id: sandbox.id, limits });
  }

  /** One for a pool: its first program has run, so that a user's first finds caches filled, and it stands still. */
  async #makeWarm(template: string, runtime: string, start?: StartCommand): Promise<LiveSandbox> {
    const limits = this.defaultLimits(template);
    const sandbox = await this.#make({ template, runtime, limits, start }, 'warm');
    try {
      await sandbox.guest.warm(start?.user ?? defaultUser);
      return sandbox;
    } catch (error) {
      await this.destroy(sandbox.id);
      throw error;
    }
  }

  /** One in which runs what its template starts with. @throws CasemateError; nothing of it is left then. */
  async #make(wanted: Wanted, source: 'warm' | 'cold'): Promise<LiveSandbox> {
    const { template, runtime, limits, start } = wanted;
    const instance = await this.#admitted(() =>
      this.#options.root.call('create', { template, runtime, limits }),
    );
    const sandbox = await this.#connectOrDestroy(instance, source);
    // It may be a clone of a template, as many others are: what has to be its own is made now, off the claim's path.
    await sandbox.guest.bind({
      restored: true,
      machineId: newMachineId(),
      clockUnixMs: Date.now(),
      entropyBase64: freshEntropy(),
    });
    try {
      await ensureStarted(sandbox.guest, shippedStart(instance) ?? start, { restored: false });
      return sandbox;
    } catch (error) {
      await this.destroy(sandbox.id);
      throw error;
    }
  }

  /** Admits one more and counts it until it has taken its memory. @throws CasemateError `no_capacity` */
  async #admitted(start: () => Promise<RootInstance>): Promise<RootInstance> {
    admit(hostRoom(this.#options.diskProbeDir), this.#starting);
    this.#starting += 1;
    try {
      return await start();
    } finally {
      this.#starting -= 1;
    }
  }

  async #connectOrDestroy(instance: RootInstance, source: 'warm' | 'cold'): Promise<LiveSandbox> {
    try {
      return await this.#connect(instance, source);
    } catch (error) {
      await this.destroy(instance.id);
      throw error;
    }
  }

  async #connect(instance: RootInstance, source: 'warm' | 'cold'): Promise<LiveSandbox> {
    const { id, template, runtime, stream, freezer, address } = instance;
    wake(freezer);
    const [capabilities, guest] = await Promise.all([this.#capabilitiesOf(runtime), attachAgent(stream)]);
    const { isolation, acceleration, idle } = capabilities;
    await this.volumes.connected(instance, guest, capabilities.volumes);
    this.#instances.set(id, instance);
    const countProcesses = async (): Promise<number> => (await guest.metrics()).processes;
    const rest = new Rest({ freezer, idle, countProcesses });
    return { id, template, runtime, isolation, acceleration, source, address, guest, rest };
  }

  async #capabilitiesOf(runtime: string): Promise<RuntimeCapabilities> {
    const info = await this.#probed(runtime);
    if (info?.capabilities === undefined) {
      throw new CasemateError('runtime_unavailable', info?.reason ?? `There is no runtime named ${runtime}.`);
    }
    return info.capabilities;
  }

  /** From here on the sandbox is somebody's: its end by itself is told to control. */
  #watch(sandbox: LiveSandbox): void {
    this.#live.set(sandbox.id, sandbox);
    void sandbox.guest.closed.then(async (violation) => {
      sandbox.rest.end();
      if (this.#stopped || this.#live.get(sandbox.id) !== sandbox) return; // destroyed or written down on request
      this.#live.delete(sandbox.id);
      await this.#lost(sandbox.id, violation);
    });
  }

  /** It is gone by itself: the rest of it is destroyed, and whoever owns it is told. */
  async #lost(id: string, violation?: CasemateError): Promise<void> {
    const last = await this.#destroyOnHost(id);
    const why: GoneReason = {
      oomKills: last?.oomKills ?? 0,
      pidLimitHits: last?.pidLimitHits ?? 0,
      kernelPanic: last?.kernelPanic ?? false,
      ...(violation === undefined ? {} : { protocolError: violation.message }),
    };
    for (const listener of this.#goneListeners) listener(id, why);
  }

  async #destroyOnHost(id: string): Promise<Inspection | undefined> {
    this.#instances.delete(id);
    try {
      return await this.#options.root.call('destroy', { id });
    } catch (error) {
      this.#options.log.error('destroy_failed', { id, reason: String(error) });
      return undefined;
    }
  }

  use(id: string): { readonly live: LiveSandbox; readonly done: () => void } | undefined {
    const live = this.#live.get(id);
    for (const pool of this.#pools.values()) pool.postpone();
    return live === undefined ? undefined : { live, done: live.rest.use() };
  }

  async destroy(id: string): Promise<void> {
    const sandbox = this.#live.get(id);
    this.#live.delete(id);
    this.#instances.delete(id);
    this.#survivors.delete(id);
    sandbox?.rest.end();
    sandbox?.guest.close();
    await this.#options.root.call('destroy', { id });
  }

  inspect(id: string): Promise<Inspection> {
    return this.#options.root.call('inspect', { id });
  }

  onGone(listener: (id: string, why: GoneReason) => void): void {
    this.#goneListeners.push(listener);
  }

  onMoved(listener: (live: LiveSandbox) => void): void {
    this.#movedListeners.push(listener);
  }

  pools(): readonly PoolStatus[] {
    return [...this.#pools.values()].map((pool) => pool.status());
  }

  setPool(template: string, runtime: string, size: number, start?: StartCommand): void {
    const existing = this.#pools.get(poolKey(template, runtime));
    if (existing !== undefined) return existing.resize(size);
    const pool = new Pool({
      template,
      runtime,
      size,
      make: () => this.#makeWarm(template, runtime, start),
      discard: async (id) => void (await this.#destroyOnHost(id)),
      log: this.#options.log,
    });
    this.#pools.set(poolKey(template, runtime), pool);
  }

  async runtimes(): Promise<readonly RuntimeInfo[]> {
    const probes = await this.#options.root.call('probe', {}); // what was probed before is answered at once
    return probes.map(infoOf);
  }

  /** Probed once, and alone: a probe starts a real sandbox, and another runtime's may take seconds. */
  #probed(runtime: string): Promise<RuntimeInfo | undefined> {
    const known = this.#probes.get(runtime);
    if (known !== undefined) return known;
    const probe = this.#options.root.call('probe', { runtime }).then(([found]) => found && infoOf(found));
    this.#probes.set(runtime, probe);
    // A name that no runtime has is not kept: anybody can invent more of them.
    const forget = (): boolean => this.#probes.delete(runtime);
    probe.then((info) => info ?? forget(), forget);
    return probe;
  }

  templates(): Promise<readonly TemplateInfo[]> {
    return this.#options.root.call('templates', {});
  }

  defaultLimits(template: string): SandboxLimits {
    const memoryMib = this.#memoryMib.get(template);
    return memoryMib === undefined ? defaultLimits : { ...defaultLimits, memoryMib };
  }

  buildTemplate(name: string, onProgress: (progress: BuildProgress) => void): Promise<TemplateInfo> {
    return this.#options.root.call('buildTemplate', { template: name }, onProgress);
  }

  async removeTemplate(name: string): Promise<void> {
    await this.#options.root.call('removeTemplate', { template: name });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    const warm = await Promise.all([...this.#pools.values()].map((pool) => pool.stop()));
    await Promise.all(warm.flat().map((sandbox) => this.destroy(sandbox.id)));
    for (const sandbox of this.#live.values()) {
      sandbox.rest.end();
      sandbox.guest.close();
    }
    this.#live.clear();
  }
}

/** A shipped template says itself what runs in its sandboxes. */
function shippedStart({ start }: RootInstance): StartCommand | undefined {
  if (start === undefined) return undefined;
  const { argv, readyPort: port } = start;
  const readyTimeoutMs = bounds.templateStartMsMax;
  return { argv, ready: { port }, readyTimeoutMs, env: {}, user: defaultUser };
}

function infoOf({ name, result }: RuntimeProbe): RuntimeInfo {
  return { name, ...result };
}

function sameLimits(one: SandboxLimits, other: SandboxLimits): boolean {
  const fields = ['cpus', 'memoryMib', 'diskMib', 'pids'] as const;
  return fields.every((field) => one[field] === other[field]);
}

function poolKey(template: string, runtime: string): string {
  return `${template}@${runtime}`;
}
