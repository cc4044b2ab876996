/** The seal of snapshots: whatever is changed in them while nobody looks is refused, and said. */
import assert from 'node:assert/strict';
import {
  appendFileSync,
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { afterEach, beforeEach, it } from 'node:test';
import { CasemateError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import { Snapshots } from './snapshots.ts';

const origin = {
  runtime: 'gvisor',
  template: 'base',
  templateDigest: 'd'.repeat(64),
  limits: { cpus: 1, memoryMib: 512, diskMib: 2048, pids: 256 },
};
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'casemate-seal-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function sealed(options: { transient?: boolean } = {}): Promise<string> {
  const snapshots = new Snapshots(folder);
  const id = newId();
  const directory = await snapshots.begin(id);
  mkdirSync(join(directory, 'image'));
  writeFileSync(join(directory, 'image', 'pages.img'), Buffer.alloc(100_000, 7));
  writeFileSync(join(directory, 'state'), 'state');
  await snapshots.seal(id, origin, options.transient ?? false);
  return id;
}

/** As a process that starts anew sees it. */
function open(id: string): Promise<unknown> {
  return new Snapshots(folder).open(id);
}

function damaged(what: RegExp): (error: unknown) => boolean {
  return (error) =>
    error instanceof CasemateError && error.code === 'snapshot_damaged' && what.test(error.message);
}

it('opens what it sealed, in later runs too, and says what it was taken of', async () => {
  const id = await sealed();
  const { directory, ...rest } = (await open(id)) as { directory: string };
  assert.deepEqual(rest, origin);
  assert.ok(existsSync(join(directory, 'image', 'pages.img')));
});

it('refuses every kind of change', async () => {
  const content = (id: string, name = ''): string => join(folder, id, 'content', name);
  const changes: [what: RegExp, change: (id: string) => void][] = [
    [/bytes of state/, (id) => writeFileSync(content(id, 'state'), 'stale')],
    [/size of state/, (id) => appendFileSync(content(id, 'state'), 'x')],
    [/size of state/, (id) => rmSync(content(id, 'state'))],
    [/size of more/, (id) => writeFileSync(content(id, 'more'), 'x')],
    [/manifest/, (id) => appendFileSync(join(folder, id, 'manifest.json'), ' ')],
    [/manifest/, (id) => rmSync(join(folder, id, 'manifest.mac'))],
    [/manifest/, () => rmSync(join(folder, 'key'), { force: true })],
  ];
  for (const [what, change] of changes) {
    const id = await sealed();
    change(id);
    await assert.rejects(open(id), damaged(what));
  }
});

it('refuses one snapshot in the place of another', async () => {
  const [one, two] = [await sealed(), await sealed()];
  rmSync(join(folder, two), { recursive: true });
  cpSync(join(folder, one), join(folder, two), { recursive: true });
  await assert.rejects(open(two), damaged(/written as/));
});

it('sweeps half-written ones and those of forks, and keeps the rest', async () => {
  const kept = await sealed();
  const transient = await sealed({ transient: true });
  const partial = newId();
  await new Snapshots(folder).begin(partial);
  const snapshots = new Snapshots(folder);
  await snapshots.sweep();
  assert.deepEqual(await snapshots.list(), [kept]);
  assert.ok(!existsSync(join(folder, transient)) && !existsSync(join(folder, `${partial}.partial`)));
});

it('takes no path for an id', async () => {
  for (const id of ['..', '../key', 'key', '', `${newId()}/x`]) {
    await assert.rejects(
      open(id),
      (error) => error instanceof CasemateError && error.code === 'invalid_request',
    );
  }
});

it('makes what it seals read-only, but for files that have a name elsewhere: they are not its own alone', async () => {
  const snapshots = new Snapshots(folder);
  const directory = await snapshots.begin(newId());
  const shared = join(folder, 'shared');
  writeFileSync(shared, 'a layer of a running machine', { mode: 0o600 });
  linkSync(shared, join(directory, 'layer'));
  writeFileSync(join(directory, 'own'), 'state', { mode: 0o600 });
  const id = basename(dirname(directory)).replace('.partial', '');
  await snapshots.seal(id, origin, false);
  assert.equal(statSync(shared).mode & 0o777, 0o600);
  assert.equal(statSync(join(folder, id, 'content', 'own')).mode & 0o777, 0o444);
});
