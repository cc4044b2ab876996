/** Egress policies of tenants, templates and whatever else stands above single sandboxes. */
import type { DatabaseSync } from 'node:sqlite';
import type { PolicyRow, PolicyStore } from './types.ts';

export function policyStore(database: DatabaseSync): PolicyStore {
  const ofPlace = 'tenant_id = ? AND level = ? AND subject = ?';
  const put = database.prepare(
    'INSERT OR REPLACE INTO policies (tenant_id, level, subject, record) VALUES (?, ?, ?, ?)',
  );
  const find = database.prepare(`SELECT record FROM policies WHERE ${ofPlace}`);
  const remove = database.prepare(`DELETE FROM policies WHERE ${ofPlace}`);
  return {
    put: (row) => void put.run(row.tenantId, row.level, row.subject, JSON.stringify(row)),
    find: (tenantId, level, subject) => {
      const row = find.get(tenantId, level, subject) as { record: string } | undefined;
      return row === undefined ? undefined : (JSON.parse(row.record) as PolicyRow);
    },
    remove: (tenantId, level, subject) => void remove.run(tenantId, level, subject),
  };
}
