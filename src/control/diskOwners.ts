/** Which rows of the database name what lies on the node's disk. */
import type { DiskKind } from '../node/types.ts';
import type { Store } from '../store/types.ts';
import { liveStates } from './state.ts';

export interface Owner {
  readonly tenantIds: readonly string[];
  readonly name?: string;
}

type Owners = Readonly<Record<DiskKind, ReadonlyMap<string, Owner>>>;

/** @param staleBefore caches of builds that were used last before this (ISO 8601) count as nobody's. */
export function ownersOf(store: Store, staleBefore: string): Owners {
  const sandbox = new Map<string, Owner>();
  const snapshot = new Map<string, Owner>();
  for (const row of store.sandboxes.inStates(liveStates)) {
    sandbox.set(row.id, { tenantIds: [row.tenantId], name: row.template });
    if (row.pauseId !== undefined)
      snapshot.set(row.pauseId, { tenantIds: [row.tenantId], name: `pause of ${row.id}` });
  }
  for (const id of store.snapshots.ids()) {
    const row = store.snapshots.find(id);
    if (row === undefined) continue;
    snapshot.set(id, { tenantIds: [row.tenantId], ...(row.name === undefined ? {} : { name: row.name }) });
  }
  const volume = new Map<string, Owner>(
    store.volumes.list().map(({ id, tenantId, name }) => [id, { tenantIds: [tenantId], name }]),
  );
  const files = store.buildFiles.list();
  const cache = new Map<string, Owner>();
  for (const { kind, id, tenantId, usedAt } of files)
    if (kind === 'cache' && usedAt >= staleBefore) cache.set(id, { tenantIds: [tenantId] });
  return { sandbox, snapshot, volume, cache, layer: layerOwners(store), machine: new Map() };
}

/** Versions name the layers that they consist of; what builds needed besides stands in a table of its own. */
function layerOwners(store: Store): Map<string, Owner> {
  const tenants = new Map<string, Set<string>>();
  const names = new Map<string, string>();
  const add = (id: string, tenantId: string): void => {
    const known = tenants.get(id) ?? new Set();
    tenants.set(id, known.add(tenantId));
  };
  for (const { kind, id, tenantId } of store.buildFiles.list()) if (kind === 'layer') add(id, tenantId);
  for (const template of store.templates.list()) {
    const [first] = store.templates.names(template.id);
    for (const { layers = [], number } of store.templates.versions(template.id))
      for (const layer of layers) {
        add(layer, template.tenantId);
        names.set(layer, `${first?.name ?? ''} version ${number}`);
      }
  }
  return new Map(
    [...tenants].map(([id, tenantIds]) => {
      const name = names.get(id);
      return [id, { tenantIds: [...tenantIds], ...(name === undefined ? {} : { name }) }];
    }),
  );
}
