/** Volumes: files of a tenant that outlive sandboxes, and which sandboxes have them. */
import type { VolumeMount } from '../../schema/volumes.ts';
import { CasemateError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import { limits as bounds } from '../base/limits.ts';
import type { Log } from '../base/log.ts';
import type { SandboxNode } from '../node/types.ts';
import type { SandboxVolume, Store, VolumeRow } from '../store/types.ts';
import { needTenant, type Principal, volumeFor } from './access.ts';
import type { Clock } from './clock.ts';
import type { Recorder } from './recorder.ts';
import { liveStates } from './state.ts';

export interface VolumeRequest {
  readonly name: string;
  readonly quotaMib?: number;
  readonly quotaInodes?: number;
  /** Starts as a copy of this one (id or name). */
  readonly from?: string;
  readonly readOnly?: boolean;
  readonly labels?: Readonly<Record<string, string>>;
}

/** A row, and what is known of its files at this moment. */
export interface VolumeDescription extends VolumeRow {
  readonly allocatedBytes?: number;
  readonly usedBytes?: number;
  readonly usedInodes?: number;
  readonly sandboxes: readonly string[];
}

export interface VolumesOptions {
  readonly store: Store;
  readonly node: SandboxNode;
  readonly clock: Clock;
  readonly recorder: Recorder;
  readonly log: Log;
}

export class Volumes {
  readonly #options: VolumesOptions;

  constructor(options: VolumesOptions) {
    this.#options = options;
  }

  /** What a crash left half-made or half-removed goes; files without a row stay, for `casemate disk` to show. */
  async reconcile(): Promise<void> {
    const { store, log } = this.#options;
    for (const row of store.volumes.list()) {
      if (row.state === 'ready') continue;
      try {
        await this.discard(row);
      } catch (error) {
        log.warn('volume_not_removed', { id: row.id, reason: String(error) });
      }
    }
  }

  /** @throws CasemateError `conflict` where the name is taken, `not_found` for `from`, `no_capacity` */
  async create(principal: Principal, request: VolumeRequest): Promise<VolumeDescription> {
    needTenant(principal);
    const { clock, recorder } = this.#options;
    const { tenantId } = principal;
    const { name, from, readOnly = false, labels = {} } = request;
    this.needFree(principal, name);
    const source = from === undefined ? undefined : this.ready(principal, from);
    const quotaMib = source?.quotaMib ?? request.quotaMib ?? bounds.volumeMibDefault;
    const row: VolumeRow = {
      id: newId(),
      tenantId,
      name,
      state: 'creating',
      quotaMib,
      quotaInodes:
        source?.quotaInodes ??
        request.quotaInodes ??
        Math.max(1024, quotaMib * bounds.volumeInodesPerMibDefault),
      readOnly,
      ...(source === undefined ? {} : { fromId: source.id }),
      labels,
      createdAt: new Date(clock.now()).toISOString(),
    };
    await this.make(row, source?.id);
    this.finish(row);
    recorder.did(principal, 'volume.create', undefined, {
      volumeId: row.id,
      name,
      quotaMib,
      from: source?.id,
    });
    return this.describe(principal, row.id);
  }

  /** @throws CasemateError `conflict` where the name is taken, `forbidden` for a key of one sandbox */
  needFree(principal: Principal, name: string): void {
    needTenant(principal);
    if (this.#options.store.volumes.findByName(principal.tenantId, name) !== undefined)
      throw new CasemateError('conflict', `There is a volume named ${name} already.`);
  }

  /** Its row, and its files: empty, or a copy of those of `from`. What is not finished is gone after a restart. */
  async make(row: VolumeRow, from?: string): Promise<void> {
    const { store, node } = this.#options;
    store.volumes.insert(row);
    try {
      const { id: volumeId, quotaMib: mib, quotaInodes: inodes } = row;
      await node.volumes.create({ volumeId, mib, inodes, ...(from === undefined ? {} : { from }) });
    } catch (error) {
      store.volumes.remove(row.id);
      throw error;
    }
  }

  finish(row: VolumeRow): void {
    this.#options.store.volumes.update({ ...row, state: 'ready' });
  }

  /** Takes away what was made and not finished. */
  async discard({ id }: VolumeRow): Promise<void> {
    await this.#options.node.volumes.remove(id);
    this.#options.store.volumes.remove(id);
  }

  /** @throws CasemateError `not_found`, `conflict` while it is being made or removed */
  ready(principal: Principal, idOrName: string): VolumeRow {
    const row = this.get(principal, idOrName);
    if (row.state === 'ready') return row;
    throw new CasemateError('conflict', `Volume ${row.name} is not ready.`);
  }

  /** By id or by name. @throws CasemateError `not_found` */
  get(principal: Principal, idOrName: string): VolumeRow {
    needTenant(principal);
    return volumeFor(this.#options.store, principal, idOrName);
  }

  async describe(principal: Principal, idOrName: string): Promise<VolumeDescription> {
    const [described] = await this.#describe([this.get(principal, idOrName)]);
    if (described === undefined) throw new CasemateError('not_found', `There is no volume ${idOrName}.`);
    return described;
  }

  list(principal: Principal): Promise<VolumeDescription[]> {
    needTenant(principal);
    return this.#describe(this.#options.store.volumes.list(principal.tenantId));
  }

  async #describe(rows: readonly VolumeRow[]): Promise<VolumeDescription[]> {
    const known = new Map((await this.#options.node.volumes.list()).map((volume) => [volume.id, volume]));
    return rows.map((row) => {
      const { allocatedBytes, usedBytes, usedInodes } = known.get(row.id) ?? {};
      return {
        ...row,
        ...(allocatedBytes === undefined ? {} : { allocatedBytes }),
        ...(usedBytes === undefined ? {} : { usedBytes }),
        ...(usedInodes === undefined ? {} : { usedInodes }),
        sandboxes: this.#holders(row.id),
      };
    });
  }

  /** Sandboxes that have it or will have it again. */
  #holders(volumeId: string): string[] {
    return this.#options.store.sandboxes
      .inStates(liveStates)
      .filter(({ volumes = [] }) => volumes.some((volume) => volume.volumeId === volumeId))
      .map(({ id }) => id);
  }

  /** Its files are gone when this resolves. @throws CasemateError `conflict` while a sandbox has it */
  async remove(principal: Principal, idOrName: string): Promise<void> {
    const { store, node, recorder } = this.#options;
    const row = this.get(principal, idOrName);
    const holders = this.#holders(row.id);
    if (holders.length > 0)
      throw new CasemateError('conflict', `Volume ${row.name} is in use by ${holders.join(', ')}.`);
    store.volumes.update({ ...row, state: 'removing' });
    try {
      await node.volumes.remove(row.id);
    } catch (error) {
      store.volumes.update(row);
      throw error;
    }
    store.volumes.remove(row.id);
    recorder.did(principal, 'volume.remove', undefined, { volumeId: row.id, name: row.name });
  }

  /**
   * What a sandbox asks for, resolved.
   * @param taken volumes that it has already, from its snapshot.
   * @throws CasemateError `not_found`, `forbidden` for writing to a read-only volume, `invalid_request`
   */
  resolve(
    principal: Principal,
    mounts: readonly VolumeMount[],
    taken: readonly SandboxVolume[] = [],
  ): SandboxVolume[] {
    const all = [...taken];
    for (const { volume, path, readOnly = false, subpath } of mounts) {
      const row = this.ready(principal, volume);
      if (row.readOnly && !readOnly)
        throw new CasemateError('forbidden', `Volume ${row.name} can only be mounted read-only.`);
      if (all.some((other) => other.path === path))
        throw new CasemateError('invalid_request', `Two volumes cannot both be at ${path}.`);
      const slot = all.length;
      all.push({
        volumeId: row.id,
        name: row.name,
        path,
        readOnly,
        slot,
        ...(subpath === undefined ? {} : { subpath }),
      });
    }
    if (all.length > bounds.sandboxVolumesMax)
      throw new CasemateError(
        'invalid_request',
        `A sandbox has ${bounds.sandboxVolumesMax} volumes at most.`,
      );
    return all.slice(taken.length);
  }
}
