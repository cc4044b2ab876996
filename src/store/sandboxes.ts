/** Sandboxes of all tenants, those that ended included. */
import type { DatabaseSync } from 'node:sqlite';
import { decodeCursor, encodeCursor } from './cursor.ts';
import type { SandboxFilter, SandboxRow, SandboxState, SandboxStore } from './types.ts';

/** What a list shows unless it is asked for others. */
const liveStates: readonly SandboxState[] = [
  'starting',
  'running',
  'pausing',
  'paused',
  'resuming',
  'ending',
];

export function sandboxStore(database: DatabaseSync): SandboxStore {
  const insert = database.prepare(
    'INSERT INTO sandboxes (id, tenant_id, workspace_id, function_id, state, created_at, record) VALUES (?, ?, ?, ?, ?, ?, ?)',
  );
  const update = database.prepare('UPDATE sandboxes SET state = ?, record = ? WHERE id = ?');
  const find = database.prepare('SELECT record FROM sandboxes WHERE id = ?');
  return {
    insert: (row) =>
      void insert.run(
        row.id,
        row.tenantId,
        row.workspaceId ?? null,
        row.functionId ?? null,
        row.state,
        row.createdAt,
        JSON.stringify(row),
      ),
    update: (row) => void update.run(row.state, JSON.stringify(row), row.id),
    find: (id) => {
      const found = find.get(id);
      return found === undefined ? undefined : rowOf(found);
    },
    list: (filter, page) => {
      const { where, values } = conditions(filter);
      const [direction, later] = page.order === 'oldest first' ? ['ASC', '>'] : ['DESC', '<'];
      if (page.cursor !== undefined) {
        where.push(`(created_at, id) ${later} (?, ?)`);
        values.push(...decodeCursor(page.cursor, 2));
      }
      const sql = `SELECT record FROM sandboxes WHERE ${where.join(' AND ')} ORDER BY created_at ${direction}, id ${direction} LIMIT ?`;
      const rows = database
        .prepare(sql)
        .all(...values, page.limit + 1)
        .map(rowOf);
      const items = rows.slice(0, page.limit);
      const last = items.at(-1);
      if (rows.length <= page.limit || last === undefined) return { items };
      return { items, nextCursor: encodeCursor([last.createdAt, last.id]) };
    },
    inStates: (states) => {
      const marks = states.map(() => '?').join(', ');
      return database
        .prepare(`SELECT record FROM sandboxes WHERE state IN (${marks})`)
        .all(...states)
        .map(rowOf);
    },
  };
}

function conditions(filter: SandboxFilter): { where: string[]; values: (string | number)[] } {
  const where = ['tenant_id = ?'];
  const values: (string | number)[] = [filter.tenantId];
  const states: readonly SandboxState[] = filter.states ?? liveStates;
  where.push(`state IN (${states.map(() => '?').join(', ')})`);
  values.push(...states);
  if (filter.id !== undefined) {
    where.push('id = ?');
    values.push(filter.id);
  }
  if (filter.template !== undefined) {
    where.push(`json_extract(record, '$.template') = ?`);
    values.push(filter.template);
  }
  if (filter.createdAfter !== undefined) {
    where.push('created_at > ?');
    values.push(filter.createdAfter);
  }
  for (const field of ['metadata', 'labels'] as const) {
    for (const [name, value] of Object.entries(filter[field] ?? {})) {
      // A path built from a quoted name: the name is data of the user and may hold anything.
      where.push(`json_extract(record, ?) = ?`);
      values.push(`$.${field}.${JSON.stringify(name)}`, value);
    }
  }
  return { where, values };
}

function rowOf(row: unknown): SandboxRow {
  return JSON.parse((row as { record: string }).record) as SandboxRow;
}
