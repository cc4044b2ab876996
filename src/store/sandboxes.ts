/** Rows of sandboxes in SQLite. */
import type { Database, Values } from './database.ts';
import type { SandboxChange, SandboxFilter, SandboxRepository, SandboxRow, SandboxState } from './types.ts';

/** As it lies in the table: maps are JSON. */
type StoredSandbox = Omit<SandboxRow, 'metadata' | 'labels' | 'limits'> & {
  readonly metadata: string;
  readonly labels: string;
  readonly limits: string;
};

const columns = [
  'id',
  'tenantId',
  'workspaceId',
  'functionId',
  'template',
  'runtime',
  'isolation',
  'source',
  'state',
  'endReason',
  'createdAt',
  'startedAt',
  'endsAt',
  'endedAt',
  'idleTimeoutMs',
  'metadata',
  'labels',
  'limits',
  'user',
  'hostname',
] as const satisfies readonly (keyof SandboxRow)[];

const insertSql = `INSERT INTO sandboxes (${columns.join(', ')}) VALUES (${columns.map((name) => `:${name}`).join(', ')})`;
const changeable = ['isolation', 'source', 'endReason', 'startedAt', 'endsAt', 'endedAt'] as const;

export class SqliteSandboxes implements SandboxRepository {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  insert(row: SandboxRow): void {
    this.#database.run(insertSql, {
      ...row,
      metadata: JSON.stringify(row.metadata),
      labels: JSON.stringify(row.labels),
      limits: JSON.stringify(row.limits),
    });
  }

  get(id: string): SandboxRow | undefined {
    const stored = this.#database.get<StoredSandbox>('SELECT * FROM sandboxes WHERE id = :id', { id });
    return stored === undefined ? undefined : toRow(stored);
  }

  list(filter: SandboxFilter): SandboxRow[] {
    const values: Values = { limit: filter.limit };
    const conditions = [stateIn(filter.states)];
    if (!filter.states.includes('ended')) conditions.push("state <> 'ended'"); // lets the index of the living serve it
    const equal = (column: string, value: string): void => {
      conditions.push(`${column} = :${column}`);
      values[column] = value;
    };
    if (filter.tenantId !== undefined) equal('tenantId', filter.tenantId);
    if (filter.id !== undefined) equal('id', filter.id);
    if (filter.before !== undefined) {
      conditions.push('(createdAt, id) < (:beforeCreatedAt, :beforeId)');
      values.beforeCreatedAt = filter.before.createdAt;
      values.beforeId = filter.before.id;
    }
    for (const column of ['metadata', 'labels'] as const) {
      for (const [index, [key, value]] of filter[column].entries()) {
        const name = `${column}${index}`;
        conditions.push(
          `EXISTS (SELECT 1 FROM json_each(${column}) tag WHERE tag.key = :${name}Key AND tag.value = :${name}Value)`,
        );
        values[`${name}Key`] = key;
        values[`${name}Value`] = value;
      }
    }
    const sql = `SELECT * FROM sandboxes WHERE ${conditions.join(' AND ')} ORDER BY createdAt DESC, id DESC LIMIT :limit`;
    return this.#database.all<StoredSandbox>(sql, values).map(toRow);
  }

  notEnded(): SandboxRow[] {
    return this.#database
      .all<StoredSandbox>("SELECT * FROM sandboxes WHERE state <> 'ended' ORDER BY createdAt")
      .map(toRow);
  }

  move(id: string, from: readonly SandboxState[], to: SandboxState, change: SandboxChange): boolean {
    const values: Values = { id, to };
    const sets = ['state = :to'];
    for (const column of changeable) {
      const value = change[column];
      if (value === undefined) continue;
      sets.push(`${column} = :${column}`);
      values[column] = value;
    }
    const states = from.map((state) => `'${state}'`).join(', ');
    return (
      this.#database.run(
        `UPDATE sandboxes SET ${sets.join(', ')} WHERE id = :id AND state IN (${states})`,
        values,
      ) > 0
    );
  }

  setEndsAt(id: string, endsAt: number): void {
    this.#database.run('UPDATE sandboxes SET endsAt = :endsAt WHERE id = :id', { id, endsAt });
  }
}

/** States are words of this program, never of a request; sorted, so that few statements are kept prepared. */
function stateIn(states: readonly SandboxState[]): string {
  const words = [...new Set(states)].sort().map((state) => `'${state}'`);
  return `state IN (${words.join(', ')})`;
}

function toRow(stored: StoredSandbox): SandboxRow {
  return {
    ...stored,
    metadata: JSON.parse(stored.metadata) as SandboxRow['metadata'],
    labels: JSON.parse(stored.labels) as SandboxRow['labels'],
    limits: JSON.parse(stored.limits) as SandboxRow['limits'],
  };
}
