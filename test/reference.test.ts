/** The documentation against the code: generated pages are up to date, and what the prose points to is there. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { it } from 'node:test';
import { generatedFiles, repository } from '../scripts/generate/outputs.ts';
import { createProgram } from '../src/cli/program.ts';
import { errorTable } from '../src/base/errors.ts';
import { limits } from '../src/base/limits.ts';
import { routes } from '../src/gateway/native/gateway.ts';

function read(file: string): string {
  return readFileSync(new URL(file, repository), 'utf8');
}

/** The prose of the repository, by path from its root. */
const pages = [
  ...readdirSync(repository).filter((name) => name.endsWith('.md')),
  ...readdirSync(new URL('docs', repository), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md') && !name.startsWith('reference/sdk/'))
    .map((name) => `docs/${name}`),
];

it('has the generated files as the code makes them', () => {
  for (const [file, text] of generatedFiles())
    assert.equal(read(file), text, `${file} is stale: npm run generate`);
});

it('lists every error, limit, verb and route on its page', () => {
  const rowsOf = (file: string): string[] =>
    [...read(file).matchAll(/^\| `([\w<]+)` \|/gm)].map((row) => row[1] ?? '');
  assert.deepEqual(rowsOf('docs/reference/errors.md'), Object.keys(errorTable));
  assert.deepEqual(rowsOf('docs/reference/limits.md'), Object.keys(limits));
  const cli = read('docs/reference/cli.md');
  for (const verb of createProgram().commands)
    assert.ok(cli.includes(`\n## casemate ${verb.name()}\n`), verb.name());
  const http = read('docs/reference/http-api.md');
  for (const { method, path } of routes)
    assert.ok(http.includes(`\n## ${method} ${path}\n`), `${method} ${path}`);
});

it('says of every limit and folder what it is', () => {
  for (const file of ['docs/reference/limits.md', 'docs/reference/config.md'])
    assert.doesNotMatch(read(file), /\| *\|$/m, `${file}: a field lacks its one-line comment in the source`);
});

it('links to pages and headings that are there', () => {
  for (const page of pages) {
    const prose = read(page).replaceAll(/```[\s\S]*?```|`[^`\n]*`/g, '');
    for (const [, target = ''] of prose.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      const [file = '', anchor] = target.split('#');
      const url = file === '' ? new URL(page, repository) : new URL(file, new URL(page, repository));
      assert.ok(existsSync(url), `${page} links to ${target}`);
      if (anchor === undefined) continue;
      const headings = [...readFileSync(url, 'utf8').matchAll(/^#+ (.*)$/gm)].map((line) =>
        slugOf(line[1] ?? ''),
      );
      assert.ok(headings.includes(anchor), `${page} links to ${target}, of ${headings.join(', ')}`);
    }
  }
});

function slugOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-');
}

it('names files, tests and make targets that are there', () => {
  const tests = readdirSync(repository, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.test\.ts$|Suite\.ts$|conformance\.ts$/.test(name) && !name.includes('node_modules'))
    .map(read)
    .join('\n');
  const targets = read('Makefile');
  for (const page of pages.filter((name) => !name.startsWith('docs/reference/'))) {
    for (const [, code = ''] of read(page).matchAll(/`([^`\n]+)`/g)) {
      const path = /^(?:src|guest-agent|sdk|schema|docs|test|attack|bench|scripts|examples)\/[\w./-]*$/.exec(
        code,
      )?.[0];
      if (path !== undefined) assert.ok(existsSync(new URL(path, repository)), `${page} names ${path}`);
      const target = /^make ([\w-]+)$/.exec(code)?.[1];
      if (target !== undefined)
        assert.match(targets, new RegExp(`^${target}:`, 'm'), `${page}: make ${target}`);
    }
    const oneLine = read(page).replaceAll(/\s+/g, ' ');
    for (const [, name = ''] of oneLine.matchAll(/“([^”]+)” of `[\w/.]*\.ts`/g))
      assert.ok(tests.includes(name), `${page} names the test “${name}”`);
  }
});
