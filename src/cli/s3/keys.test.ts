/** Keys and paths: what leads elsewhere is refused on the way in and on the way out. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { keyOf, manifestName, pathOf } from './keys.ts';

const bad = [
  ...[
    '',
    '/',
    '/etc/passwd',
    '..',
    '../x',
    'a/../b',
    'a/..',
    '.',
    './a',
    'a/./b',
    'a//b',
    'a/',
    manifestName,
  ],
  ...[
    'a\nb',
    'a\0b',
    'a\x7f',
    'a\u0085',
    'not\ufffdutf8',
    'lone\ud800',
    `${'n'.repeat(256)}/x`,
    'é'.repeat(128),
  ],
];
const good = [
  'a',
  'a/b',
  '...',
  '..a/b..',
  ' ',
  'ü/日本',
  'a%2f..',
  'a\\..\\b',
  'n'.repeat(255),
  `x/${manifestName}`,
];

it('refuses what leads elsewhere, or cannot be both a key and a path', () => {
  for (const path of bad) {
    assert.throws(() => keyOf('prefix/', path), { code: 'file_invalid' }, JSON.stringify(path));
    assert.throws(() => pathOf('prefix/', `prefix/${path}`), { code: 'file_invalid' }, JSON.stringify(path));
  }
  assert.throws(() => pathOf('prefix/', 'other/a'), { code: 'file_invalid' });
  const long = Array.from({ length: 10 }, () => 'n'.repeat(100)).join('/');
  assert.equal(keyOf('p/', long).length, 1011);
  assert.throws(() => keyOf('p'.repeat(20), long), { code: 'file_invalid' });
});

it('takes everything else, and gives it back', () => {
  for (const path of good) assert.equal(pathOf('prefix/', keyOf('prefix/', path)), path);
});
