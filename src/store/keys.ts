/** Rows of API keys in SQLite; only hashes of their secrets are kept. */
import type { Database } from './database.ts';
import type { KeyRepository, KeyRow } from './types.ts';

export class SqliteKeys implements KeyRepository {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  insert(row: KeyRow): void {
    this.#database.run(
      `INSERT INTO keys (id, tenantId, name, scope, secretHash, createdAt)
       VALUES (:id, :tenantId, :name, :scope, :secretHash, :createdAt)`,
      { ...row },
    );
  }

  get(id: string): KeyRow | undefined {
    return this.#database.get<KeyRow>('SELECT * FROM keys WHERE id = :id', { id });
  }

  byHash(secretHash: string): KeyRow | undefined {
    return this.#database.get<KeyRow>('SELECT * FROM keys WHERE secretHash = :secretHash', { secretHash });
  }

  list(tenantId: string | undefined): KeyRow[] {
    return this.#database.all<KeyRow>(
      'SELECT * FROM keys WHERE :tenantId IS NULL OR tenantId = :tenantId ORDER BY createdAt, id',
      { tenantId: tenantId ?? null },
    );
  }

  countAdmins(): number {
    return (
      this.#database.get<{ count: number }>("SELECT count(*) AS count FROM keys WHERE scope = 'admin'")
        ?.count ?? 0
    );
  }

  remove(id: string): void {
    this.#database.run('DELETE FROM keys WHERE id = :id', { id });
  }
}
