/** Named snapshots and forks: others start from what a running sandbox is at one moment. */
import { CasemateError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import { limits as bounds } from '../base/limits.ts';
import type { Log } from '../base/log.ts';
import type { SandboxNode } from '../node/types.ts';
import type { Page, PageRequest, SandboxRow, SnapshotFilter, SnapshotRow, Store } from '../store/types.ts';
import { needTenant, type Principal, snapshotFor } from './access.ts';
import type { Clock } from './clock.ts';
import type { Recorder } from './recorder.ts';
import type { Sandboxes } from './sandboxes.ts';

export interface SnapshotRequest {
  readonly name?: string;
  /** Takes the name from the snapshot that has it, which is removed; refused by default. */
  readonly replace?: boolean;
  readonly labels?: Readonly<Record<string, string>>;
  /** Deleted after this long; never by default. */
  readonly retentionMs?: number;
}

export type ForkedChild = { readonly sandbox: SandboxRow } | { readonly error: CasemateError };

export interface SnapshotsOptions {
  readonly store: Store;
  readonly node: SandboxNode;
  readonly clock: Clock;
  readonly recorder: Recorder;
  readonly sandboxes: Sandboxes;
  readonly log: Log;
}

export class Snapshots {
  readonly #options: SnapshotsOptions;
  #cancelSweep: () => void = () => {};

  constructor(options: SnapshotsOptions) {
    this.#options = options;
  }

  /** Files that no row names are a crash's leftovers. */
  async reconcile(): Promise<void> {
    const { store, node } = this.#options;
    const paused = store.sandboxes.inStates(['pausing', 'paused', 'resuming']).map((row) => row.pauseId);
    const known = new Set([...store.snapshots.ids(), ...paused]);
    for (const id of await node.snapshots()) if (!known.has(id)) await node.removeSnapshot(id);
    this.#sweep();
  }

  /** Deletes what has outlived its retention; again and again. */
  #sweep(): void {
    const { store, clock, log } = this.#options;
    for (const row of store.snapshots.expired(new Date(clock.now()).toISOString())) {
      this.#remove(row).catch((error: unknown) =>
        log.warn('snapshot_not_removed', { id: row.id, reason: String(error) }),
      );
    }
    this.#cancelSweep = clock.after(bounds.snapshotSweepMs, () => this.#sweep());
  }

  stop(): void {
    this.#cancelSweep();
  }

  /** Takes one of a running sandbox, which goes on. @throws CasemateError `conflict` where the name is taken */
  async take(principal: Principal, sandboxId: string, request: SnapshotRequest): Promise<SnapshotRow> {
    needTenant(principal);
    const { store, clock, recorder } = this.#options;
    const { name, labels = {}, retentionMs, replace = false } = request;
    const { tenantId } = principal;
    if (name !== undefined && !replace && store.snapshots.findByName(tenantId, name) !== undefined) {
      throw new CasemateError('conflict', `There is a snapshot named ${name} already.`);
    }
    const id = newId();
    const source = this.#options.sandboxes.get(principal, sandboxId);
    const bytes = await this.#write(principal, sandboxId, id, { transient: false });
    const { template, templateVersionId, runtime, limits, user, snapshotId } = source;
    const now = clock.now();
    const row: SnapshotRow = {
      id,
      tenantId,
      ...(name === undefined ? {} : { name }),
      labels,
      createdAt: new Date(now).toISOString(),
      ...(retentionMs === undefined ? {} : { expiresAt: new Date(now + retentionMs).toISOString() }),
      sandboxId,
      ...(snapshotId === undefined ? {} : { parentId: snapshotId }),
      template,
      ...(templateVersionId === undefined ? {} : { templateVersionId }),
      runtime,
      limits,
      user,
      bytes,
      ...(source.volumes === undefined ? {} : { volumes: source.volumes }),
    };
    const replaced = name === undefined ? undefined : store.snapshots.findByName(tenantId, name);
    if (replaced !== undefined) store.snapshots.remove(replaced.id);
    store.snapshots.insert(row);
    if (replaced !== undefined) await this.#options.node.removeSnapshot(replaced.id);
    recorder.did(principal, 'snapshot.create', sandboxId, { snapshotId: id, name, bytes });
    return row;
  }

  #write(
    principal: Principal,
    sandboxId: string,
    id: string,
    options: { transient: boolean },
  ): Promise<number> {
    const { sandboxes, node } = this.#options;
    return sandboxes.alone(principal, sandboxId, () =>
      node.snapshot(sandboxId, id, { keepRunning: true, ...options }),
    );
  }

  /** By id or by name. @throws CasemateError `not_found` */
  get(principal: Principal, idOrName: string): SnapshotRow {
    return snapshotFor(this.#options.store, principal, idOrName);
  }

  list(
    principal: Principal,
    page: PageRequest,
    filter: Omit<SnapshotFilter, 'tenantId'> = {},
  ): Page<SnapshotRow> {
    needTenant(principal);
    return this.#options.store.snapshots.list({ ...filter, tenantId: principal.tenantId }, page);
  }

  /** Sandboxes that were started from it go on; its files go with the last of them. */
  async remove(principal: Principal, idOrName: string): Promise<void> {
    needTenant(principal);
    const row = this.get(principal, idOrName);
    await this.#remove(row);
    this.#options.recorder.did(principal, 'snapshot.remove', row.sandboxId, { snapshotId: row.id });
  }

  async #remove(row: SnapshotRow): Promise<void> {
    this.#options.store.snapshots.remove(row.id);
    await this.#options.node.removeSnapshot(row.id);
  }

  /** Children of a running sandbox, which goes on; one that fails is reported alone. */
  async fork(principal: Principal, sandboxId: string, count: number): Promise<ForkedChild[]> {
    needTenant(principal);
    const { sandboxes, node, recorder } = this.#options;
    const source = sandboxes.get(principal, sandboxId);
    const snapshotId = newId();
    await this.#write(principal, sandboxId, snapshotId, { transient: true });
    try {
      const made = await Promise.allSettled(
        Array.from({ length: count }, () => sandboxes.createCopy(principal, source, snapshotId)),
      );
      const children = made.map((result) =>
        result.status === 'fulfilled'
          ? { sandbox: result.value }
          : { error: CasemateError.from(result.reason) },
      );
      const ids = children.flatMap((child) => ('sandbox' in child ? child.sandbox.id : []));
      recorder.did(principal, 'sandbox.fork', sandboxId, { children: ids, failed: count - ids.length });
      return children;
    } finally {
      await node.removeSnapshot(snapshotId);
    }
  }
}
