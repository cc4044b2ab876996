/** The store of templates: ready or not, removed without hurting what runs, swept clean of what builders left. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, it } from 'node:test';
import { runCommand } from '../base/child.ts';
import { CasemateError } from '../base/errors.ts';
import { digestOf, readDefinition } from './definition.ts';
import { listTemplates, removeTemplate, sweep, templateRoot } from './store.ts';

const withoutRoot = process.getuid?.() === 0 ? false : 'mounting needs root';
let storeDir: string;

beforeEach(async () => {
  storeDir = await mkdtemp(join(tmpdir(), 'casemate-store-'));
});

afterEach(() => rm(storeDir, { recursive: true, force: true }));

/** Puts a template there as a build would leave it; answers its root. */
async function placeTemplate(name: string): Promise<string> {
  const digest = digestOf(await readDefinition(name));
  const root = join(storeDir, 'templates', digest, 'rootfs');
  await mkdir(root, { recursive: true });
  await writeFile(join(root, 'a-library'), 'content');
  const manifest = { name, digest, bytes: 7, builtAt: '2026-01-01T00:00:00.000Z' };
  await writeFile(join(root, '../manifest.json'), JSON.stringify(manifest));
  return root;
}

function hasCode(code: string): (error: unknown) => boolean {
  return (error) => error instanceof CasemateError && error.code === code;
}

it('lists every shipped template and says which is ready', async () => {
  const shipped = (await readdir(new URL('./templates/', import.meta.url)))
    .filter((name) => name.endsWith('.json'))
    .map((name) => name.slice(0, -'.json'.length));
  const ready = async (): Promise<string[]> =>
    (await listTemplates(storeDir)).filter((template) => template.ready).map(({ name }) => name);
  assert.deepEqual((await listTemplates(storeDir)).map(({ name }) => name).sort(), shipped.sort());
  assert.deepEqual(await ready(), []);
  const root = await placeTemplate('base');
  assert.deepEqual(await ready(), ['base']);
  assert.equal((await listTemplates(storeDir)).find(({ name }) => name === 'base')?.bytes, 7);
  assert.equal((await templateRoot(storeDir, 'base')).root, root);
});

it('tells a template that is not built from one that does not exist', async () => {
  await assert.rejects(templateRoot(storeDir, 'base'), hasCode('template_not_ready'));
  await assert.rejects(templateRoot(storeDir, 'nothing'), hasCode('not_found'));
  await assert.rejects(templateRoot(storeDir, '../base'), hasCode('not_found'));
});

it('leaves nothing of a removed template, and removes twice without complaint', async () => {
  await placeTemplate('base');
  await removeTemplate(storeDir, 'base');
  await removeTemplate(storeDir, 'base');
  assert.deepEqual(await readdir(join(storeDir, 'templates')), []);
});

it('keeps the files of a removed template for those that run from it', { skip: withoutRoot }, async () => {
  const root = await placeTemplate('base');
  const mountPoint = join(storeDir, 'mounted');
  await mkdir(mountPoint);
  await runCommand(['mount', '--bind', '-o', 'ro', root, mountPoint]);
  try {
    await removeTemplate(storeDir, 'base');
    assert.ok(existsSync(join(mountPoint, 'a-library')));
    await assert.rejects(templateRoot(storeDir, 'base'), hasCode('template_not_ready'));
  } finally {
    await runCommand(['umount', mountPoint]);
  }
  await sweep(storeDir);
  assert.deepEqual(await readdir(join(storeDir, 'templates')), []);
});

it('sweeps what a dead builder left, not what a living one is making', async () => {
  const digest = 'd'.repeat(64);
  const living = `${digest}.${process.pid}.partial`;
  const noProcess = 4_194_305; // above the kernel's highest process id
  for (const name of [living, `${digest}.${noProcess}.partial`]) {
    await mkdir(join(storeDir, 'templates', name), { recursive: true });
  }
  await sweep(storeDir);
  assert.deepEqual(await readdir(join(storeDir, 'templates')), [living]);
});
