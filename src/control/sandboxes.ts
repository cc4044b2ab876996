/** Sandbox life: create, find, extend, end; and putting the rows right after a restart. */
import { createHash } from 'node:crypto';
import type { EgressPolicy } from '../../schema/policy.ts';
import { CasemateError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import type { Log } from '../base/log.ts';
import type { GoneReason, LiveSandbox, SandboxNode } from '../node/types.ts';
import type { EndReason, Page, PageRequest, SandboxFilter, SandboxRow, Store } from '../store/types.ts';
import { confinedTo, needTenant, type Principal, sandboxFor, snapshotFor } from './access.ts';
import type { Clock } from './clock.ts';
import { type CreateRequest, draftCopy, draftRow, sorted } from './draft.ts';
import type { Egress } from './egress.ts';
import { Pauses, withoutPause } from './pauses.ts';
import { Reaper } from './reaper.ts';
import type { Recorder } from './recorder.ts';
import type { Secrets } from './secrets.ts';
import { advance, refusalOf } from './state.ts';
import type { Turnstile } from './turnstile.ts';
import type { Catalog } from './templates/catalog.ts';
import type { Volumes } from './volumes.ts';

export interface SandboxesOptions {
  readonly store: Store;
  readonly node: SandboxNode;
  readonly clock: Clock;
  readonly recorder: Recorder;
  readonly egress: Egress;
  readonly catalog: Catalog;
  readonly volumes: Volumes;
  readonly secrets: Secrets;
  readonly turnstile: Turnstile;
  readonly log: Log;
}

const idempotencyKeptMs = 24 * 3_600_000;
/** Of a source's host name in its fork's, which has 63 characters at most. */
const hostnameCharactersKept = 56;

export class Sandboxes {
  readonly #options: SandboxesOptions;
  readonly #reaper: Reaper;
  readonly #pauses: Pauses;
  readonly #endedListeners: ((id: string) => void)[] = [];
  /** Creates under way, by tenant and Idempotency-Key: callers with the same key wait for the same answer. */
  readonly #creating = new Map<string, Promise<SandboxRow>>();

  constructor(options: SandboxesOptions) {
    this.#options = options;
    this.#reaper = new Reaper(options.clock, (id, reason) => void this.#timeIsOver(id, reason));
    this.#pauses = new Pauses({ ...options, reaper: this.#reaper });
    options.node.onGone((id, why) => this.#gone(id, why));
    options.node.onMoved((live) => void this.#moved(live));
  }

  /** Puts rows and reality in agreement: what runs is adopted, what is half-made is ended. */
  async reconcile(): Promise<void> {
    const { store, node, clock, egress, log } = this.#options;
    const survivors = new Set(node.survivors());
    await egress.keepOnly([...survivors]);
    store.idempotency.sweep(new Date(clock.now() - idempotencyKeptMs).toISOString());
    const onDisk = new Set(await node.snapshots());
    const states = ['starting', 'running', 'pausing', 'paused', 'resuming', 'ending'] as const;
    let adopted = 0;
    for (const row of store.sandboxes.inStates(states)) {
      const survives = survivors.delete(row.id);
      if (row.state === 'starting') await this.#finish(row, 'failed');
      else if (row.state === 'ending') await this.#finish(row, row.endReason ?? 'lost');
      else if (survives && (await this.#adopt(row))) adopted += 1;
      else if (row.pauseId !== undefined && onDisk.has(row.pauseId))
        store.sandboxes.update({ ...row, state: 'paused' });
      else await this.#finish(row, 'lost');
    }
    for (const id of survivors) await node.adoptIntoPool(id);
    log.info('adopted', { adopted, unclaimed: survivors.size });
  }

  /** It runs, whatever a crash left in its row: a pause that was not finished, or a resume that was. */
  async #adopt(row: SandboxRow): Promise<boolean> {
    try {
      const live = await this.#options.node.adopt(row.id);
      await this.#options.egress.inTurn(row.id, () => this.#options.egress.bind(live, row));
      if (row.state !== 'running')
        this.#options.store.sandboxes.update({ ...withoutPause(row), state: 'running' });
      this.#reaper.watch(row.id, Date.parse(row.endsAt), row.idleTimeoutMs);
      return true;
    } catch (error) {
      this.#options.log.warn('not_adopted', { id: row.id, reason: String(error) });
      return false;
    }
  }

  /** @throws CasemateError `no_capacity`, `template_not_ready`, `runtime_unavailable`, `idempotency_conflict` */
  async create(principal: Principal, request: CreateRequest, idempotencyKey?: string): Promise<SandboxRow> {
    needTenant(principal);
    if (idempotencyKey === undefined) return this.#create(principal, request);
    const { store } = this.#options;
    const bodySha256 = createHash('sha256')
      .update(JSON.stringify(sorted(request)))
      .digest('hex');
    const known = store.idempotency.find(principal.tenantId, idempotencyKey);
    if (known !== undefined && known.bodySha256 !== bodySha256) {
      throw new CasemateError(
        'idempotency_conflict',
        'This Idempotency-Key was used with another request body.',
      );
    }
    const waiting = this.#creating.get(`${principal.tenantId} ${idempotencyKey}`);
    if (waiting !== undefined) return waiting;
    const earlier = known?.sandboxId === undefined ? undefined : store.sandboxes.find(known.sandboxId);
    if (earlier !== undefined) return earlier;
    return this.#createOnce(principal, request, idempotencyKey, bodySha256);
  }

  #createOnce(
    principal: Principal,
    request: CreateRequest,
    key: string,
    bodySha256: string,
  ): Promise<SandboxRow> {
    const { idempotency } = this.#options.store;
    const { tenantId } = principal;
    idempotency.put(tenantId, key, { bodySha256 });
    const work = this.#create(principal, request)
      .then((row) => {
        idempotency.put(tenantId, key, { bodySha256, sandboxId: row.id });
        return row;
      })
      .catch((error: unknown) => {
        idempotency.remove(tenantId, key); // nothing was made: the key may be used again
        throw error;
      })
      .finally(() => this.#creating.delete(`${tenantId} ${key}`));
    this.#creating.set(`${tenantId} ${key}`, work);
    return work;
  }

  async #create(principal: Principal, request: CreateRequest): Promise<SandboxRow> {
    const { store, node, clock, egress, volumes } = this.#options;
    const snapshot =
      request.snapshot === undefined ? undefined : snapshotFor(store, principal, request.snapshot);
    const template =
      snapshot === undefined
        ? this.#options.catalog.resolve(principal.tenantId, request.template ?? 'base')
        : undefined;
    const held = snapshot?.volumes ?? [];
    const added = volumes.resolve(principal, request.volumes ?? [], held);
    const origin = { snapshot, template };
    const draft = {
      ...draftRow(principal, request, clock.now(), (name) => node.defaultLimits(name), origin),
      ...(held.length + added.length === 0 ? {} : { volumes: [...held, ...added] }),
    };
    await egress.check(draft);
    const placeholders = this.#options.secrets.environment(draft, draft.secrets ?? []);
    const bind = {
      env: { ...template?.env, ...placeholders, ...request.env },
      user: draft.user,
      ...(template?.cwd === undefined ? {} : { cwd: template.cwd }),
      ...(request.hostname === undefined ? {} : { hostname: request.hostname }),
    };
    const { runtime, limits } = draft;
    const what = { limits, bind, volumes: added };
    const { turnstile } = this.#options;
    const begin = (onTaken: (id: string) => void): Promise<LiveSandbox> => {
      if (snapshot !== undefined) {
        const kept = this.#options.catalog.startOf(snapshot.templateVersionId);
        return node.restore({ ...what, ...kept, snapshotId: snapshot.id, held, onTaken });
      }
      const { nodeName = draft.template, start } = template ?? {};
      const from = { template: nodeName, ...(start === undefined ? {} : { start }) };
      return node.claim({ ...what, ...from, runtime, onTaken });
    };
    return turnstile.pass(principal.tenantId, 'create', () => this.#begin(principal, draft, begin));
  }

  /** A child of a fork: starts from what `source` was when `snapshotId` was taken, with a name of its own. */
  createCopy(principal: Principal, source: SandboxRow, snapshotId: string): Promise<SandboxRow> {
    const { node, clock } = this.#options;
    const hostname = `${source.hostname.slice(0, hostnameCharactersKept)}-${newId(6)}`;
    const draft = { ...draftCopy(source, clock.now()), hostname };
    const bind = { env: {}, user: source.user, hostname };
    const { limits, volumes: held = [], templateVersionId } = source;
    const kept = this.#options.catalog.startOf(templateVersionId);
    return this.#begin(principal, draft, (onTaken) =>
      node.restore({ ...kept, snapshotId, limits, bind, held, onTaken }),
    );
  }

  async #begin(
    principal: Principal,
    draft: SandboxRow,
    start: (onTaken: (id: string) => void) => Promise<LiveSandbox>,
  ): Promise<SandboxRow> {
    const { store, clock, recorder, egress } = this.#options;
    let taken: SandboxRow | undefined;
    let live: LiveSandbox;
    try {
      live = await start((id) => {
        taken = { ...draft, id };
        store.sandboxes.insert(taken);
      });
      const bound = live;
      await egress.inTurn(bound.id, () => egress.bind(bound, draft));
    } catch (error) {
      if (taken !== undefined) await this.#finish(taken, 'failed');
      throw error;
    }
    if (taken === undefined)
      throw new CasemateError('internal', 'The node handed out a sandbox without its id.');
    const { isolation, acceleration, source: from } = live;
    const bound: SandboxRow = {
      ...taken,
      isolation,
      source: from,
      ...(acceleration === undefined ? {} : { acceleration }),
    };
    const running = advance(bound, 'running', new Date(clock.now()).toISOString());
    store.sandboxes.update(running);
    this.#reaper.watch(running.id, Date.parse(running.endsAt), running.idleTimeoutMs);
    const { template, runtime, limits, source, snapshotId, endsAt } = running;
    const volumes = running.volumes?.map(({ volumeId, path, readOnly }) => ({ volumeId, path, readOnly }));
    const detail = { template, runtime, limits, source, snapshotId, endsAt, volumes };
    recorder.did(principal, 'sandbox.create', running.id, detail);
    return running;
  }

  /** `listener` hears of each sandbox that has ended, for whatever reason. */
  onEnded(listener: (id: string) => void): void {
    this.#endedListeners.push(listener);
  }

  get(principal: Principal, id: string): SandboxRow {
    return sandboxFor(this.#options.store, principal, id);
  }

  list(principal: Principal, filter: Omit<SandboxFilter, 'tenantId'>, page: PageRequest): Page<SandboxRow> {
    const confined = confinedTo(principal);
    return this.#options.store.sandboxes.list(
      { ...filter, tenantId: principal.tenantId, ...(confined === undefined ? {} : { id: confined }) },
      page,
    );
  }

  /**
   * The running sandbox behind an id, and what to call when this use of it is over. One that is being paused, resumed or
   * written down is waited for; a paused one is resumed where it was created so.
   */
  async use(
    principal: Principal,
    id: string,
  ): Promise<{ live: LiveSandbox; row: SandboxRow; done: () => void }> {
    this.get(principal, id);
    await this.#pauses.settled(id);
    let row = this.get(principal, id);
    if (row.state === 'paused' && row.autoResume) row = await this.resume(principal, id);
    const refusal = refusalOf(row);
    if (refusal !== undefined) throw refusal;
    const used = this.#options.node.use(id);
    if (used === undefined) throw new CasemateError('sandbox_ended', `Sandbox ${id} has just ended.`);
    const notIdle = this.#reaper.use(id);
    return {
      live: used.live,
      row,
      done: () => {
        used.done();
        notIdle();
      },
    };
  }

  /** Sets the time limit to `timeoutMs` from now. */
  setTimeout(principal: Principal, id: string, timeoutMs: number): SandboxRow {
    const { store, clock, recorder } = this.#options;
    const row = this.get(principal, id);
    const refusal = refusalOf(row);
    if (refusal !== undefined) throw refusal;
    const endsAtMs = clock.now() + timeoutMs;
    const changed: SandboxRow = { ...row, endsAt: new Date(endsAtMs).toISOString() };
    store.sandboxes.update(changed);
    this.#reaper.extend(id, endsAtMs);
    recorder.did(principal, 'sandbox.timeout', id, { endsAt: changed.endsAt });
    return changed;
  }

  /**
   * What a running sandbox may reach from now on; connections that do not comply are cut before this resolves.
   * @throws CasemateError `invalid_request`, `forbidden`, `policy_unenforceable`
   */
  async setPolicy(
    principal: Principal,
    id: string,
    policy: EgressPolicy,
    { isOperators = false }: { readonly isOperators?: boolean } = {},
  ): Promise<SandboxRow> {
    needTenant(principal); // a key of one sandbox may be in the sandbox
    const { store, egress, recorder } = this.#options;
    const bound = { policy, administrator: isOperators || principal.scope === 'admin' };
    await egress.check({ ...this.get(principal, id), egress: bound });
    const { live, done } = await this.use(principal, id);
    try {
      return await egress.inTurn(id, async () => {
        await egress.bind(live, { ...this.get(principal, id), egress: bound });
        const changed = { ...this.get(principal, id), egress: bound };
        store.sandboxes.update(changed);
        recorder.did(principal, 'policy.set', id, { policy });
        return changed;
      });
    } finally {
      done();
    }
  }

  /** It has another address now; until the proxy knows, nothing of it passes. */
  async #moved(live: LiveSandbox): Promise<void> {
    const { store, egress } = this.#options;
    await egress
      .inTurn(live.id, async () => {
        const row = store.sandboxes.find(live.id);
        if (row !== undefined) await egress.bind(live, row);
      })
      .catch((error: unknown) => this.#unfinished(live.id, error));
  }

  /** @throws CasemateError `conflict`, `unsupported` */
  async pause(
    principal: Principal,
    id: string,
    options: { readonly keepMemory: boolean },
  ): Promise<SandboxRow> {
    this.get(principal, id);
    const row = await this.#pauses.pause(id, options);
    this.#options.recorder.did(principal, 'sandbox.pause', id, options);
    return row;
  }

  /** @throws CasemateError `conflict`, `snapshot_damaged`, `snapshot_mismatch`, `no_capacity`; it then stays paused. */
  async resume(principal: Principal, id: string, timeoutMs?: number): Promise<SandboxRow> {
    this.get(principal, id);
    const row = await this.#pauses.resume(id, timeoutMs);
    this.#options.recorder.did(principal, 'sandbox.resume', id, { endsAt: row.endsAt });
    return row;
  }

  /** Does something to a running sandbox that no call may meet in the middle. */
  alone<Result>(principal: Principal, id: string, work: () => Promise<Result>): Promise<Result> {
    this.get(principal, id);
    return this.#pauses.alone(id, () => {
      const refusal = refusalOf(this.get(principal, id));
      if (refusal !== undefined) throw refusal;
      return work();
    });
  }

  /** Ends it; resolves when nothing of it is left. An ended one stays ended. */
  async kill(principal: Principal, id: string): Promise<void> {
    const row = this.get(principal, id);
    if (row.state === 'ended') return;
    this.#options.recorder.did(principal, 'sandbox.kill', id);
    await this.#finish(row, 'killed');
  }

  /** Pauses it where it was created so; ends it otherwise, and where it cannot be paused. */
  async #timeIsOver(id: string, reason: EndReason): Promise<void> {
    const row = this.#options.store.sandboxes.find(id);
    if (row === undefined) return;
    try {
      if (row.onTimeout === 'pause') {
        return void (await this.#pauses.pause(id, { keepMemory: row.pauseKeepsMemory ?? true }));
      }
    } catch (error) {
      this.#options.log.warn('not_paused', { id, reason: String(error) });
    }
    await this.#finish(row, reason).catch((error: unknown) => this.#unfinished(id, error));
  }

  #unfinished(id: string, error: unknown): void {
    this.#options.log.error('end_failed', { id, reason: String(error) });
  }

  /** The way to `ended` from any state. */
  async #finish(row: SandboxRow, reason: EndReason): Promise<void> {
    const { store, node, clock, egress } = this.#options;
    this.#reaper.forget(row.id);
    let current = store.sandboxes.find(row.id) ?? row;
    if (current.state === 'ended') return;
    if (current.state !== 'ending') {
      current = advance(current, 'ending', new Date(clock.now()).toISOString(), reason);
      store.sandboxes.update(current);
    }
    await this.#pauses.settled(row.id);
    await egress.forget(row.id);
    await node.destroy(row.id);
    const { pauseId } = store.sandboxes.find(row.id) ?? row;
    if (pauseId !== undefined) await node.removeSnapshot(pauseId);
    this.#ended(row.id, reason);
  }

  #ended(id: string, reason: EndReason): void {
    const { store, clock, recorder } = this.#options;
    const row = store.sandboxes.find(id);
    if (row === undefined || row.state === 'ended') return;
    const at = new Date(clock.now()).toISOString();
    const ending = row.state === 'ending' ? row : advance(row, 'ending', at, reason);
    const final = advance(ending, 'ended', at);
    store.sandboxes.update(final);
    for (const listener of this.#endedListeners) listener(id);
    const why = final.endReason ?? reason;
    if (why === 'memory_limit' || why === 'process_limit') {
      const { memoryMib, pids } = row.limits;
      recorder.happened(row.tenantId, 'limit.hit', id, why === 'memory_limit' ? { memoryMib } : { pids });
    }
    recorder.happened(row.tenantId, 'sandbox.end', id, { reason: why });
  }

  /** The node saw it end by itself and has destroyed the rest. */
  #gone(id: string, why: GoneReason): void {
    this.#reaper.forget(id);
    void this.#options.egress.forget(id);
    this.#ended(id, reasonOf(why));
  }

  stop(): void {
    this.#reaper.stop();
  }
}

/** A runtime that cannot get a process dies, as one without memory does: the limit that it hit is the reason. */
function reasonOf({ oomKills, pidLimitHits, kernelPanic, protocolError }: GoneReason): EndReason {
  if (oomKills > 0) return 'memory_limit';
  if (kernelPanic) return 'kernel_panic';
  if (pidLimitHits > 0) return 'process_limit';
  return protocolError === undefined ? 'exited' : 'protocol';
}
