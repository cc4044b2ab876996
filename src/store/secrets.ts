/** Secrets of all tenants: what the API shows of them, and their sealed values, which nothing here can open. */
import type { DatabaseSync } from 'node:sqlite';
import type { Scope, SealedValue, SecretRow, SecretStore } from './types.ts';

const ofScope = 'tenant_id = ? AND workspace_id IS ? AND function_id IS ?';

export function secretStore(database: DatabaseSync): SecretStore {
  const put = database.prepare(
    'INSERT OR REPLACE INTO secrets (id, tenant_id, workspace_id, function_id, name, record, key_id, sealed) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
  );
  const find = database.prepare(`SELECT record FROM secrets WHERE ${ofScope} AND name = ?`);
  const list = database.prepare(`SELECT record FROM secrets WHERE ${ofScope} ORDER BY name`);
  const sealed = database.prepare('SELECT key_id, sealed FROM secrets WHERE id = ?');
  const remove = database.prepare('DELETE FROM secrets WHERE id = ?');
  return {
    put: (row, { keyId, bytes }) =>
      void put.run(row.id, ...placeOf(row), row.name, JSON.stringify(row), keyId, bytes),
    find: (scope, name) => rowOf(find.get(...placeOf(scope), name)),
    list: (scope) => list.all(...placeOf(scope)).flatMap((row) => rowOf(row) ?? []),
    sealedOf: (id) => sealedOf(sealed.get(id)),
    remove: (id) => void remove.run(id),
  };
}

function placeOf({ tenantId, workspaceId, functionId }: Scope): [string, string | null, string | null] {
  return [tenantId, workspaceId ?? null, functionId ?? null];
}

function rowOf(row: unknown): SecretRow | undefined {
  return row === undefined ? undefined : (JSON.parse((row as { record: string }).record) as SecretRow);
}

function sealedOf(row: unknown): SealedValue | undefined {
  if (row === undefined) return undefined;
  const { key_id, sealed } = row as { key_id: string; sealed: Uint8Array };
  return { keyId: key_id, bytes: sealed };
}
