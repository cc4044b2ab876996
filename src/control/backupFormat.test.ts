/** The format of backups: read back however the bytes are cut up, refused whichever byte is another one. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { it } from 'node:test';
import type { BackupManifest } from '../../schema/volumeBackups.ts';
import { BackupReader, endOf, headOf } from './backupFormat.ts';

const manifest: BackupManifest = {
  casemateVolumeBackup: 1,
  ...{ volume: 'data', takenAt: '2026-01-01T00:00:00.000Z', quotaMib: 32, quotaInodes: 2048 },
  labels: { of: 'grün' },
  root: { mode: 0o1777, uid: 5, gid: 6 },
};
const content = Buffer.alloc(3000, 'files');

function backup(written = manifest): Buffer {
  const before = Buffer.concat([headOf(written), content]);
  const sha256 = createHash('sha256').update(before).digest('hex');
  return Buffer.concat([before, endOf({ sha256, entries: 2, bytes: 7 })]);
}

async function readAll(
  bytes: Buffer,
  atOnce: number,
): Promise<{ read: BackupManifest; content: Buffer; entries: number }> {
  const reader = new BackupReader(
    (async function* () {
      for (let at = 0; at < bytes.length; at += atOnce) yield bytes.subarray(at, at + atOnce);
    })(),
  );
  const read = await reader.manifest();
  const parts: Buffer[] = [];
  for await (const part of reader.content()) parts.push(part);
  const { entries } = await reader.check();
  return { read, content: Buffer.concat(parts), entries };
}

it('gives back what was written, in pieces of any size', async () => {
  for (const atOnce of [1, 100, 511, 512, 513, 1 << 20])
    assert.deepEqual(await readAll(backup(), atOnce), { read: manifest, content, entries: 2 }, `${atOnce}`);
});

it('has a manifest of any length in its header', async () => {
  for (let length = 0; length < 1100; length += 1) {
    const long = { ...manifest, volume: 'v'.repeat(length) };
    assert.equal((await readAll(backup(long), 4096)).read.volume.length, length);
  }
});

it('refuses whichever byte is another one, and whatever is cut off', async () => {
  const whole = backup();
  // What follows in the last block are counts, which are held against what was unpacked.
  const counts = whole.indexOf(',"entries"');
  for (let at = 0; at < counts; at += 1) {
    const flipped = Buffer.from(whole);
    flipped[at] = (flipped[at] ?? 0) ^ 1;
    await assert.rejects(readAll(flipped, 700), { code: 'backup_damaged' }, `byte ${at}`);
  }
  for (let length = 0; length < whole.length; length += 7)
    await assert.rejects(readAll(whole.subarray(0, length), 700), { code: 'backup_damaged' });
  await assert.rejects(readAll(Buffer.concat([whole, Buffer.alloc(10)]), 700), { code: 'backup_damaged' });
});

it('says why one could not be made whole', async () => {
  const failed = [headOf(manifest), endOf({ error: { code: 'file_invalid', message: 'too "deep"' } })];
  await assert.rejects(readAll(Buffer.concat(failed), 100), {
    code: 'backup_damaged',
    message: 'The backup is damaged: it could not be made whole: too "deep" (file_invalid).',
  });
});
