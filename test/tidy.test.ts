/** The rules of the house: who may import whom, how long a file may be, how a program is started. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { it } from 'node:test';
import { fileURLToPath } from 'node:url';

const repository = join(dirname(fileURLToPath(import.meta.url)), '..');

/** Rooms, or single files of them, that each room may import besides itself, `base` and `schema`. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  base: [],
  network: [],
  image: [],
  guest: ['src/runtime/driver.ts'],
  store: [],
  policy: [],
  egress: ['policy'],
  runtime: [],
  rootd: ['runtime', 'network', 'image'],
  node: ['guest', 'src/runtime/driver.ts', 'src/rootd/protocol.ts'],
  control: ['store', 'policy', 'src/egress/types.ts', 'src/node/types.ts', 'guest', 'src/runtime/driver.ts'],
  gateway: ['control', 'store', 'guest', 'policy'],
  doctor: ['runtime', 'image'],
  cli: ['sdk'],
};
/** Single files with a right of their own. */
const exceptions: Readonly<Record<string, readonly string[]>> = {
  'src/cli/serve.ts': ['main.ts', 'base'],
  'src/cli/doctor.ts': ['main.ts', 'base'],
};

function sources(folder: string): string[] {
  return readdirSync(join(repository, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.includes('node_modules') && !name.includes('dist/'))
    .map((name) => join(folder, name));
}

function importsOf(file: string): string[] {
  const text = readFileSync(join(repository, file), 'utf8');
  return [...text.matchAll(/(?:from|import\() ?'(\.[^']+)'/g)].map((match) =>
    relative(repository, join(repository, dirname(file), match[1] ?? '')),
  );
}

function roomOf(path: string): string {
  const [first = '', second = ''] = path.split('/');
  return first === 'src' ? second : first;
}

const everything = [
  'src',
  'sdk/typescript/src',
  'test',
  'bench',
  'examples',
  'attack',
  'scripts',
  'schema',
].flatMap(sources);

it('keeps every room to the rooms that it may know', () => {
  for (const file of sources('src')) {
    const room = roomOf(file);
    if (file === 'src/main.ts' || file.includes('.test.')) continue;
    for (const imported of importsOf(file)) {
      const target = roomOf(imported);
      const free = target === room || (['base', 'schema'].includes(target) && room !== 'cli');
      const known = [...(allowed[room] ?? []), ...(exceptions[file] ?? [])];
      assert.ok(free || known.includes(target) || known.includes(imported), `${file} imports ${imported}`);
    }
  }
});

it('lets the root process know nothing that reads hostile bytes', () => {
  const seen = new Set<string>();
  const follow = (file: string): void => {
    if (seen.has(file)) return;
    seen.add(file);
    for (const imported of importsOf(file)) follow(imported);
  };
  follow('src/rootd/root.ts');
  for (const file of seen) assert.ok(!/^src\/(guest|control|store|gateway|egress)\//.test(file), file);
  // What QEMU says is read by a process of its own (controlProcess.ts).
  for (const file of seen) assert.ok(!/\/(qmp|migrate|controlProcess)\.ts$/.test(file), file);
});

it('keeps files short and says on their first line what they are for', () => {
  for (const file of everything) {
    const lines = readFileSync(join(repository, file), 'utf8').split('\n');
    assert.ok(lines.length <= 501, `${file} has ${lines.length} lines`);
    assert.match(lines[0] ?? '', /^\/\*\*/, file);
  }
});

it('starts programs from lists of arguments, never through a shell of Node', () => {
  const forbidden = /shell:\s*true|\b(?:exec|execSync)\b[^']*'node:child_process'|\bchild_process\.exec/;
  for (const file of everything)
    assert.doesNotMatch(readFileSync(join(repository, file), 'utf8'), forbidden, file);
});

it('names no folder of the machine that it was written on', () => {
  const elsewhere = /['"`](?:\/root|\/work|\/mnt|\/Users)\//;
  for (const file of everything)
    assert.doesNotMatch(readFileSync(join(repository, file), 'utf8'), elsewhere, file);
});

it('has a root that can be taken in at a glance', () => {
  const ignored = ['node_modules', 'build', 'package-lock.json'];
  const visible = readdirSync(repository).filter((name) => !name.startsWith('.') && !ignored.includes(name));
  assert.ok(visible.length <= 20, visible.join(', '));
});
