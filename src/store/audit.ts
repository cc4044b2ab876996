/** The append-only audit log, each row chained to the one before by its hash. */
import { createHash } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import { setImmediate } from 'node:timers/promises';
import { decodeCursor, encodeCursor } from './cursor.ts';
import type { AuditRow, AuditStore } from './types.ts';

interface RawRow {
  seq: number;
  at: string;
  tenant_id: string;
  actor: string;
  action: string;
  sandbox_id: string | null;
  detail: string;
  hash: string;
}

const firstHash = '0'.repeat(64);
/** About 2 ms of hashing. */
const eventsAtOnce = 500;

export function auditStore(database: DatabaseSync): AuditStore {
  const insert = database.prepare(
    'INSERT INTO audit (at, tenant_id, actor, action, sandbox_id, detail, hash) VALUES (?, ?, ?, ?, ?, ?, ?)',
  );
  const newest = database.prepare('SELECT hash FROM audit ORDER BY seq DESC LIMIT 1').get() as
    | { hash: string }
    | undefined;
  const everything = database.prepare('SELECT * FROM audit ORDER BY seq');
  let last = newest?.hash ?? firstHash;
  return {
    append: ({ tenantId, actor, action, sandboxId, detail }) => {
      const row = {
        at: new Date().toISOString(),
        tenantId,
        actor,
        action,
        sandboxId,
        detail: JSON.stringify(detail),
      };
      last = chained(last, row);
      const { lastInsertRowid } = insert.run(
        row.at,
        tenantId,
        actor,
        action,
        sandboxId ?? null,
        row.detail,
        last,
      );
      return { seq: Number(lastInsertRowid), at: row.at };
    },
    list: (filter, page) => {
      const where = ['tenant_id = ?'];
      const values: (string | number)[] = [filter.tenantId];
      if (filter.sandboxId !== undefined) where.push('sandbox_id = ?') && values.push(filter.sandboxId);
      if (filter.action !== undefined) where.push('action = ?') && values.push(filter.action);
      if (filter.actions !== undefined) {
        where.push(`action IN (${filter.actions.map(() => '?').join(', ')})`);
        values.push(...filter.actions);
      }
      const [direction, later] = page.order === 'oldest first' ? ['ASC', '>'] : ['DESC', '<'];
      if (page.cursor !== undefined)
        where.push(`seq ${later} ?`) && values.push(...decodeCursor(page.cursor, 1));
      const sql = `SELECT * FROM audit WHERE ${where.join(' AND ')} ORDER BY seq ${direction} LIMIT ?`;
      const rows = database.prepare(sql).all(...values, page.limit + 1) as unknown as RawRow[];
      const items = rows.slice(0, page.limit).map(rowOf);
      const oldest = items.at(-1);
      if (rows.length <= page.limit || oldest === undefined) return { items };
      return { items, nextCursor: encodeCursor([oldest.seq]) };
    },
    verify: async () => {
      let before = firstHash;
      let events = 0;
      for (const raw of everything.iterate() as Iterable<RawRow>) {
        const { at, tenant_id: tenantId, actor, action, detail } = raw;
        const expected = chained(before, {
          at,
          tenantId,
          actor,
          action,
          sandboxId: raw.sandbox_id ?? undefined,
          detail,
        });
        if (expected !== raw.hash) return { events, lastHash: before, brokenAt: raw.seq };
        before = raw.hash;
        events += 1;
        if (events % eventsAtOnce === 0) await setImmediate(); // others are served meanwhile
      }
      return { events, lastHash: before };
    },
  };
}

function chained(
  before: string,
  row: {
    at: string;
    tenantId: string;
    actor: string;
    action: string;
    sandboxId: string | undefined;
    detail: string;
  },
): string {
  const text = JSON.stringify([
    before,
    row.at,
    row.tenantId,
    row.actor,
    row.action,
    row.sandboxId ?? null,
    row.detail,
  ]);
  return createHash('sha256').update(text).digest('hex');
}

function rowOf(raw: RawRow): AuditRow {
  return {
    seq: raw.seq,
    at: raw.at,
    tenantId: raw.tenant_id,
    actor: raw.actor,
    action: raw.action,
    ...(raw.sandbox_id === null ? {} : { sandboxId: raw.sandbox_id }),
    detail: JSON.parse(raw.detail) as Record<string, unknown>,
    hash: raw.hash,
  };
}
