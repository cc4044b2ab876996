/** Sealed values open for the row and the key that they were sealed for, and for nothing else. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import type { SecretRow } from '../store/types.ts';
import { SecretBox } from './secretBox.ts';
import { readSecretKey } from './secretKey.ts';

const row: SecretRow = {
  id: 'a',
  tenantId: 'one',
  name: 'openai',
  hosts: ['api.example.com'],
  env: 'KEY',
  version: 1,
  createdAt: '',
  updatedAt: '',
};
const box = new SecretBox(randomBytes(32));

it('opens what it sealed, and seals the same value differently each time', () => {
  const sealed = box.seal(row, 'canary é');
  assert.equal(box.open(row, sealed), 'canary é');
  assert.notDeepEqual(sealed.bytes, box.seal(row, 'canary é').bytes);
  assert.ok(!Buffer.from(sealed.bytes).includes('canary'));
});

it('opens for no other key, tenant, host or version, and not after a bit was turned', () => {
  const sealed = box.seal(row, 'canary');
  const refused = { code: 'secret_unreadable' };
  assert.throws(() => new SecretBox(randomBytes(32)).open(row, sealed), refused);
  for (const other of [
    { tenantId: 'two' },
    { hosts: ['evil.example.com'] },
    { version: 2 },
    { functionId: 'f' },
  ]) {
    assert.throws(() => box.open({ ...row, ...other }, sealed), refused, JSON.stringify(other));
  }
  for (let at = 0; at < sealed.bytes.length; at += 1) {
    const turned = Buffer.from(sealed.bytes);
    turned[at] = (turned[at] ?? 0) ^ 1;
    assert.throws(() => box.open(row, { ...sealed, bytes: turned }), refused, String(at));
  }
});

it('reads the key from a file that it makes, a command or the environment, and refuses what is none', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'casemate-key-'));
  try {
    const file = join(folder, 'secrets.key');
    const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
    const made = await readSecretKey({ file, owner });
    assert.equal(made.length, 32);
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.deepEqual(await readSecretKey({ file, owner }), made);
    const hex = randomBytes(32).toString('hex');
    assert.equal((await readSecretKey({ file, owner, fromEnvironment: `${hex}\n` })).toString('hex'), hex);
    const refused = (error: Error & { code?: string }): boolean =>
      error.code === 'secret_unreadable' && !error.message.includes('tooshort');
    await assert.rejects(readSecretKey({ file, owner, fromEnvironment: 'tooshort' }), refused);
    writeFileSync(file, 'tooshort');
    await assert.rejects(readSecretKey({ file, owner }), refused);
    chmodSync(file, 0o644);
    await assert.rejects(readSecretKey({ file, owner }), /can be read by others/);
    if (owner.uid === 0) {
      const printed = await readSecretKey({ file, owner, command: ['printf', '%s', hex] });
      assert.equal(printed.toString('hex'), hex);
      await assert.rejects(readSecretKey({ file, owner, command: ['false'] }), refused);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});
