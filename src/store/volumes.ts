/** Volumes of all tenants; the files lie on the node. */
import type { DatabaseSync } from 'node:sqlite';
import type { VolumeRow, VolumeStore } from './types.ts';

export function volumeStore(database: DatabaseSync): VolumeStore {
  const insert = database.prepare(
    'INSERT INTO volumes (id, tenant_id, name, state, created_at, record) VALUES (?, ?, ?, ?, ?, ?)',
  );
  const update = database.prepare('UPDATE volumes SET state = ?, record = ? WHERE id = ?');
  const byId = database.prepare('SELECT record FROM volumes WHERE id = ?');
  const byName = database.prepare('SELECT record FROM volumes WHERE tenant_id = ? AND name = ?');
  const ofTenant = database.prepare('SELECT record FROM volumes WHERE tenant_id = ? ORDER BY name');
  const all = database.prepare('SELECT record FROM volumes ORDER BY id');
  const remove = database.prepare('DELETE FROM volumes WHERE id = ?');
  return {
    insert: (row) =>
      void insert.run(row.id, row.tenantId, row.name, row.state, row.createdAt, JSON.stringify(row)),
    update: (row) => void update.run(row.state, JSON.stringify(row), row.id),
    find: (id) => rowOf(byId.get(id)),
    findByName: (tenantId, name) => rowOf(byName.get(tenantId, name)),
    list: (tenantId) =>
      (tenantId === undefined ? all.all() : ofTenant.all(tenantId)).flatMap((row) => rowOf(row) ?? []),
    remove: (id) => void remove.run(id),
  };
}

function rowOf(row: unknown): VolumeRow | undefined {
  return row === undefined ? undefined : (JSON.parse((row as { record: string }).record) as VolumeRow);
}
