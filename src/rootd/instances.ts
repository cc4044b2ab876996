/** Makes and ends sandboxes on this host, journal first, and clears away what an earlier run left half-made. */
import { CasemateError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import type { Log } from '../base/log.ts';
import type { SandboxNetworks } from '../network/namespace.ts';
import type {
  AgentStreamAddress,
  CreateOptions,
  Inspection,
  RuntimeDriver,
  SandboxLimits,
  StageOptions,
} from '../runtime/driver.ts';
import { openBeneath } from './beneath.ts';
import type { Journal, JournalEntry } from './journal.ts';
import type { AttachedVolume, RootInstance } from './protocol.ts';
import { type SlotKind, Slots } from './slots.ts';
import type { SnapshotOrigin, Snapshots } from './snapshots.ts';
import type { Volumes } from './volumes.ts';

/** What an instance is started from. */
export interface StartOptions extends SnapshotOrigin {
  readonly templateRoot: string;
}

type StartHints = Pick<NonNullable<SlotKind['source']>, 'snapshot'> & Pick<StageOptions, 'layer'>;

export interface InstancesOptions {
  readonly drivers: ReadonlyMap<string, RuntimeDriver>;
  readonly networks: SandboxNetworks;
  readonly journal: Journal;
  readonly snapshots: Snapshots;
  readonly volumes: Volumes;
  readonly streamOwner: { readonly uid: number; readonly gid: number };
  /** Limits that slots are staged with. */
  readonly defaultLimits: SandboxLimits;
  /** Staged slots kept ahead, so that a cold start finds its network and disk ready. */
  readonly slots: number;
  readonly log: Log;
}

/** Starting a runtime is processor work: more at once than this only makes each of them later. */
const startsAtOnceMax = 3;

export class Instances {
  readonly #options: InstancesOptions;
  readonly #slots: Slots;
  readonly #destroying = new Map<string, Promise<Inspection>>();
  readonly #waiting: (() => void)[] = [];
  /** Deleted while something that was started from them still ran. */
  readonly #removedSnapshots = new Set<string>();
  #starting = 0;
  #onQuiet: () => void = () => {};

  constructor(options: InstancesOptions) {
    this.#options = options;
    const { drivers, defaultLimits, slots, log } = options;
    const usual = [...drivers.keys()][0];
    this.#slots = new Slots({
      usual: usual === undefined ? undefined : { runtime: usual, limits: defaultLimits },
      usualCount: slots,
      aheadOf: (runtime) => drivers.get(runtime)?.stagedAhead ?? 0,
      stage: (kind) => this.#stage(kind),
      destroy: (id) => this.destroy(id),
      isQuiet: () => this.#starting === 0,
      log,
    });
  }

  /** Keeps what runs, destroys the rest: half-made entries, slots, and resources that no entry names. */
  async reconcile(): Promise<void> {
    const { journal, networks, drivers, log } = this.#options;
    const keep = new Set<string>();
    const known = new Set([...journal.entries().map((entry) => entry.id), ...networks.list()]);
    for (const driver of drivers.values()) for (const id of await driver.leftovers()) known.add(id);
    for (const entry of journal.entries()) {
      const driver = drivers.get(entry.runtime);
      if (entry.state !== 'running' || driver === undefined) continue;
      if ((await driver.inspect(entry.id)).state !== 'gone') keep.add(entry.id);
    }
    await this.#options.snapshots.sweep();
    const gone = [...known].filter((id) => !keep.has(id));
    await Promise.all(gone.map((id) => this.destroy(id)));
    log.info('reconciled', { kept: keep.size, destroyed: gone.length });
    this.#slots.fillLater();
  }

  running(): RootInstance[] {
    return this.#options.journal
      .entries()
      .filter((entry) => entry.state === 'running')
      .map((entry) => this.#instance(entry));
  }

  #instance(entry: JournalEntry): RootInstance {
    return {
      id: entry.id,
      template: entry.template ?? '',
      templateDigest: entry.templateDigest ?? '',
      runtime: entry.runtime,
      limits: entry.limits,
      address: this.#options.networks.linkOf(entry.id, entry.networkIndex).sandboxAddress,
      stream: this.#driver(entry.runtime).agentStream(entry.id),
      freezer: this.#driver(entry.runtime).freezer(entry.id),
      ...(entry.volumes === undefined ? {} : { volumes: entry.volumes }),
    };
  }

  /** @throws CasemateError `not_found` */
  find(id: string): RootInstance {
    return this.#instance(this.#entry(id));
  }

  #driver(runtime: string): RuntimeDriver {
    const driver = this.#options.drivers.get(runtime);
    if (driver === undefined)
      throw new CasemateError('runtime_unavailable', `There is no runtime named ${runtime}.`);
    return driver;
  }

  /** Starts one. On failure nothing of it is left. */
  create(options: StartOptions): Promise<RootInstance> {
    return this.#start(options, {}, (driver, create) => driver.create(create));
  }

  /** Starts one whose changes become a layer, on the first runtime that can do that. On failure nothing of it is left. */
  async createForLayer(options: {
    readonly templateRoot: string;
    readonly limits: SandboxLimits;
    readonly layer: NonNullable<CreateOptions['layer']>;
  }): Promise<RootInstance> {
    const { templateRoot, limits, layer } = options;
    const driver = [...this.#options.drivers.values()].find(({ sealLayer }) => sealLayer !== undefined);
    if (driver === undefined)
      throw new CasemateError('runtime_unavailable', 'No runtime here builds templates.');
    const origin = { runtime: driver.name, template: 'build', templateDigest: '', limits, templateRoot };
    return this.#start(origin, { id: newId() }, (_, create) => driver.create({ ...create, layer }), {
      layer: true,
    });
  }

  /** Ends one that was started with `createForLayer`; the disk image that holds what it changed. */
  async sealLayer(id: string): Promise<string> {
    const image = await this.#driver(this.#entry(id).runtime).sealLayer?.(id);
    if (image !== undefined) return image;
    throw new CasemateError('unsupported', 'That runtime makes no layers.');
  }

  /** Starts one from a snapshot, under its own id again where `id` names it. On failure nothing of it is left. */
  async restore(options: {
    readonly snapshotId: string;
    readonly id?: string;
    readonly templateRoot: string;
    readonly volumes?: readonly AttachedVolume[];
  }): Promise<RootInstance> {
    const { snapshotId, id, templateRoot, volumes } = options;
    const { directory, filesOnly, ...origin } = await this.#options.snapshots.open(snapshotId);
    const from = { snapshotId, ...(id === undefined ? {} : { id }) };
    if (filesOnly === true) {
      const boot = (driver: RuntimeDriver, create: CreateOptions): Promise<AgentStreamAddress> =>
        driver.boot(create, directory);
      return {
        ...(await this.#start({ ...origin, templateRoot }, from, boot, 'nothing staged')),
        booted: true,
      };
    }
    const more = { ...from, ...(volumes === undefined ? {} : { volumes }) };
    const begin = (driver: RuntimeDriver, create: CreateOptions): Promise<AgentStreamAddress> =>
      driver.restore(create, directory);
    return this.#start({ ...origin, templateRoot }, more, begin, { snapshot: { id: snapshotId, directory } });
  }

  async #start(
    options: StartOptions,
    more: Pick<JournalEntry, 'snapshotId' | 'volumes'> & { readonly id?: string },
    begin: (driver: RuntimeDriver, create: CreateOptions) => Promise<AgentStreamAddress>,
    hints: StartHints | 'nothing staged' = {},
  ): Promise<RootInstance> {
    const { runtime, template, templateDigest, templateRoot, limits } = options;
    const driver = this.#driver(runtime);
    const { layer, ...from }: StartHints = hints === 'nothing staged' ? {} : hints;
    if (layer !== true) await driver.prepare(templateRoot);
    await this.#startTurn();
    let id = more.id;
    const source = hints === 'nothing staged' ? {} : { source: { templateRoot, ...from } };
    const kind: SlotKind = { runtime, limits, ...source };
    try {
      const ahead = id === undefined && hints !== 'nothing staged' ? this.#slots.take(kind) : undefined;
      const slot = ahead ?? (await this.#stage(kind, { id: id ?? newId(), ...(layer ? { layer } : {}) }));
      id = slot.id;
      const entry: JournalEntry = {
        ...slot,
        ...more,
        id,
        state: 'creating',
        template,
        templateDigest,
        limits,
      };
      this.#options.journal.write(entry);
      await this.#attach(driver, id, more.volumes ?? []);
      await begin(driver, {
        id,
        templateRoot,
        limits,
        stagedLimits: slot.stagedLimits,
        networkNamespace: this.#options.networks.namespaceOf(id),
        hostname: 'sandbox',
        streamOwner: this.#options.streamOwner,
      });
      this.#options.journal.write({ ...entry, state: 'running' });
      return this.#instance(entry);
    } catch (error) {
      if (id !== undefined) await this.#clearAway(id);
      throw error;
    } finally {
      this.#endTurn();
    }
  }

  /**
   * Makes volumes appear in a running one. Journal first: a volume that an entry names is in use. What fails half-way is
   * cleared away with the sandbox, which the caller has to destroy then.
   */
  async attachVolumes(id: string, volumes: readonly AttachedVolume[]): Promise<void> {
    const entry = this.#entry(id);
    this.#options.journal.write({ ...entry, volumes: [...(entry.volumes ?? []), ...volumes] });
    await this.#attach(this.#driver(entry.runtime), id, volumes);
  }

  async #attach(driver: RuntimeDriver, id: string, volumes: readonly AttachedVolume[]): Promise<void> {
    for (const { volumeId, slot, readOnly, subpath = '' } of volumes) {
      const root = await this.#options.volumes.mounted(volumeId);
      const folder = await openBeneath(root, subpath, !readOnly);
      await driver.attach(id, { slot, readOnly, descriptor: folder.fd }).finally(folder.close.bind(folder));
    }
  }

  /**
   * Writes a running one down. Afterwards it runs on, where `keepRunning` says so, or nothing of it is left.
   * @returns bytes on disk, and the instance anew where its runtime had to end it to write it.
   */
  async snapshot(options: {
    id: string;
    snapshotId: string;
    keepRunning: boolean;
    transient: boolean;
    /** Keeps no memory: of one that is not to go on. */
    filesOnly: boolean;
    templateRoot: string;
  }): Promise<{ bytes: number; restarted?: RootInstance }> {
    const { id, snapshotId, keepRunning, templateRoot, filesOnly } = options;
    if (filesOnly && keepRunning) throw new CasemateError('internal', 'Without its memory it cannot go on.');
    const { snapshots } = this.#options;
    const { runtime, template = '', templateDigest = '', limits, volumes = [] } = this.#entry(id);
    const driver = this.#driver(runtime);
    const probe = await driver.probe();
    const ends = probe.available && probe.capabilities.snapshot === 'ends';
    const directory = await snapshots.begin(snapshotId);
    let bytes: number;
    try {
      await (filesOnly ? driver.saveFiles(id, directory) : driver.snapshot(id, directory));
      const origin = { runtime, template, templateDigest, limits, ...(filesOnly ? { filesOnly } : {}) };
      bytes = await snapshots.seal(snapshotId, origin, options.transient);
    } catch (error) {
      await snapshots.abandon(snapshotId);
      throw error;
    }
    if (ends || !keepRunning) await this.destroy(id);
    if (!ends || !keepRunning) return { bytes };
    return { bytes, restarted: await this.restore({ snapshotId, id, templateRoot, volumes }) };
  }

  /** Its files go when nothing that was started from it runs any more. */
  async removeSnapshot(snapshotId: string): Promise<void> {
    this.#removedSnapshots.add(snapshotId);
    await this.#slots.forgetSnapshot(snapshotId);
    await this.#sweepSnapshots();
  }

  async #sweepSnapshots(): Promise<void> {
    const used = new Set(this.#options.journal.entries().map((entry) => entry.snapshotId));
    for (const id of this.#removedSnapshots) {
      if (used.has(id)) continue;
      this.#removedSnapshots.delete(id);
      await this.#options.snapshots.remove(id);
    }
  }

  async #startTurn(): Promise<void> {
    if (this.#starting >= startsAtOnceMax) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#starting += 1;
  }

  /** Hands the turn to the next in line, or gives it back. */
  #endTurn(): void {
    const next = this.#waiting.shift();
    if (next !== undefined) return next();
    this.#starting -= 1;
    if (this.#starting === 0) this.#onQuiet();
    this.#slots.fillLater();
  }

  /** Resolves when nothing is being started any more. */
  #quiet(): Promise<void> {
    if (this.#starting === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onQuiet = resolve;
    });
  }

  /** Takes the resources of a new id. Journal first: whatever happens next, a restart finds it. */
  async #stage(
    { runtime, limits, source }: SlotKind,
    { id, layer }: { readonly id: string; readonly layer?: boolean } = { id: newId() },
  ): Promise<JournalEntry> {
    const { journal, networks } = this.#options;
    const entry: JournalEntry = {
      id,
      state: 'staged',
      runtime,
      networkIndex: this.#freeNetworkIndex(),
      limits,
      stagedLimits: limits,
      ...(source?.snapshot === undefined ? {} : { snapshotId: source.snapshot.id }),
    };
    journal.write(entry);
    try {
      const network = networks.create(id, entry.networkIndex).then(({ namespace }) => namespace);
      const hints = {
        ...(source === undefined ? {} : { templateRoot: source.templateRoot }),
        ...(source?.snapshot === undefined ? {} : { snapshot: source.snapshot.directory }),
        ...(layer === undefined ? {} : { layer }),
      };
      await Promise.all([network, this.#driver(runtime).stage({ ...hints, id, limits, network })]);
      return entry;
    } catch (error) {
      await this.#clearAway(entry.id);
      throw error;
    }
  }

  /** After a failure: what cannot be cleared away stays in the journal for the next start, and does not hide the failure. */
  async #clearAway(id: string): Promise<void> {
    await this.destroy(id).catch((error: unknown) =>
      this.#options.log.error('not_cleared_away', { id, reason: String(error) }),
    );
  }

  #freeNetworkIndex(): number {
    const taken = new Set(this.#options.journal.entries().map((entry) => entry.networkIndex));
    let index = 0;
    while (taken.has(index)) index += 1;
    return index;
  }

  async setLimits(id: string, limits: SandboxLimits): Promise<void> {
    const entry = this.#entry(id);
    await this.#driver(entry.runtime).setLimits(id, limits, entry.stagedLimits);
    this.#options.journal.write({ ...entry, limits });
  }

  async inspect(id: string): Promise<Inspection> {
    return this.#driver(this.#entry(id).runtime).inspect(id);
  }

  async inspectAll(ids: readonly string[]): Promise<Record<string, Inspection>> {
    const there = ids.filter((id) => this.#options.journal.get(id) !== undefined);
    return Object.fromEntries(await Promise.all(there.map(async (id) => [id, await this.inspect(id)])));
  }

  #entry(id: string): JournalEntry {
    const entry = this.#options.journal.get(id);
    if (entry === undefined) throw new CasemateError('not_found', `No sandbox ${id} runs on this node.`);
    return entry;
  }

  /** Ends it and gives everything back; answers what it had used. Idempotent, and one at a time per id. */
  destroy(id: string): Promise<Inspection> {
    const running = this.#destroying.get(id);
    if (running !== undefined) return running;
    const work = this.#destroy(id).finally(() => this.#destroying.delete(id));
    this.#destroying.set(id, work);
    return work;
  }

  async #destroy(id: string): Promise<Inspection> {
    const { journal, networks, drivers } = this.#options;
    const entry = journal.get(id);
    if (entry !== undefined) journal.write({ ...entry, state: 'destroying' });
    const named = drivers.get(entry?.runtime ?? '');
    const responsible = named === undefined ? [...drivers.values()] : [named];
    let last: Inspection | undefined;
    for (const driver of responsible) {
      last = await driver.inspect(id);
      await driver.destroy(id);
    }
    await networks.destroy(id);
    journal.remove(id);
    await this.#sweepSnapshots();
    if (entry?.volumes !== undefined) this.#options.volumes.unmountIdleLater();
    return (
      last ?? {
        state: 'gone',
        oomKills: 0,
        pidLimitHits: 0,
        memoryBytes: 0,
        cpuMicroseconds: 0,
        diskBytes: 0,
        pids: 0,
      }
    );
  }

  /** Which sandbox a gate interface belongs to. */
  ofGateInterface(gateInterface: string): string | undefined {
    const found = this.#options.journal
      .entries()
      .find(
        (entry) =>
          this.#options.networks.linkOf(entry.id, entry.networkIndex).gateInterface === gateInterface,
      );
    return found?.id;
  }

  /** Gives the staged slots back; running sandboxes go on. */
  async stop(): Promise<void> {
    await this.#quiet();
    await this.#slots.stop();
  }
}
