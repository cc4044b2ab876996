/** Tenants and their API keys; only the hash of a key's secret is stored. */
import type { DatabaseSync } from 'node:sqlite';
import type { KeyRow, KeyStore, TenantStore } from './types.ts';

export function tenantStore(database: DatabaseSync): TenantStore {
  const insert = database.prepare('INSERT OR IGNORE INTO tenants (id, created_at) VALUES (?, ?)');
  const find = database.prepare('SELECT id FROM tenants WHERE id = ?');
  return {
    ensure: (id) => void insert.run(id, new Date().toISOString()),
    exists: (id) => find.get(id) !== undefined,
  };
}

export function keyStore(database: DatabaseSync): KeyStore {
  const columns = 'id, tenant_id, name, scope, created_at';
  const insert = database.prepare(`INSERT INTO keys (${columns}, secret_sha256) VALUES (?, ?, ?, ?, ?, ?)`);
  const bySecret = database.prepare(`SELECT ${columns} FROM keys WHERE secret_sha256 = ?`);
  const byId = database.prepare(`SELECT ${columns} FROM keys WHERE id = ?`);
  const all = database.prepare(`SELECT ${columns} FROM keys ORDER BY created_at, id`);
  const ofTenant = database.prepare(
    `SELECT ${columns} FROM keys WHERE tenant_id = ? ORDER BY created_at, id`,
  );
  const remove = database.prepare('DELETE FROM keys WHERE id = ?');
  const count = database.prepare('SELECT count(*) AS n FROM keys');
  return {
    insert: (key, secretSha256) =>
      void insert.run(key.id, key.tenantId, key.name, key.scope, key.createdAt, secretSha256),
    findBySecret: (secretSha256) => keyOf(bySecret.get(secretSha256)),
    find: (id) => keyOf(byId.get(id)),
    list: (tenantId) => {
      const rows = tenantId === undefined ? all.all() : ofTenant.all(tenantId);
      return rows.map(keyOf).filter((row) => row !== undefined);
    },
    remove: (id) => void remove.run(id),
    count: () => Number((count.get() as { n: number }).n),
  };
}

function keyOf(row: unknown): KeyRow | undefined {
  if (row === undefined) return undefined;
  const { id, tenant_id, name, scope, created_at } = row as Record<string, string>;
  return {
    id: id ?? '',
    tenantId: tenant_id ?? '',
    name: name ?? '',
    scope: scope ?? '',
    createdAt: created_at ?? '',
  };
}
