/** A machine's memory arrives in the host's where that has room, leaves no name behind, and is whole on the disk afterwards. */
import assert from 'node:assert/strict';
import {
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { newId } from '../../base/ids.ts';
import { arrivalFor } from './arrival.ts';

const skip = process.getuid?.() === 0 ? false : 'gives files away, which needs root';
const bytes = 4 * 1024 * 1024;
const uid = 70_002;

it('brings what was written to a file without a name to where it is to stay', { skip }, async (test) => {
  const folder = await mkdtemp(join(tmpdir(), 'casemate-arrival-'));
  const target = join(folder, 'ram');
  try {
    writeFileSync(target, '', { mode: 0o600 });
    truncateSync(target, bytes);
    const arrival = arrivalFor(target, bytes, newId(), uid);
    try {
      if (arrival.path === target) return test.skip('there is no room in /dev/shm');
      assert.deepEqual([statSync(arrival.path).uid, statSync(arrival.path).mode & 0o777], [uid, 0o600]);
      const receiver = openSync(arrival.path, 'r+');
      arrival.forgetName();
      assert.equal(existsSync(arrival.path), false);
      writeSync(receiver, 'memory', bytes - 6);
      closeSync(receiver);
      await arrival.keep();
      const { size, blocks, uid: owner } = statSync(target);
      assert.deepEqual([size, owner, readFileSync(target).subarray(-6).toString()], [bytes, 0, 'memory']);
      assert.ok(blocks * 512 < bytes, 'holes have become blocks');
    } finally {
      arrival.close();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

it('goes to the disk at once where memory has no room for it', { skip }, async () => {
  const folder = await mkdtemp(join(tmpdir(), 'casemate-arrival-'));
  const target = join(folder, 'ram');
  try {
    writeFileSync(target, 'memory', { mode: 0o600 });
    const arrival = arrivalFor(target, 2 ** 50, newId(), uid);
    assert.deepEqual([arrival.path, statSync(target).uid], [target, uid]);
    arrival.forgetName();
    await arrival.keep();
    arrival.close();
    assert.equal(readFileSync(target, 'utf8'), 'memory');
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
