/** Opens the SQLite database, brings it up to date, and hands out one store per aggregate. */
import { readdirSync, readFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { auditStore } from './audit.ts';
import { buildFileStore } from './buildFiles.ts';
import { idempotencyStore } from './idempotency.ts';
import { keyStore, tenantStore } from './keys.ts';
import { policyStore } from './policies.ts';
import { poolStore } from './pools.ts';
import { sandboxStore } from './sandboxes.ts';
import { secretStore } from './secrets.ts';
import { snapshotStore } from './snapshots.ts';
import { templateStore } from './templates.ts';
import type { Store } from './types.ts';
import { volumeStore } from './volumes.ts';
import { webhookStore } from './webhooks.ts';

const migrationsFolder = new URL('./migrations/', import.meta.url);

/**
 * Reads the migrations while the program still may (the server drops its rights afterwards).
 * Numbered files, applied in order, each in a transaction of its own.
 */
const migrations = readdirSync(migrationsFolder)
  .filter((name) => /^\d{3}-.*\.sql$/.test(name))
  .sort()
  .map((name) => ({
    number: Number(name.slice(0, 3)),
    sql: readFileSync(new URL(name, migrationsFolder), 'utf8'),
  }));

/** @param path a file, or `:memory:`. @throws Error for a database of a newer version. */
export function openStore(path: string): Store {
  const database = new DatabaseSync(path);
  // NORMAL with a write-ahead log: a crash of the process loses nothing; one of the machine ends the sandboxes anyway.
  database.exec(
    'PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON',
  );
  migrate(database);
  return {
    tenants: tenantStore(database),
    keys: keyStore(database),
    sandboxes: sandboxStore(database),
    idempotency: idempotencyStore(database),
    audit: auditStore(database),
    pools: poolStore(database),
    snapshots: snapshotStore(database),
    templates: templateStore(database),
    volumes: volumeStore(database),
    secrets: secretStore(database),
    policies: policyStore(database),
    webhooks: webhookStore(database),
    buildFiles: buildFileStore(database),
    bytes: () => {
      const value = (pragma: string): number =>
        Number(Object.values(database.prepare(`PRAGMA ${pragma}`).get() ?? {})[0]);
      return value('page_count') * value('page_size');
    },
    close: () => database.close(),
  };
}

function migrate(database: DatabaseSync): void {
  const row = database.prepare('PRAGMA user_version').get() as { user_version: number };
  const newest = migrations.at(-1)?.number ?? 0;
  if (row.user_version > newest)
    throw new Error(`the database is of version ${row.user_version}, this Casemate knows ${newest}`);
  for (const { number, sql } of migrations) {
    if (number <= row.user_version) continue;
    database.exec(`BEGIN;\n${sql}\nPRAGMA user_version = ${number};\nCOMMIT`);
  }
}
