/** Pool sizes that somebody set through the API, so that a restart keeps them. */
import type { DatabaseSync } from 'node:sqlite';
import type { PoolRow, PoolStore } from './types.ts';

export function poolStore(database: DatabaseSync): PoolStore {
  const put = database.prepare(
    'INSERT OR REPLACE INTO pools (template, runtime, tenant_id, size) VALUES (?, ?, ?, ?)',
  );
  const list = database.prepare('SELECT template, runtime, size FROM pools ORDER BY template, runtime');
  return {
    put: (tenantId, row) => void put.run(row.template, row.runtime, tenantId, row.size),
    list: () => list.all() as unknown as PoolRow[],
  };
}
