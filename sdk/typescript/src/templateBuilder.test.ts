/** What a builder writes is a Dockerfile in which nothing of its arguments is read as syntax. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { dockerIgnore } from './dockerignore.ts';
import { template } from './templateBuilder.ts';

it('writes steps in order, and never changes an earlier builder', () => {
  const first = template().fromImage('python:3.12');
  const whole = first
    .pipInstall(['flask>=3', 'x y'])
    .env({ A: 'a "$B"' })
    .copy('src', '/app', { owner: 'user', mode: 0o750 });
  assert.equal(first.toDockerfile(), 'FROM python:3.12\n');
  assert.deepEqual(whole.toDockerfile().split('\n'), [
    'FROM python:3.12',
    `RUN ["/bin/sh","-ec","PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install --no-cache-dir 'flask>=3' 'x y'"]`,
    'ENV A="a \\"\\$B\\""',
    'COPY --chown=user --chmod=750 ["src","/app"]',
    '',
  ]);
  assert.deepEqual(whole.sources, ['src']);
  assert.throws(() => template().env({ A: 'two\nlines' }), /no line breaks/);
});

it('leaves out what a .dockerignore says; the last rule wins', () => {
  const ignored = dockerIgnore('# comment\nnode_modules\n**/*.log\n/build/\n*.md\n!README.md\ntemp?\n');
  const out = ['node_modules', 'node_modules/a/b', 'x.log', 'a/b/x.log', 'build/x', 'other.md', 'temp1'];
  const kept = ['README.md', 'a/other.md', 'src/node_modules2', 'temp', 'x.log.txt'];
  assert.deepEqual(
    out.filter((path) => !ignored(path)),
    [],
  );
  assert.deepEqual(
    kept.filter((path) => ignored(path)),
    [],
  );
});
