/** Opens the SQLite file: WAL, foreign keys, migrations in order, statements prepared once. */
import { readdirSync, readFileSync } from 'node:fs';
import { DatabaseSync, type StatementSync } from 'node:sqlite';

interface Migration {
  readonly version: number;
  readonly name: string;
  readonly sql: string;
}

/** Read when the program loads: the server gives up the right to read its own files before it opens the database. */
const migrations: readonly Migration[] = readMigrations();

function readMigrations(): Migration[] {
  const folder = new URL('./migrations/', import.meta.url);
  const files = readdirSync(folder)
    .filter((file) => file.endsWith('.sql'))
    .sort();
  return files.map((name, index) => {
    const version = Number.parseInt(name, 10);
    if (version !== index + 1) throw new Error(`migration ${name} is out of order`);
    return { version, name, sql: readFileSync(new URL(name, folder), 'utf8') };
  });
}

/** Filters of lists make many texts; only so many stay prepared. */
const statementsKeptMax = 256;

export type Values = Record<string, string | number | null>;

export class Database {
  readonly #sqlite: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  #depth = 0;

  /** @param file a path, or `:memory:`. @throws Error when a newer Casemate has written it. */
  constructor(file: string) {
    this.#sqlite = new DatabaseSync(file, { enableForeignKeyConstraints: true, timeout: 5000 });
    this.#sqlite.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA temp_store = MEMORY;');
    this.#migrate();
  }

  #migrate(): void {
    const current = Number(this.#sqlite.prepare('PRAGMA user_version').get()?.user_version ?? 0);
    if (current > migrations.length) {
      throw new Error(
        `the database is of version ${current}; this Casemate knows ${migrations.length} at most`,
      );
    }
    for (const { version, sql } of migrations.slice(current)) {
      this.transaction(() => this.#sqlite.exec(`${sql}\nPRAGMA user_version = ${version};`));
    }
  }

  #statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#sqlite.prepare(sql);
      this.#statements.set(sql, statement);
      const [oldest] = this.#statements.keys();
      if (this.#statements.size > statementsKeptMax && oldest !== undefined) this.#statements.delete(oldest);
    }
    return statement;
  }

  /** @returns how many rows changed. `sql` is kept prepared. */
  run(sql: string, values: Values = {}): number {
    return Number(this.#statement(sql).run(values).changes);
  }

  /** The first row; `Row` is what the caller's SQL selects. */
  get<Row>(sql: string, values: Values = {}): Row | undefined {
    return this.#statement(sql).get(values) as Row | undefined;
  }

  all<Row>(sql: string, values: Values = {}): Row[] {
    return this.#statement(sql).all(values) as Row[];
  }

  /** Rows one after the other, on a statement of its own: another query may run meanwhile. */
  iterate<Row>(sql: string): IterableIterator<Row> {
    return this.#sqlite.prepare(sql).iterate() as IterableIterator<Row>;
  }

  /** All of `work` or nothing; inside another transaction it is part of that one. */
  transaction<Result>(work: () => Result): Result {
    if (this.#depth > 0) return work();
    this.#sqlite.exec('BEGIN IMMEDIATE');
    this.#depth += 1;
    try {
      const result = work();
      this.#sqlite.exec('COMMIT');
      return result;
    } catch (error) {
      this.#sqlite.exec('ROLLBACK');
      throw error;
    } finally {
      this.#depth -= 1;
    }
  }

  close(): void {
    this.#sqlite.close();
  }
}
