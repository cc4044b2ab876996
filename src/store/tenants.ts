/** Rows of tenants in SQLite. */
import type { Database } from './database.ts';
import type { TenantRepository } from './types.ts';

export class SqliteTenants implements TenantRepository {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  ensure(id: string, createdAt: number): void {
    this.#database.run('INSERT OR IGNORE INTO tenants (id, createdAt) VALUES (:id, :createdAt)', {
      id,
      createdAt,
    });
  }
}
