/** Named snapshots of all tenants; the files lie on the node. */
import type { DatabaseSync } from 'node:sqlite';
import { decodeCursor, encodeCursor } from './cursor.ts';
import type { SnapshotRow, SnapshotStore } from './types.ts';

export function snapshotStore(database: DatabaseSync): SnapshotStore {
  const insert = database.prepare(
    'INSERT INTO snapshots (id, tenant_id, name, created_at, expires_at, record) VALUES (?, ?, ?, ?, ?, ?)',
  );
  const byId = database.prepare('SELECT record FROM snapshots WHERE id = ?');
  const byName = database.prepare('SELECT record FROM snapshots WHERE tenant_id = ? AND name = ?');
  const remove = database.prepare('DELETE FROM snapshots WHERE id = ?');
  const expired = database.prepare('SELECT record FROM snapshots WHERE expires_at < ?');
  const ids = database.prepare('SELECT id FROM snapshots');
  return {
    insert: (row) =>
      void insert.run(
        row.id,
        row.tenantId,
        row.name ?? null,
        row.createdAt,
        row.expiresAt ?? null,
        JSON.stringify(row),
      ),
    find: (id) => rowOf(byId.get(id)),
    findByName: (tenantId, name) => rowOf(byName.get(tenantId, name)),
    list: ({ tenantId, sandboxId, idOrName }, page) => {
      const where = ['tenant_id = ?'];
      const values: (string | number)[] = [tenantId];
      if (sandboxId !== undefined) {
        where.push(`json_extract(record, '$.sandboxId') = ?`);
        values.push(sandboxId);
      }
      if (idOrName !== undefined) {
        where.push('(id = ? OR name = ?)');
        values.push(idOrName, idOrName);
      }
      if (page.cursor !== undefined) {
        where.push('(created_at, id) < (?, ?)');
        values.push(...decodeCursor(page.cursor, 2));
      }
      const sql = `SELECT record FROM snapshots WHERE ${where.join(' AND ')} ORDER BY created_at DESC, id DESC LIMIT ?`;
      const rows = database.prepare(sql).all(...values, page.limit + 1);
      const items = rows.map(rowOf).filter((row) => row !== undefined);
      const shown = items.slice(0, page.limit);
      const last = shown.at(-1);
      if (items.length <= page.limit || last === undefined) return { items: shown };
      return { items: shown, nextCursor: encodeCursor([last.createdAt, last.id]) };
    },
    expired: (before) => expired.all(before).flatMap((row) => rowOf(row) ?? []),
    ids: () => ids.all().map((row) => String((row as { id: string }).id)),
    templateVersionIds: () =>
      database
        .prepare("SELECT DISTINCT json_extract(record, '$.templateVersionId') AS id FROM snapshots")
        .all()
        .flatMap(({ id }) => (typeof id === 'string' ? [id] : [])),
    remove: (id) => void remove.run(id),
  };
}

function rowOf(row: unknown): SnapshotRow | undefined {
  return row === undefined ? undefined : (JSON.parse((row as { record: string }).record) as SnapshotRow);
}
