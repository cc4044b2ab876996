/** Who takes up this host's disk, and the janitor that takes away what nobody owns. */
import { limits } from '../base/limits.ts';
import type { DiskItem, DiskKind, SandboxNode } from '../node/types.ts';
import type { Store } from '../store/types.ts';
import { needAdmin, needTenant, type Principal } from './access.ts';
import type { Clock } from './clock.ts';
import { type Owner, ownersOf } from './diskOwners.ts';
import type { Recorder } from './recorder.ts';
import type { Templates } from './templates/templates.ts';

export interface DiskEntry {
  readonly kind: DiskKind | 'upload' | 'template' | 'database';
  readonly id: string;
  /** How people call it, where it has a name. */
  readonly name?: string;
  /** Several where a layer is shared; none of what belongs to the host, and of what nobody owns. */
  readonly tenantIds: readonly string[];
  readonly bytes: number;
  /** Nothing in the database names it: the janitor takes it away. */
  readonly ownerless: boolean;
}

export interface DiskReport {
  /** Of the file system that sandboxes take their bytes from; for administrators. */
  readonly host?: {
    readonly totalBytes: number;
    readonly freeBytes: number;
    /** With less than this left nothing new is started, taken in or built. */
    readonly reservedBytes: number;
  };
  /** What each tenant uses; a layer that several share counts for each of them. */
  readonly tenants: readonly { readonly tenantId: string; readonly bytes: number }[];
  /** The biggest first. */
  readonly entries: readonly DiskEntry[];
}

export interface Cleaned {
  readonly entries: readonly DiskEntry[];
  readonly bytes: number;
}

export interface DiskOptions {
  readonly store: Store;
  readonly node: SandboxNode;
  readonly clock: Clock;
  readonly recorder: Recorder;
  readonly images: Templates;
}

/** Files are younger than the row that names them for a moment: nothing is without an owner before this age. */
const ownerlessMsMin = 10 * 60_000;
const cacheKeptMs = 30 * 24 * 3_600_000;

export class Disk {
  readonly #options: DiskOptions;

  constructor(options: DiskOptions) {
    this.#options = options;
  }

  /** All of it for an administrator, a tenant's own for others. */
  async report(principal: Principal): Promise<DiskReport> {
    needTenant(principal);
    const all = await this.#entries();
    const isAdmin = principal.scope === 'admin';
    const { tenantId } = principal;
    const entries = isAdmin
      ? all
      : all
          .filter(({ tenantIds }) => tenantIds.includes(tenantId))
          .map((entry) => ({ ...entry, tenantIds: [tenantId] }));
    const room = this.#options.node.disk.room();
    const reservedBytes = limits.hostDiskReserveMib * 1024 * 1024;
    return {
      ...(isAdmin ? { host: { ...room, reservedBytes } } : {}),
      tenants: totals(entries),
      entries: [...entries].sort((one, other) => other.bytes - one.bytes),
    };
  }

  /** Takes away what nobody owns; with `dryRun` it only says what that would be. */
  async clean(principal: Principal, dryRun: boolean): Promise<Cleaned> {
    needAdmin(principal);
    const { node, recorder, store, images } = this.#options;
    const going = (await this.#entries()).filter(({ ownerless }) => ownerless);
    const gone: DiskEntry[] = [];
    for (const entry of going) {
      // What came into use meanwhile stays.
      const removed = dryRun || (await this.#remove(entry));
      if (removed) gone.push(entry);
    }
    if (!dryRun) {
      for (const { kind, id } of gone) if (kind === 'cache') store.buildFiles.remove(kind, id);
      if (going.some(({ kind }) => kind === 'layer'))
        await images.collectOwnerless(this.#young(await node.disk.list()));
    }
    const bytes = gone.reduce((sum, entry) => sum + entry.bytes, 0);
    if (!dryRun) recorder.did(principal, 'disk.clean', undefined, { things: gone.length, bytes });
    return { entries: gone, bytes };
  }

  async #remove({ kind, id }: DiskEntry): Promise<boolean> {
    if (kind === 'layer') return true; // all of them together, when the rest is gone
    if (kind === 'upload' || kind === 'template' || kind === 'database') return false;
    return this.#options.node.disk.remove(kind, id).then(
      () => true,
      () => false,
    );
  }

  async #entries(): Promise<DiskEntry[]> {
    const { node, store, images } = this.#options;
    const [items, uploads, shipped] = await Promise.all([
      node.disk.list(),
      images.blobs.usage(),
      node.templates(),
    ]);
    const owners = ownersOf(store, this.#staleCachesBefore());
    return [
      ...items.map((item) => this.#entryOf(item, owners[item.kind].get(item.id))),
      ...uploads.map(({ tenantId, bytes }) => plain('upload', tenantId, bytes, [tenantId])),
      ...shipped.flatMap(({ name, ready, bytes }) => (ready ? [plain('template', name, bytes)] : [])),
      plain('database', 'database', store.bytes()),
    ];
  }

  #staleCachesBefore(): string {
    return new Date(this.#options.clock.now() - cacheKeptMs).toISOString();
  }

  #entryOf(item: DiskItem, owner: Owner | undefined): DiskEntry {
    const { kind, id, bytes, held } = item;
    const isYoung = this.#isYoung(item);
    const collected = kind === 'layer' || kind === 'machine';
    const inUse = held && !collected;
    return {
      kind,
      id,
      bytes,
      tenantIds: owner?.tenantIds ?? [],
      ...(owner?.name === undefined ? {} : { name: owner.name }),
      ownerless: owner === undefined && !inUse && !isYoung && kind !== 'machine',
    };
  }

  #isYoung({ changedAtMs }: DiskItem): boolean {
    return changedAtMs > this.#options.clock.now() - ownerlessMsMin;
  }

  #young(items: readonly DiskItem[]): string[] {
    return items.filter((item) => item.kind === 'layer' && this.#isYoung(item)).map(({ id }) => id);
  }
}

function plain(
  kind: DiskEntry['kind'],
  id: string,
  bytes: number,
  tenantIds: readonly string[] = [],
): DiskEntry {
  return { kind, id, bytes, tenantIds, ownerless: false };
}

function totals(entries: readonly DiskEntry[]): { tenantId: string; bytes: number }[] {
  const sums = new Map<string, number>();
  for (const { tenantIds, bytes } of entries)
    for (const tenantId of tenantIds) sums.set(tenantId, (sums.get(tenantId) ?? 0) + bytes);
  return [...sums].map(([tenantId, bytes]) => ({ tenantId, bytes })).sort((a, b) => b.bytes - a.bytes);
}
