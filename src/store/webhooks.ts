/** Webhooks of all tenants, with what was and is to be delivered; their secrets are sealed. */
import type { DatabaseSync } from 'node:sqlite';
import type { SealedValue } from './types.ts';
import type { DeliveryRow, WebhookRow, WebhookStore } from './webhookTypes.ts';

export function webhookStore(database: DatabaseSync): WebhookStore {
  const put = database.prepare(
    'INSERT INTO webhooks (id, tenant_id, record, key_id, sealed) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET record = excluded.record, key_id = excluded.key_id, sealed = excluded.sealed',
  );
  const find = database.prepare('SELECT record FROM webhooks WHERE id = ?');
  const list = database.prepare('SELECT record FROM webhooks WHERE tenant_id = ? ORDER BY rowid');
  const sealed = database.prepare('SELECT key_id, sealed FROM webhooks WHERE id = ?');
  const remove = database.prepare('DELETE FROM webhooks WHERE id = ?');
  const putDelivery = database.prepare(
    'INSERT INTO webhook_deliveries (id, webhook_id, due_at, record) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET due_at = excluded.due_at, record = excluded.record',
  );
  const deliveries = database.prepare(
    'SELECT record FROM webhook_deliveries WHERE webhook_id = ? ORDER BY rowid DESC LIMIT ?',
  );
  const due = database.prepare(
    'SELECT record FROM webhook_deliveries WHERE due_at <= ? ORDER BY due_at LIMIT ?',
  );
  const next = database.prepare('SELECT min(due_at) AS due_at FROM webhook_deliveries');
  const trim = database.prepare(
    'DELETE FROM webhook_deliveries WHERE webhook_id = ? AND due_at IS NULL AND rowid NOT IN (SELECT rowid FROM webhook_deliveries WHERE webhook_id = ? ORDER BY rowid DESC LIMIT ?)',
  );
  return {
    put: (row, { keyId, bytes }) => void put.run(row.id, row.tenantId, JSON.stringify(row), keyId, bytes),
    find: (id) => rowOf<WebhookRow>(find.get(id)),
    list: (tenantId) => list.all(tenantId).flatMap((row) => rowOf<WebhookRow>(row) ?? []),
    secretOf: (id) => sealedOf(sealed.get(id)),
    remove: (id) => void remove.run(id),
    putDelivery: (row) => void putDelivery.run(row.id, row.webhookId, row.dueAt ?? null, JSON.stringify(row)),
    deliveries: (id, limit) => deliveries.all(id, limit).flatMap((row) => rowOf<DeliveryRow>(row) ?? []),
    due: (before, limit) => due.all(before, limit).flatMap((row) => rowOf<DeliveryRow>(row) ?? []),
    nextDueAt: () => (next.get() as { due_at: string | null }).due_at ?? undefined,
    trim: (id, kept) => void trim.run(id, id, kept),
  };
}

function rowOf<Row>(row: unknown): Row | undefined {
  return row === undefined ? undefined : (JSON.parse((row as { record: string }).record) as Row);
}

function sealedOf(row: unknown): SealedValue | undefined {
  if (row === undefined) return undefined;
  const { key_id, sealed } = row as { key_id: string; sealed: Uint8Array };
  return { keyId: key_id, bytes: sealed };
}
