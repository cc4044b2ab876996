/** Opens the store that this process keeps its state in. */
import { SqliteAudit } from './audit.ts';
import { Database } from './database.ts';
import { SqliteIdempotency } from './idempotency.ts';
import { SqliteKeys } from './keys.ts';
import { SqlitePools } from './pools.ts';
import { SqliteSandboxes } from './sandboxes.ts';
import { SqliteTenants } from './tenants.ts';
import type { Store } from './types.ts';

/** @param file path of the SQLite database, made where it is missing; `:memory:` for tests. */
export function openStore(file: string): Store {
  const database = new Database(file);
  return {
    tenants: new SqliteTenants(database),
    keys: new SqliteKeys(database),
    sandboxes: new SqliteSandboxes(database),
    idempotency: new SqliteIdempotency(database),
    pools: new SqlitePools(database),
    audit: new SqliteAudit(database),
    transaction: (work) => database.transaction(work),
    close: () => database.close(),
  };
}
