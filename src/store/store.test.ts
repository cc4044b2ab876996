/** The store keeps what it is given, pages without gaps, and never lets the audit log be changed. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { openStore } from './store.ts';
import type { SandboxRow } from './types.ts';

function row(id: string, change: Partial<SandboxRow> = {}): SandboxRow {
  return {
    id,
    tenantId: 'default',
    workspaceId: null,
    functionId: null,
    template: 'base',
    runtime: 'gvisor',
    isolation: null,
    source: null,
    state: 'starting',
    endReason: null,
    createdAt: 1000,
    startedAt: null,
    endsAt: 2000,
    endedAt: null,
    idleTimeoutMs: null,
    metadata: {},
    labels: {},
    limits: { cpus: 1, memoryMib: 512, diskMib: 1024, pids: 64 },
    user: 'user',
    hostname: 'sandbox',
    ...change,
  };
}

function memoryStore() {
  const store = openStore(':memory:');
  store.tenants.ensure('default', 1);
  store.tenants.ensure('other', 1);
  return store;
}

test('a sandbox row comes back as it was given', () => {
  const store = memoryStore();
  const given = row('a', { metadata: { 'k "quoted"': "v'alue" }, labels: { a: '' }, idleTimeoutMs: 5 });
  store.sandboxes.insert(given);
  assert.deepEqual({ ...store.sandboxes.get('a') }, given);
  assert.equal(store.sandboxes.get('b'), undefined);
});

test('move changes the state only from the states it is told', () => {
  const store = memoryStore();
  store.sandboxes.insert(row('a'));
  assert.equal(store.sandboxes.move('a', ['running'], 'ending', { endReason: 'killed' }), false);
  assert.equal(store.sandboxes.get('a')?.endReason, null);
  assert.equal(store.sandboxes.move('a', ['starting'], 'running', { startedAt: 7, source: 'warm' }), true);
  assert.deepEqual([store.sandboxes.get('a')?.state, store.sandboxes.get('a')?.startedAt], ['running', 7]);
});

test('lists filter by tenant, state, metadata and labels', () => {
  const store = memoryStore();
  store.sandboxes.insert(row('a', { metadata: { 'a.b': 'x', '"q"': 'y' } }));
  store.sandboxes.insert(row('b', { tenantId: 'other', metadata: { 'a.b': 'x' } }));
  store.sandboxes.insert(row('c', { state: 'ended', metadata: { 'a.b': 'x' } }));
  store.sandboxes.insert(row('d', { labels: { 'a.b': 'x' } }));
  const ids = (filter: object): string[] =>
    store.sandboxes
      .list({ states: ['starting'], metadata: [], labels: [], limit: 10, ...filter })
      .map(({ id }) => id);
  assert.deepEqual(ids({}), ['d', 'b', 'a']);
  assert.deepEqual(ids({ tenantId: 'default' }), ['d', 'a']);
  assert.deepEqual(ids({ metadata: [['a.b', 'x']] }), ['b', 'a']);
  assert.deepEqual(
    ids({
      metadata: [
        ['a.b', 'x'],
        ['"q"', 'y'],
      ],
    }),
    ['a'],
  );
  assert.deepEqual(ids({ labels: [['a.b', 'x']] }), ['d']);
  assert.deepEqual(ids({ states: ['ended'] }), ['c']);
  assert.deepEqual(ids({ id: 'a' }), ['a']);
});

test('pages by (createdAt, id) hold every row once', () => {
  const store = memoryStore();
  for (let i = 0; i < 25; i += 1) store.sandboxes.insert(row(`s${i}`, { createdAt: Math.floor(i / 4) }));
  const seen: string[] = [];
  let before: { createdAt: number; id: string } | undefined;
  for (;;) {
    const page = store.sandboxes.list({
      states: ['starting'],
      metadata: [],
      labels: [],
      limit: 7,
      ...(before === undefined ? {} : { before }),
    });
    seen.push(...page.map(({ id }) => id));
    before = page.at(-1);
    if (page.length < 7) break;
  }
  assert.equal(seen.length, 25);
  assert.equal(new Set(seen).size, 25);
});

test('a transaction that throws leaves nothing', () => {
  const store = memoryStore();
  assert.throws(() =>
    store.transaction(() => {
      store.sandboxes.insert(row('a'));
      store.transaction(() => store.sandboxes.insert(row('b')));
      throw new Error('stop');
    }),
  );
  assert.equal(store.sandboxes.get('a'), undefined);
  assert.equal(store.sandboxes.get('b'), undefined);
});

test('the file survives a reopen; the audit log cannot be changed; a newer version is refused', () => {
  const folder = mkdtempSync(join(tmpdir(), 'casemate-store-'));
  const file = join(folder, 'casemate.db');
  try {
    const store = openStore(file);
    store.tenants.ensure('default', 1);
    store.sandboxes.insert(row('a'));
    store.audit.append({
      seq: 1,
      at: 1,
      tenantId: 'default',
      actor: 'x',
      action: 'y',
      sandboxId: null,
      detail: '{}',
      hash: 'h',
    });
    store.close();
    const raw = new DatabaseSync(file);
    assert.throws(() => raw.exec("UPDATE audit SET actor = 'z'"), /append-only/);
    assert.throws(() => raw.exec('DELETE FROM audit'), /append-only/);
    assert.equal(raw.prepare('PRAGMA journal_mode').get()?.journal_mode, 'wal');
    const again = openStore(file);
    assert.equal(again.sandboxes.get('a')?.id, 'a');
    assert.equal(again.audit.last()?.hash, 'h');
    again.close();
    raw.exec('PRAGMA user_version = 999');
    raw.close();
    assert.throws(() => openStore(file), /version 999/);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
