/** What lies in a volume is hostile: no symlink in it leads the root process anywhere. */
import assert from 'node:assert/strict';
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, it } from 'node:test';
import { componentsOf, openBeneath } from './beneath.ts';

let root: string;
let outside: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'casemate-beneath-'));
  outside = mkdtempSync(join(tmpdir(), 'casemate-outside-'));
});
afterEach(() => {
  for (const folder of [root, outside]) rmSync(folder, { recursive: true });
});

async function opened(subpath: string, make = false): Promise<string> {
  const folder = await openBeneath(root, subpath, make);
  const path = readlinkSync(`/proc/self/fd/${folder.fd}`);
  await folder.close();
  return path;
}

it('opens folders, and makes missing ones that every user can write to', async () => {
  mkdirSync(join(root, 'a/b'), { recursive: true });
  assert.equal(await opened(''), root);
  assert.equal(await opened('/a//b/'), join(root, 'a/b'));
  await assert.rejects(opened('a/c'), { code: 'not_found' });
  assert.equal(await opened('a/c/d', true), join(root, 'a/c/d'));
  assert.equal(statSync(join(root, 'a/c/d')).mode & 0o777, 0o777);
});

it('follows no symlink, neither on the way nor at the end', async () => {
  mkdirSync(join(outside, 'deep'));
  symlinkSync(outside, join(root, 'out'));
  symlinkSync('..', join(root, 'up'));
  symlinkSync(join(outside, 'missing'), join(root, 'dangling'));
  for (const subpath of ['out', 'out/deep', 'up', 'up/x', 'dangling', 'dangling/x']) {
    await assert.rejects(opened(subpath, true), { code: 'invalid_request' }, subpath);
  }
  assert.equal(lstatSync(join(outside, 'missing'), { throwIfNoEntry: false }), undefined);
});

it('refuses files on the way, and parts that lead up', async () => {
  writeFileSync(join(root, 'file'), '');
  await assert.rejects(opened('file/x', true), { code: 'invalid_request' });
  for (const subpath of ['..', 'a/../../b', './a', 'a\0b', 'x/'.repeat(33)])
    assert.throws(() => componentsOf(subpath), { code: 'invalid_request' }, subpath);
});

it('leaves no descriptor open where it fails', async () => {
  const open = (): number => readdirSync('/proc/self/fd').length;
  const before = open();
  for (let round = 0; round < 20; round += 1) await opened('missing').catch(() => {});
  assert.equal(open(), before);
});
