/** The chain of the audit log, on a real database that somebody writes to behind its back. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, it } from 'node:test';
import { openStore } from './store.ts';
import type { Store } from './types.ts';

const events = 1200; // more than are looked at in one go

describe('audit chain', () => {
  let folder: string;
  let store: Store;
  /** Does what nobody may: the triggers against changes are taken away first. */
  const behindItsBack = (sql: string): void => {
    using database = new DatabaseSync(join(folder, 'db'));
    const triggers = database.prepare("SELECT name FROM sqlite_master WHERE type = 'trigger'").all();
    for (const { name } of triggers) database.exec(`DROP TRIGGER "${String(name)}"`);
    database.exec(sql);
  };

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'casemate-test-audit-'));
    store = openStore(join(folder, 'db'));
    for (let number = 0; number < events; number += 1) {
      const detail = { command: `echo ${number}` };
      store.audit.append({ tenantId: 'default', actor: 'key:a', action: 'exec.start', detail });
    }
  });
  after(() => {
    store.close();
    rmSync(folder, { recursive: true });
  });

  it('is whole when nobody touched it', async () => {
    const chain = await store.audit.verify();
    const [newest] = store.audit.list({ tenantId: 'default' }, { limit: 1 }).items;
    assert.deepEqual(chain, { events, lastHash: newest?.hash });
  });

  it('takes no change through its own database', () => {
    using database = new DatabaseSync(join(folder, 'db'));
    assert.throws(() => database.exec("UPDATE audit SET actor = 'nobody' WHERE seq = 5"));
    assert.throws(() => database.exec('DELETE FROM audit WHERE seq = 5'));
  });

  it('names the first event that was changed, or before which one was taken out', async () => {
    behindItsBack("UPDATE audit SET detail = '{}' WHERE seq = 700");
    assert.equal((await store.audit.verify()).brokenAt, 700);
    behindItsBack('DELETE FROM audit WHERE seq = 20');
    const { events: sound, brokenAt } = await store.audit.verify();
    assert.deepEqual({ sound, brokenAt }, { sound: 19, brokenAt: 21 });
  });
});
