/** Ids of builds on their way to E2B's clients and back, and names as those write them. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { newId } from '../../base/ids.ts';
import { buildUuid, fromOf, newBuildId, readBuildId, referenceOf } from './buildNames.ts';

it('writes ids as UUIDs and reads them back, with what was asked for', () => {
  for (const id of [newId(), '0'.repeat(20), '9'.repeat(20), 'z'.repeat(20), `0${newId(19)}`]) {
    assert.match(buildUuid(id), /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/);
    assert.equal(readBuildId(buildUuid(id)).id, id);
  }
  const asked = { tags: ['v1', 'stable'], cpus: 2, memoryMib: 512 };
  const { id, ...read } = readBuildId(newBuildId(asked));
  assert.deepEqual(read, asked);
  assert.match(id, /^[a-z0-9]{20}$/);
  assert.match(newBuildId({}), /^[0-9a-f-]{36}$/);
  const forged = Buffer.from(JSON.stringify({ tags: ['a b'], memoryMib: -1 })).toString('base64url');
  for (const wrong of [
    `${buildUuid(newId())}.${forged}`,
    'none',
    newId(),
    `${buildUuid(newId())}.x`,
    'f'.repeat(8),
    'ffffffff-ffff-ffff-ffff-ffffffffffff',
  ])
    assert.throws(() => readBuildId(wrong), { code: 'not_found' }, wrong);
});

it('reads names, tags and images', () => {
  const names: [string, string][] = [
    ['My_App', 'my_app'],
    ['app:default', 'app'],
    ['app:v1', 'app:v1'],
    ['code-interpreter-v1', 'code-interpreter'],
    ['team/app:x', 'team/app:x'],
  ];
  for (const [theirs, ours] of names) assert.equal(referenceOf(theirs), ours);
  assert.equal(fromOf('e2bdev/base'), 'template://base');
  assert.equal(fromOf('e2bdev/code-interpreter:latest'), 'template://code-interpreter');
  assert.equal(fromOf('docker.io/library/debian:12'), 'library/debian:12');
  assert.throws(() => fromOf('debian\nRUN id'), { code: 'invalid_request' });
});
