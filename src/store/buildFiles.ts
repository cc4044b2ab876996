/** Layers and caches that builds of tenants made or used; the files lie on the node. */
import type { DatabaseSync } from 'node:sqlite';

export interface BuildFileRow {
  readonly kind: 'layer' | 'cache';
  /** A layer's digest, a cache's id. */
  readonly id: string;
  readonly tenantId: string;
  readonly usedAt: string;
}

export interface BuildFileStore {
  /** Its tenant uses it now. */
  put(row: BuildFileRow): void;
  list(): readonly BuildFileRow[];
  /** For all tenants. */
  remove(kind: BuildFileRow['kind'], id: string): void;
}

export function buildFileStore(database: DatabaseSync): BuildFileStore {
  const put = database.prepare(
    'INSERT OR REPLACE INTO build_files (kind, id, tenant_id, used_at) VALUES (?, ?, ?, ?)',
  );
  const list = database.prepare(
    'SELECT kind, id, tenant_id AS tenantId, used_at AS usedAt FROM build_files ORDER BY kind, id',
  );
  const remove = database.prepare('DELETE FROM build_files WHERE kind = ? AND id = ?');
  return {
    put: ({ kind, id, tenantId, usedAt }) => void put.run(kind, id, tenantId, usedAt),
    list: () => list.all() as unknown as BuildFileRow[],
    remove: (kind, id) => void remove.run(kind, id),
  };
}
