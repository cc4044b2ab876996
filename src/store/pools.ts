/** Rows of pool sizes in SQLite, so that they outlive a restart. */
import type { Database } from './database.ts';
import type { PoolRepository, PoolRow } from './types.ts';

export class SqlitePools implements PoolRepository {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  set(row: PoolRow): void {
    this.#database.run(
      `INSERT INTO pools (template, runtime, tenantId, size) VALUES (:template, :runtime, :tenantId, :size)
       ON CONFLICT (template, runtime) DO UPDATE SET size = excluded.size, tenantId = excluded.tenantId`,
      { ...row },
    );
  }

  list(): PoolRow[] {
    return this.#database.all<PoolRow>('SELECT * FROM pools ORDER BY template, runtime');
  }
}
