/** Images whose layers attack the host that unpacks them: each is refused, or harmless where it lies. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { SandboxDisk } from '../runtime/host/disk.ts';
import { firstJailId, jailProgram, runInJail } from './jail.ts';
import { pullImage } from './pull.ts';

interface Member {
  readonly name: string;
  /** As in tar: 0 file, 1 hard link, 2 symbolic link, 3 and 4 devices, 5 folder, x more of the next one's header. */
  readonly type?: '0' | '1' | '2' | '3' | '4' | '5' | 'x';
  readonly link?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly content?: Buffer | string;
}

const skip = reasonToSkip();
const diskMib = 64;
let scratch: string;
let directory: string;
let disk: SandboxDisk;
/** A file of the host that the archives aim at. */
let victim: string;

function reasonToSkip(): string | false {
  if (process.getuid?.() !== 0) return 'a jail needs root to be built';
  if (!existsSync(jailProgram)) return 'the jail is not built: run `make setup`';
  const missing = ['skopeo', 'umoci'].filter((tool) => spawnSync(tool, ['--version']).error !== undefined);
  return missing.length === 0 ? false : `${missing.join(' and ')} are not installed`;
}

before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'casemate-pull-'));
  chmodSync(scratch, 0o755);
});
beforeEach(async () => {
  if (skip) return;
  directory = join(scratch, randomBytes(4).toString('hex'));
  mkdirSync(directory, { mode: 0o755 });
  victim = join(directory, 'victim');
  writeFileSync(victim, 'untouched', { mode: 0o666 });
  disk = new SandboxDisk(directory);
  await disk.create(diskMib, { files: true });
  chmodSync(disk.mountPoint, 0o711);
});
afterEach(async () => {
  if (skip) return;
  assert.equal(readFileSync(victim, 'utf8'), 'untouched');
  assert.deepEqual(readdirSync(directory).sort(), ['disk', 'disk.img', 'jail', 'layout', 'victim']);
  assert.deepEqual(readdirSync(join(directory, 'jail')), []);
  await disk.destroy();
});
after(() => rm(scratch, { recursive: true, force: true }));

/** One member's header and content in the old format that every tar reads. */
function tarMember({ name, type = '0', link = '', mode = 0o644, uid = 0, content = '' }: Member): Buffer {
  const body = Buffer.from(content);
  const header = Buffer.alloc(512);
  const octal = (value: number, at: number, digits: number): void => {
    header.write(value.toString(8).padStart(digits, '0'), at);
  };
  header.write(name, 0, 100);
  octal(mode, 100, 7);
  octal(uid, 108, 7);
  octal(uid, 116, 7);
  octal(body.length, 124, 11);
  octal(0, 136, 11);
  header.fill(' ', 148, 156);
  header.write(type, 156);
  header.write(link, 157, 100);
  header.write('ustar\0', 257);
  octal(1, 329, 7);
  octal(3, 337, 7);
  octal(
    header.reduce((sum, byte) => sum + byte, 0),
    148,
    6,
  );
  return Buffer.concat([header, body, Buffer.alloc((512 - (body.length % 512)) % 512)]);
}

/** A folder in OCI layout with one image of one layer each; unpacks it as a build would. */
async function unpack(...layers: (readonly Member[])[]): Promise<string> {
  const layout = join(directory, 'layout');
  mkdirSync(join(layout, 'blobs/sha256'), { recursive: true });
  const blob = (bytes: Buffer): { digest: string; size: number } => {
    const hash = createHash('sha256').update(bytes).digest('hex');
    writeFileSync(join(layout, 'blobs/sha256', hash), bytes);
    return { digest: `sha256:${hash}`, size: bytes.length };
  };
  const json = (value: object) => blob(Buffer.from(JSON.stringify(value)));
  const tars = layers.map((members) => Buffer.concat([...members.map(tarMember), Buffer.alloc(1024)]));
  const config = json({
    architecture: 'amd64',
    os: 'linux',
    config: { Env: ['A=b'] },
    rootfs: {
      type: 'layers',
      diff_ids: tars.map((tar) => `sha256:${createHash('sha256').update(tar).digest('hex')}`),
    },
  });
  const type = (name: string): { mediaType: string } => ({ mediaType: `application/vnd.oci.image.${name}` });
  const manifest = json({
    schemaVersion: 2,
    ...type('manifest.v1+json'),
    config: { ...type('config.v1+json'), ...config },
    layers: tars.map((tar) => ({ ...type('layer.v1.tar+gzip'), ...blob(gzipSync(tar)) })),
  });
  const named = { ...type('manifest.v1+json'), ...manifest };
  writeFileSync(join(layout, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [named] }));
  writeFileSync(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  const place = { directory, disk: disk.mountPoint, cgroupJoinFiles: [] };
  return pullImage({ kind: 'layout', folder: layout }, place, () => {});
}

function inside(...names: string[]): string {
  return join(disk.mountPoint, 'upper/root', ...names);
}

it('unpacks an image with its owners, and answers its configuration', { skip }, async () => {
  const config = await unpack(
    [
      { name: 'etc/', type: '5', mode: 0o755 },
      { name: 'etc/passwd', content: 'root' },
      { name: 'home', content: 'a', uid: 1000 },
    ],
    [{ name: 'etc/.wh.passwd' }],
  );
  assert.deepEqual((JSON.parse(config) as { config: object }).config, { Env: ['A=b'] });
  assert.equal(lstatSync(inside('home')).uid, firstJailId + 1000);
  assert.equal(existsSync(inside('etc/passwd')), false);
  assert.ok(lstatSync(inside('.casemate')).isDirectory());
});

it('keeps absolute paths and paths that climb inside', { skip }, async () => {
  const up = '../'.repeat(12);
  await unpack([
    { name: victim, content: 'overwritten' },
    { name: `${up}${victim.slice(1)}`, content: 'overwritten' },
    { name: `${up}etc/casemate-evil`, content: 'x' },
  ]);
  assert.equal(existsSync('/etc/casemate-evil'), false);
});

it('follows no link out, whatever is written through it', { skip }, async () => {
  await unpack(
    [
      { name: 'out', type: '2', link: directory },
      { name: 'climb', type: '2', link: `${'../'.repeat(12)}${directory.slice(1)}` },
    ],
    [
      { name: 'out/victim', content: 'overwritten' },
      { name: 'climb/victim', content: 'overwritten' },
    ],
  );
});

it('deletes nothing through a link out, and links nothing through one', { skip }, async () => {
  const up = '../'.repeat(12);
  const out: Member = { name: 'out', type: '2', link: directory };
  await unpack(
    [out],
    [
      { name: 'out/.wh.victim' },
      { name: `${up}${directory.slice(1)}/.wh.victim` },
      { name: `.wh.${up}${victim.slice(1)}` },
    ],
  ).catch(() => {}); // refused or kept inside: `afterEach` looks at the victim
  await rm(join(disk.mountPoint, 'upper'), { recursive: true });
  await rm(join(disk.mountPoint, 'work'), { recursive: true });
  await rm(join(directory, 'layout'), { recursive: true });
  await rm(join(directory, 'jail'), { recursive: true });
  await unpack([out, { name: 'through', type: '1', link: 'out/victim' }]).catch(() => {});
  const made = lstatSync(inside('through'), { throwIfNoEntry: false });
  assert.notEqual(made?.ino, lstatSync(victim).ino);
});

it('makes no hard link to what is not the image’s', { skip }, async () => {
  const hard: Member[] = [{ name: 'stolen', type: '1', link: `${'../'.repeat(12)}etc/shadow` }];
  await assert.rejects(unpack(hard), /no such file|not permitted/);
  assert.equal(existsSync(inside('stolen')), false);
});

it('makes no device', { skip }, async () => {
  await unpack([
    { name: 'memory', type: '3', mode: 0o666 },
    { name: 'disk', type: '4', mode: 0o666 },
  ]).catch(() => {});
  for (const name of ['memory', 'disk']) {
    const made = lstatSync(inside(name), { throwIfNoEntry: false });
    assert.ok(made === undefined || made.isFile(), name);
  }
});

it('gives a set-id program of root to a user that the host does not have', { skip }, async () => {
  await unpack([{ name: 'shell', mode: 0o4755, content: '#!/bin/sh' }]);
  const { uid, mode } = lstatSync(inside('shell'));
  assert.equal(uid, firstJailId);
  assert.equal(mode & 0o4000, 0o4000);
  assert.match(readFileSync('/proc/self/mounts', 'utf8'), new RegExp(`${disk.mountPoint} ext4 \\S*nosuid`));
});

it('replaces a link where the agent will be seen', { skip }, async () => {
  await unpack([{ name: '.casemate', type: '2', link: directory }]);
  assert.ok(lstatSync(inside('.casemate')).isDirectory());
});

it('ends a bomb of bytes at the disk', { skip }, async () => {
  const zeros = Buffer.alloc(48 * 1024 * 1024);
  const bomb: Member[] = ['a', 'b', 'c'].map((name) => ({ name, content: zeros }));
  await assert.rejects(unpack(bomb), /no space left/);
});

it('ends a bomb of files at the disk', { skip }, async () => {
  const bomb = Array.from({ length: diskMib * 64 + 1000 }, (_, index) => ({ name: `f${index}` }));
  await assert.rejects(unpack(bomb), /no space left/);
});

it('refuses a bomb of folders in folders', { skip }, async () => {
  const path = `path=${'d/'.repeat(300)}\n`;
  // The record counts itself: three digits and a space more.
  const record = `${path.length + 4} ${path}`;
  const bomb: Member[] = [
    { name: 'long', type: 'x', content: record },
    { name: 'd', type: '5', mode: 0o755 },
  ];
  await assert.rejects(unpack(bomb), /deep/);
});

it('lets a tool in the jail reach neither the host’s files nor a network nor new namespaces', {
  skip,
}, async () => {
  mkdirSync(join(directory, 'jail'));
  mkdirSync(join(directory, 'layout'));
  const program = `id -u; cat ${victim} || echo hidden; cat /etc/shadow || echo none; ls /sys /dev 2>/dev/null | wc -l
    unshare --user true || echo alone; grep CapEff /proc/self/status; tail -n +3 /proc/net/dev | grep -c : ; kill -9 1`;
  const said = await runInJail({
    place: join(directory, 'jail'),
    argv: ['sh', '-c', program],
    timeoutMs: 10_000,
  }).catch((error: Error) => error.message);
  assert.match(said, /^0\nhidden\nnone\n0\nalone\nCapEff:\t000000008000001f\n1\n/, said);
});
