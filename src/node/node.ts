/** The sandboxes of this host as the server sees them: pools, claims, adoption; the root process does the work. */
import { randomBytes } from 'node:crypto';
import { CasemateError } from '../base/errors.ts';
import { limits as bounds } from '../base/limits.ts';
import type { Log } from '../base/log.ts';
import { GuestClient } from '../guest/client.ts';
import { openAgentStream } from '../guest/stream.ts';
import type { RootInstance } from '../rootd/protocol.ts';
import type { Inspection, RuntimeCapabilities, SandboxLimits } from '../runtime/driver.ts';
import { admit, hostRoom } from './admission.ts';
import { Pool } from './pool.ts';
import type { RootClient } from './rootClient.ts';
import type {
  BuildProgress,
  ClaimRequest,
  GoneReason,
  LiveSandbox,
  PoolStatus,
  RuntimeInfo,
  SandboxNode,
  TemplateInfo,
} from './types.ts';

const defaultLimits: SandboxLimits = {
  cpus: bounds.sandboxCpusDefault,
  memoryMib: bounds.sandboxMemoryMibDefault,
  diskMib: bounds.sandboxDiskMibDefault,
  pids: bounds.sandboxPidsDefault,
};

const limitFields = ['cpus', 'memoryMib', 'diskMib', 'pids'] as const;
/** Fresh randomness for a sandbox that may be a clone of others. */
const entropyBytes = 64;

export interface HostNodeOptions {
  readonly root: RootClient;
  /** A folder on the file system that sandboxes' disks take their bytes from. */
  readonly diskProbeDir: string;
  readonly log: Log;
}

export class HostNode implements SandboxNode {
  readonly #options: HostNodeOptions;
  readonly #live = new Map<string, LiveSandbox>();
  readonly #pools = new Map<string, Pool>();
  readonly #survivors = new Map<string, RootInstance>();
  readonly #goneListeners: ((id: string, why: GoneReason) => void)[] = [];
  #runtimes: Promise<readonly RuntimeInfo[]> | undefined;
  #starting = 0;
  #stopped = false;

  constructor(options: HostNodeOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    for (const instance of await this.#options.root.call('survivors', {}))
      this.#survivors.set(instance.id, instance);
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
    this.#watch(sandbox);
    try {
      request.onTaken(sandbox.id);
      await Promise.all([this.#bind(sandbox, request), this.#lateLimits(sandbox, request.limits)]);
      return sandbox;
    } catch (error) {
      await this.destroy(sandbox.id);
      throw error;
    }
  }

  async #take(request: ClaimRequest): Promise<LiveSandbox> {
    admit(hostRoom(this.#options.diskProbeDir), this.#starting);
    const pool = this.#pools.get(poolKey(request.template, request.runtime));
    if (pool !== undefined && (await this.#canStillChange(request))) {
      const warm = pool.take();
      if (warm !== undefined) return warm;
    }
    return this.#make(request.template, request.runtime, request.limits, 'cold');
  }

  /** Whether the limits that differ from a warm sandbox's are ones that its runtime changes while it runs. */
  async #canStillChange({ runtime, limits }: ClaimRequest): Promise<boolean> {
    const differing = limitFields.filter((field) => limits[field] !== defaultLimits[field]);
    if (differing.length === 0) return true;
    const late = (await this.runtimes()).find(({ name }) => name === runtime)?.capabilities?.lateLimits ?? [];
    return differing.every((field) => late.includes(field));
  }

  /** Late binding: what differs between two users of a template reaches the running sandbox here. */
  #bind(sandbox: LiveSandbox, { bind, limits }: ClaimRequest): Promise<void> {
    return sandbox.guest.bind({
      env: bind.env,
      cpus: limits.cpus,
      clockUnixMs: Date.now(),
      entropyBase64: randomBytes(entropyBytes).toString('base64'),
      ...(bind.user === undefined ? {} : { user: bind.user }),
      ...(bind.hostname === undefined ? {} : { hostname: bind.hostname }),
    });
  }

  async #lateLimits(sandbox: LiveSandbox, limits: SandboxLimits): Promise<void> {
    if (sandbox.source === 'cold' || limitFields.every((field) => limits[field] === defaultLimits[field]))
      return;
    await this.#options.root.call('setLimits', { id: sandbox.id, limits });
  }

  async #make(
    template: string,
    runtime: string,
    limits: SandboxLimits,
    source: 'warm' | 'cold',
  ): Promise<LiveSandbox> {
    admit(hostRoom(this.#options.diskProbeDir), this.#starting);
    this.#starting += 1;
    try {
      const instance = await this.#options.root.call('create', { template, runtime, limits });
      try {
        return await this.#connect(instance, source);
      } catch (error) {
        await this.destroy(instance.id);
        throw error;
      }
    } finally {
      this.#starting -= 1;
    }
  }

  async #connect(instance: RootInstance, source: 'warm' | 'cold'): Promise<LiveSandbox> {
    const { id, template, runtime, stream } = instance;
    const [isolation, bytes] = await Promise.all([this.#isolationOf(runtime), openAgentStream(stream)]);
    const guest = await GuestClient.attach(bytes);
    return { id, template, runtime, isolation, source, guest };
  }

  async #isolationOf(runtime: string): Promise<RuntimeCapabilities['isolation']> {
    const info = (await this.runtimes()).find((candidate) => candidate.name === runtime);
    if (info?.capabilities === undefined) {
      throw new CasemateError('runtime_unavailable', info?.reason ?? `There is no runtime named ${runtime}.`);
    }
    return info.capabilities.isolation;
  }

  /** From here on the sandbox is somebody's: its end by itself is told to control. */
  #watch(sandbox: LiveSandbox): void {
    this.#live.set(sandbox.id, sandbox);
    void sandbox.guest.closed.then(async (violation) => {
      if (this.#stopped || !this.#live.delete(sandbox.id)) return; // destroyed on request
      const last = await this.#destroyOnHost(sandbox.id);
      const why: GoneReason = {
        oomKills: last?.oomKills ?? 0,
        pidLimitHits: last?.pidLimitHits ?? 0,
        ...(violation === undefined ? {} : { protocolError: violation.message }),
      };
      for (const listener of this.#goneListeners) listener(sandbox.id, why);
    });
  }

  async #destroyOnHost(id: string): Promise<Inspection | undefined> {
    try {
      return await this.#options.root.call('destroy', { id });
    } catch (error) {
      this.#options.log.error('destroy_failed', { id, reason: String(error) });
      return undefined;
    }
  }

  get(id: string): LiveSandbox | undefined {
    return this.#live.get(id);
  }

  async destroy(id: string): Promise<void> {
    const sandbox = this.#live.get(id);
    this.#live.delete(id);
    this.#survivors.delete(id);
    sandbox?.guest.close();
    await this.#options.root.call('destroy', { id });
  }

  inspect(id: string): Promise<Inspection> {
    return this.#options.root.call('inspect', { id });
  }

  onGone(listener: (id: string, why: GoneReason) => void): void {
    this.#goneListeners.push(listener);
  }

  pools(): readonly PoolStatus[] {
    return [...this.#pools.values()].map((pool) => pool.status());
  }

  setPool(template: string, runtime: string, size: number): void {
    const existing = this.#pools.get(poolKey(template, runtime));
    if (existing !== undefined) return existing.resize(size);
    const pool = new Pool({
      template,
      runtime,
      size,
      make: () => this.#make(template, runtime, defaultLimits, 'warm'),
      discard: async (id) => void (await this.#destroyOnHost(id)),
      log: this.#options.log,
    });
    this.#pools.set(poolKey(template, runtime), pool);
  }

  /** Probed once: a probe starts a real sandbox. */
  runtimes(): Promise<readonly RuntimeInfo[]> {
    this.#runtimes ??= this.#options.root
      .call('probe', {})
      .then((probes) => probes.map(({ name, result }) => ({ name, ...result })))
      .catch((error: unknown) => {
        this.#runtimes = undefined;
        throw error;
      });
    return this.#runtimes;
  }

  templates(): Promise<readonly TemplateInfo[]> {
    return this.#options.root.call('templates', {});
  }

  buildTemplate(name: string, onProgress: (progress: BuildProgress) => void): Promise<TemplateInfo> {
    return this.#options.root.call('buildTemplate', { template: name }, onProgress);
  }

  async removeTemplate(name: string): Promise<void> {
    await this.#options.root.call('removeTemplate', { template: name });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    const warm = [...this.#pools.values()].flatMap((pool) => pool.stop());
    await Promise.all(warm.map((sandbox) => this.destroy(sandbox.id)));
    for (const sandbox of this.#live.values()) sandbox.guest.close();
    this.#live.clear();
  }
}

function poolKey(template: string, runtime: string): string {
  return `${template}@${runtime}`;
}
