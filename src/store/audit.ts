/** The audit log in SQLite; triggers of the table refuse to change or remove an event. */
import type { Database, Values } from './database.ts';
import type { AuditFilter, AuditRepository, AuditRow } from './types.ts';

export class SqliteAudit implements AuditRepository {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  append(row: AuditRow): void {
    this.#database.run(
      `INSERT INTO audit (seq, at, tenantId, actor, action, sandboxId, detail, hash)
       VALUES (:seq, :at, :tenantId, :actor, :action, :sandboxId, :detail, :hash)`,
      { ...row },
    );
  }

  last(): AuditRow | undefined {
    return this.#database.get<AuditRow>('SELECT * FROM audit ORDER BY seq DESC LIMIT 1');
  }

  list(filter: AuditFilter): AuditRow[] {
    const values: Values = { limit: filter.limit };
    const conditions: string[] = [];
    for (const column of ['tenantId', 'sandboxId', 'action'] as const) {
      const value = filter[column];
      if (value === undefined) continue;
      conditions.push(`${column} = :${column}`);
      values[column] = value;
    }
    if (filter.beforeSeq !== undefined) {
      conditions.push('seq < :beforeSeq');
      values.beforeSeq = filter.beforeSeq;
    }
    const where = conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`;
    return this.#database.all<AuditRow>(
      `SELECT * FROM audit ${where} ORDER BY seq DESC LIMIT :limit`,
      values,
    );
  }

  all(): IterableIterator<AuditRow> {
    return this.#database.iterate<AuditRow>('SELECT * FROM audit ORDER BY seq');
  }
}
