/** Which create request an Idempotency-Key stood for, and what came of it. */
import type { DatabaseSync } from 'node:sqlite';
import type { IdempotencyStore } from './types.ts';

export function idempotencyStore(database: DatabaseSync): IdempotencyStore {
  const find = database.prepare(
    'SELECT body_sha256, sandbox_id FROM idempotency WHERE tenant_id = ? AND key = ?',
  );
  const put = database.prepare(
    'INSERT OR REPLACE INTO idempotency (tenant_id, key, body_sha256, sandbox_id, created_at) VALUES (?, ?, ?, ?, ?)',
  );
  const remove = database.prepare('DELETE FROM idempotency WHERE tenant_id = ? AND key = ?');
  const sweep = database.prepare('DELETE FROM idempotency WHERE sandbox_id IS NULL OR created_at < ?');
  return {
    find: (tenantId, key) => {
      const row = find.get(tenantId, key) as { body_sha256: string; sandbox_id: string | null } | undefined;
      if (row === undefined) return undefined;
      return {
        bodySha256: row.body_sha256,
        ...(row.sandbox_id === null ? {} : { sandboxId: row.sandbox_id }),
      };
    },
    put: (tenantId, key, row) =>
      void put.run(tenantId, key, row.bodySha256, row.sandboxId ?? null, new Date().toISOString()),
    remove: (tenantId, key) => void remove.run(tenantId, key),
    sweep: (before) => void sweep.run(before),
  };
}
