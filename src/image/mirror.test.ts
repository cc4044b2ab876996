/** Reading the machine's own package archive out of both formats that apt knows. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { debianMirror, findMirror } from './mirror.ts';

it('reads the one-line format, options and comments included', () => {
  const text =
    '# deb http://old.example/debian bookworm main\ndeb [signed-by=/k.gpg] http://a.example/debian bookworm main\n';
  assert.equal(findMirror(text), 'http://a.example/debian');
});

it('reads the deb822 format and leaves a slash at the end away', () => {
  assert.equal(
    findMirror('Types: deb\nURIs: https://b.example/debian/\nSuites: bookworm\n'),
    'https://b.example/debian',
  );
});

it('takes no archive of security updates or of somebody else', () => {
  assert.equal(findMirror('deb http://c.example/debian-security bookworm-security main\n'), undefined);
  assert.equal(findMirror('deb http://d.example/node_20.x nodistro main\n'), undefined);
});

it('prefers sources.list, then the folder in order, and says when there is none', async () => {
  const etc = await mkdtemp(join(tmpdir(), 'casemate-apt-'));
  try {
    await assert.rejects(debianMirror(etc), /no Debian archive/);
    await mkdir(join(etc, 'sources.list.d'));
    await writeFile(join(etc, 'sources.list.d', 'b.list'), 'deb http://b.example/debian bookworm main\n');
    await writeFile(join(etc, 'sources.list.d', 'a.sources'), 'URIs: http://a.example/debian\n');
    assert.equal(await debianMirror(etc), 'http://a.example/debian');
    await writeFile(join(etc, 'sources.list'), 'deb http://main.example/debian bookworm main\n');
    assert.equal(await debianMirror(etc), 'http://main.example/debian');
  } finally {
    await rm(etc, { recursive: true });
  }
});
