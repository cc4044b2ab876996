/** Rows of idempotency keys in SQLite: which sandbox a key of a tenant stands for. */
import type { Database } from './database.ts';
import type { IdempotencyRepository, IdempotencyRow } from './types.ts';

export class SqliteIdempotency implements IdempotencyRepository {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  insert(row: IdempotencyRow): void {
    this.#database.run(
      `INSERT INTO idempotency (tenantId, key, bodyHash, sandboxId, createdAt)
       VALUES (:tenantId, :key, :bodyHash, :sandboxId, :createdAt)`,
      { ...row },
    );
  }

  get(tenantId: string, key: string): IdempotencyRow | undefined {
    return this.#database.get<IdempotencyRow>(
      'SELECT * FROM idempotency WHERE tenantId = :tenantId AND key = :key',
      {
        tenantId,
        key,
      },
    );
  }

  releaseSandbox(sandboxId: string): void {
    this.#database.run('DELETE FROM idempotency WHERE sandboxId = :sandboxId', { sandboxId });
  }

  removeOlderThan(createdAt: number): void {
    this.#database.run('DELETE FROM idempotency WHERE createdAt < :createdAt', { createdAt });
  }
}
