/** What may be sealed: a file that nobody can change any more, also not who had it open before. */
import assert from 'node:assert/strict';
import { closeSync, openSync, statSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { seal } from './sealed.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root';

it('refuses a file that somebody has open to write, and seals it when that one is gone', {
  skip,
}, async () => {
  const folder = await mkdtemp(join(tmpdir(), 'casemate-sealed-'));
  try {
    const [one, other] = [join(folder, 'one'), join(folder, 'other')];
    for (const path of [one, other]) writeFileSync(path, 'words', { mode: 0o600 });
    const writer = openSync(other, 'r+');
    const reader = openSync(one, 'r');
    await assert.rejects(seal(one, other), { code: 'internal' });
    closeSync(writer);
    await seal(one, other);
    closeSync(reader);
    assert.equal(statSync(other).mode & 0o777, 0o444);
  } finally {
    await rm(folder, { recursive: true });
  }
});
