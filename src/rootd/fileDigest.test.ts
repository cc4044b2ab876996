/** The digest that snapshots are sealed with: blind to holes, and to nothing else. */
import assert from 'node:assert/strict';
import { appendFileSync, closeSync, openSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, it } from 'node:test';
import { digestFile } from './fileDigest.ts';

const mib = 1024 * 1024;
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'casemate-digest-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A file with holes around its data. */
function sparse(name: string): string {
  const path = join(folder, name);
  writeFileSync(path, '');
  truncateSync(path, 64 * mib + 5);
  put(path, 3 * mib - 2, 'over the border of two chunks');
  put(path, 40 * mib, Buffer.alloc(5 * mib, 7));
  return path;
}

function put(path: string, at: number, data: string | Buffer): void {
  const file = openSync(path, 'r+');
  if (typeof data === 'string') writeSync(file, data, at);
  else writeSync(file, data, 0, data.length, at);
  closeSync(file);
}

it('says the same whether zeros are holes or not', async () => {
  const path = sparse('one');
  const before = await digestFile(path);
  assert.equal(before.bytes, 64 * mib + 5);
  put(path, 0, Buffer.alloc(2 * mib));
  put(path, 50 * mib, Buffer.alloc(4 * mib));
  assert.deepEqual(await digestFile(path), before);
});

it('says something else for one changed bit wherever it is, for a hole that was data, and for another size', async () => {
  const path = sparse('one');
  const seen = new Set([(await digestFile(path)).sha256]);
  const changes: (() => void)[] = [
    ...[0, 3 * mib, 41 * mib, 45 * mib, 64 * mib + 4].map((at) => () => put(path, at, '\x01')),
    () => put(path, 42 * mib, Buffer.alloc(mib)),
    () => appendFileSync(path, '\0'),
    () => truncateSync(path, 64 * mib),
  ];
  for (const [index, change] of changes.entries()) {
    change();
    seen.add((await digestFile(path)).sha256);
    assert.equal(seen.size, index + 2, `change ${index}`);
  }
});

it('says something else where the same data lies elsewhere', async () => {
  const digests = await Promise.all(
    [mib, 2 * mib].map((at, index) => {
      const path = join(folder, String(index));
      writeFileSync(path, '');
      truncateSync(path, 8 * mib);
      put(path, at, 'data');
      return digestFile(path);
    }),
  );
  assert.notEqual(digests[0]?.sha256, digests[1]?.sha256);
});

it('takes small and empty files', async () => {
  const paths = ['', 'x', 'xx'].map((text, index) => {
    const path = join(folder, String(index));
    writeFileSync(path, text);
    return path;
  });
  const digests = await Promise.all(paths.map(digestFile));
  assert.equal(new Set(digests.map(({ sha256 }) => sha256)).size, 3);
});
