/** What a monitor wrote is taken only where it is plain files of its own. */
import assert from 'node:assert/strict';
import {
  chownSync,
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { sealSource, takeSaved } from './source.ts';

const skip = process.getuid?.() === 0 ? false : 'gives files away, which needs root';
const uid = 70_001;

it('takes a monitor’s files as root’s and read-only, and refuses links and strangers’ files', {
  skip,
}, async () => {
  const folder = await mkdtemp(join(tmpdir(), 'casemate-taken-'));
  const [written, aside, target] = ['next', 'aside', 'target'].map((name) => join(folder, name));
  assert.ok(written && aside && target);
  const take = (prepare: () => void): void => {
    rmSync(target, { recursive: true, force: true });
    mkdirSync(target);
    mkdirSync(written);
    prepare();
    chownSync(written, uid, uid);
    takeSaved(written, aside, target, uid);
  };
  const own = (name: string): void => {
    writeFileSync(join(written, name), 'state');
    chownSync(join(written, name), uid, uid);
  };
  try {
    take(() => own('state'));
    const kept = join(target, 'saved/state');
    assert.equal(readFileSync(kept, 'utf8'), 'state');
    assert.deepEqual([lstatSync(kept).uid, lstatSync(kept).mode & 0o777], [0, 0o444]);
    assert.throws(() => take(() => symlinkSync('/etc/shadow', join(written, 'state'))), /no plain file/);
    assert.throws(() => take(() => writeFileSync(join(written, 'state'), 'root’s')), /no plain file/);
    assert.throws(() => take(() => mkdirSync(join(written, 'state'))), /no plain file/);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

it('seals memory, state and disk, and none that somebody can still write to', { skip }, async () => {
  const folder = await mkdtemp(join(tmpdir(), 'casemate-sealed-'));
  try {
    mkdirSync(join(folder, 'saved'));
    const files = ['disk.img', 'saved/memory', 'saved/state'].map((name) => join(folder, name));
    for (const file of files) {
      writeFileSync(file, 'bytes');
      chownSync(file, uid, uid);
    }
    for (const file of files) {
      const open = openSync(file, 'r+'); // as a monitor that lives on
      await assert.rejects(sealSource(folder), { code: 'internal' });
      closeSync(open);
    }
    await sealSource(folder);
    for (const file of files)
      assert.deepEqual([lstatSync(file).uid, lstatSync(file).mode & 0o777], [0, 0o444]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
