/** Files of a volume without a sandbox: the jailed process itself, on trees that somebody laid to trick it. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { VolumeClient } from '../src/guest/volumeClient.ts';
import { missingForServer } from './system/server.ts';
import { type TarEntry, tarOf } from './tar.ts';
import { pieces, textOf, VolumeStand } from './volumeStand.ts';

describe('files of a volume without a sandbox', { skip: missingForServer() ?? false }, () => {
  const stand = new VolumeStand();
  const { folder, id, cgroups, servers, volumes } = stand;
  const secret = join(folder, 'secret');
  let root: string;
  let files: VolumeClient;
  before(async () => {
    writeFileSync(secret, 'of the host');
    await stand.make();
    root = stand.root;
    files = await stand.attach();
  });
  after(async () => {
    files?.close();
    await stand.close();
  });

  const read = async (path: string): Promise<string> => textOf((await files.read({ path })).body);
  const refused = (work: Promise<unknown>, code: string, what?: string): Promise<void> =>
    assert.rejects(work, { code }, what);
  const clear = (): void => {
    for (const name of readdirSync(root)) rmSync(join(root, name), { recursive: true, force: true });
  };

  it('runs as nobody, sees the volume and nothing else, and keeps four rights there', () => {
    const pids = cgroups.processes(`files-${id}`);
    const jailed = pids.find((pid) => /^Uid:\t(?!0\t)/m.test(readFileSync(`/proc/${pid}/status`, 'utf8')));
    assert.ok(jailed !== undefined && pids.length === 2, `processes ${pids}`);
    const status = readFileSync(`/proc/${jailed}/status`, 'utf8');
    assert.match(status, /^Uid:\t1644167168\t1644167168\t1644167168\t1644167168$/m);
    assert.match(status, /^CapEff:\t000000000000001b$/m);
    assert.match(status, /^CapBnd:\t000000000000001b$/m);
    assert.match(status, /^NoNewPrivs:\t1$/m);
    for (const kind of ['user', 'mnt', 'pid', 'net', 'ipc', 'uts'])
      assert.notEqual(
        readlinkSync(`/proc/${jailed}/ns/${kind}`),
        readlinkSync(`/proc/self/ns/${kind}`),
        kind,
      );
    assert.equal(readFileSync(`/proc/${jailed}/mounts`, 'utf8').trim().split('\n').length, 1);
    assert.deepEqual(readdirSync(`/proc/${jailed}/root/`), readdirSync(root));
    const open = readdirSync(`/proc/${jailed}/fd`).map((fd) => readlinkSync(`/proc/${jailed}/fd/${fd}`));
    for (const target of open) {
      // Go up to 1.20 wakes its poller by a pipe whose two ends it has itself.
      const own = target.startsWith('pipe:') && open.filter((other) => other === target).length === 2;
      assert.ok(own || /^\/(dev\/null)?$|^anon_inode|\/files-[a-z0-9]+\/(in|out)$/.test(target), target);
    }
  });

  it('writes, reads, lists, moves and removes', async () => {
    assert.deepEqual(await files.write({ path: 'a/b/file', parents: true }, pieces('wo', 'rds')), {
      size: 5,
    });
    assert.equal(readFileSync(join(root, 'a/b/file'), 'utf8'), 'words');
    const { uid, gid, mode } = statSync(join(root, 'a/b/file'));
    assert.deepEqual([uid, gid, mode & 0o7777], [1000, 1000, 0o644]);
    assert.equal(await read('/a/b/file'), 'words');
    const part = await files.read({ path: 'a/b/file', offset: 1, length: 3 });
    assert.deepEqual([part.size, part.offset, part.length], [5, 1, 3]);
    assert.equal(await textOf(part.body), 'ord');
    // What is replaced keeps its owner and its mode, unless others are given.
    chownSync(join(root, 'a/b/file'), 77, 78);
    chmodSync(join(root, 'a/b/file'), 0o600);
    await files.write({ path: 'a/b/file' }, pieces('new'));
    const kept = await files.stat('a/b/file');
    assert.deepEqual([kept.uid, kept.gid, kept.mode, kept.size], [77, 78, 0o600, 3]);
    const changed = await files.change('a/b/file', { uid: 5, gid: 6, mode: 0o4750 });
    assert.deepEqual([changed.uid, changed.gid, changed.mode], [5, 6, 0o4750]);
    const made = await files.mkdir('x/y', { parents: true, mode: 0o700, uid: 0, gid: 0 });
    assert.deepEqual([made.path, made.type, made.mode, made.uid], ['/x/y', 'directory', 0o700, 0]);
    await refused(files.mkdir('x/y'), 'file_exists');
    await refused(files.mkdir('x'), 'file_exists');
    await files.mkdir('x/y', { parents: true });
    assert.equal((await files.move('a/b/file', 'x/y/moved')).path, '/x/y/moved');
    const { entries } = await files.list('/', 3);
    assert.deepEqual(
      entries.map(({ path }) => path),
      ['/a', '/a/b', '/x', '/x/y', '/x/y/moved'],
    );
    assert.equal((await files.list('x', 1)).entries.length, 1);
    await refused(files.remove('x'), 'file_exists');
    await files.remove('x', { recursive: true });
    await files.remove('a/b');
    await refused(files.stat('x'), 'file_not_found');
    await refused(files.remove('/', { recursive: true }), 'file_invalid');
    await refused(files.read({ path: 'a' }), 'file_invalid');
    for (const path of ['..', 'a/../..', '/../etc/passwd'])
      await refused(files.stat(path), 'file_invalid', path);
    clear();
  });

  it('follows no link, opens no pipe or device, and leaves what they lead to alone', async () => {
    mkdirSync(join(root, 'real'));
    writeFileSync(join(root, 'real/file'), 'inside');
    symlinkSync(secret, join(root, 'absolute'));
    symlinkSync(`../../../../../../..${secret}`, join(root, 'relative'));
    symlinkSync('/proc/self/root', join(root, 'magic'));
    symlinkSync(folder, join(root, 'folder'));
    symlinkSync('real', join(root, 'inner'));
    symlinkSync('loop', join(root, 'loop'));
    execFileSync('mkfifo', [join(root, 'pipe')]);
    execFileSync('mknod', [join(root, 'disk'), 'b', '7', '0']);
    execFileSync('mknod', [join(root, 'null'), 'c', '1', '3']);
    for (const path of ['absolute', 'relative', 'magic', 'folder', 'inner', 'loop', 'pipe', 'disk', 'null']) {
      await refused(files.read({ path }), 'file_invalid', path);
      await refused(files.write({ path }, pieces('x')), 'file_invalid', path);
      await refused(files.change(path, { mode: 0o777 }), 'file_invalid', path);
    }
    for (const path of ['folder/secret', 'inner/file', 'magic/etc/passwd', 'loop/x']) {
      await refused(files.stat(path), 'file_invalid', path);
      await refused(files.write({ path, parents: true }, pieces('x')), 'file_invalid', path);
      await refused(files.move('real/file', path), 'file_invalid', path);
      await refused(files.remove(path, { recursive: true }), 'file_invalid', path);
    }
    const { entries } = await files.list('/', 5);
    assert.equal(entries.find(({ path }) => path === '/absolute')?.target, secret);
    assert.ok(entries.every(({ path }) => !path.startsWith('/folder/') && !path.startsWith('/inner/')));
    await refused(files.list('folder', 1), 'file_invalid');
    for (const { name } of (await files.list('/', 1)).entries) await files.remove(name, { recursive: true });
    assert.deepEqual(readdirSync(root), []);
    assert.equal(readFileSync(secret, 'utf8'), 'of the host');
    assert.ok(existsSync('/proc/self/root/etc/passwd'));
  });

  it('is not led out by a folder that becomes a link while it is walked', async () => {
    const outside = join(folder, 'outside');
    mkdirSync(outside);
    writeFileSync(join(outside, 'file'), 'of the host');
    mkdirSync(join(root, 'good'));
    writeFileSync(join(root, 'good/file'), 'of the volume');
    symlinkSync(outside, join(root, 'bad'));
    let swaps = 0;
    let going = true;
    const swapping = (async (): Promise<void> => {
      while (going) {
        renameSync(join(root, 'good'), join(root, 'way'));
        await new Promise(setImmediate);
        renameSync(join(root, 'way'), join(root, 'good'));
        renameSync(join(root, 'bad'), join(root, 'way'));
        await new Promise(setImmediate);
        renameSync(join(root, 'way'), join(root, 'bad'));
        swaps += 1;
      }
    })();
    const seen = new Set<string>();
    const attempt = async (work: Promise<string>): Promise<void> => {
      seen.add(await work.catch(({ code }: { code: string }) => code));
    };
    for (let round = 0; round < 400; round += 1) {
      await attempt(read('way/file'));
      await attempt(files.write({ path: 'way/new' }, pieces('x')).then(() => 'written'));
      await attempt(
        files.list('/', 3).then(({ entries }) => entries.find(({ name }) => name === 'host')?.name ?? ''),
      );
      await attempt(files.remove('way/new').then(() => 'removed'));
    }
    going = false;
    await swapping;
    assert.ok(swaps > 50, `${swaps} swaps`);
    assert.ok(seen.has('of the volume') && seen.has('written'), [...seen].join());
    assert.ok(!seen.has('of the host'));
    assert.deepEqual(readdirSync(outside), ['file']);
    clear();
  });

  it('removes a tree that is deeper than there are open files, and files that have other names', async () => {
    // By relative steps: such a path is longer than any call takes.
    execFileSync('python3', ['-c', 'import os\nfor i in range(3000): os.mkdir("d"); os.chdir("d")'], {
      cwd: root,
    });
    writeFileSync(join(root, 'kept'), 'kept');
    mkdirSync(join(root, 'd/side'));
    linkSync(join(root, 'kept'), join(root, 'd/side/other-name'));
    await files.remove('d', { recursive: true });
    assert.deepEqual(readdirSync(root), ['kept']);
    assert.equal(readFileSync(join(root, 'kept'), 'utf8'), 'kept');
    clear();
  });

  it('keeps the old file when an upload ends half-way, and clears what a crash left', async () => {
    writeFileSync(join(root, 'file'), 'old');
    async function* half(): AsyncGenerator<Uint8Array> {
      yield Buffer.alloc(200_000);
      throw new Error('the client went away');
    }
    await assert.rejects(files.write({ path: 'file' }, half()), /went away/);
    assert.equal(await read('file'), 'old');
    mkdirSync(join(root, '.casemate-upload'));
    writeFileSync(join(root, '.casemate-upload/1'), 'left');
    symlinkSync(folder, join(root, '.casemate-upload/link'));
    files.close();
    await servers.close(id);
    files = await stand.attach();
    assert.deepEqual(readdirSync(root), ['file']);
    // A sandbox may lay something else there.
    symlinkSync(folder, join(root, '.casemate-upload'));
    await refused(files.write({ path: 'file' }, pieces('x')), 'file_invalid');
    assert.ok(!readdirSync(folder).includes('1'));
    clear();
  });

  it('gives a folder as an archive and takes it back', async () => {
    await files.write({ path: 'tree/deep/file', parents: true }, pieces('words'));
    await files.change('tree/deep/file', { uid: 12, gid: 13, mode: 0o640 });
    linkSync(join(root, 'tree/deep/file'), join(root, 'tree/second'));
    symlinkSync('/etc/passwd', join(root, 'tree/link'));
    execFileSync('mkfifo', [join(root, 'tree/pipe')]);
    const parts: Buffer[] = [];
    for await (const part of (await files.archive('tree')).body) parts.push(part as Buffer);
    const listed = execFileSync('tar', ['-tv', '--numeric-owner'], {
      input: Buffer.concat(parts),
    }).toString();
    assert.match(listed, /-rw-r----- 12\/13 +5 .* deep\/file$/m);
    assert.match(listed, /second link to deep\/file$/m);
    assert.match(listed, /link -> \/etc\/passwd$/m);
    assert.ok(!listed.includes('pipe'));
    await files.mkdir('copy');
    assert.deepEqual(await files.extract({ path: 'copy' }, pieces(...parts)), { entries: 4, bytes: 5 });
    assert.equal(await read('copy/second'), 'words');
    assert.equal(statSync(join(root, 'copy/second')).ino, statSync(join(root, 'copy/deep/file')).ino);
    assert.equal((await files.stat('copy/link')).target, '/etc/passwd');
    assert.equal((await files.stat('copy/deep/file')).uid, 12);
    // Holes: a file may look larger than any disk.
    writeFileSync(join(root, 'huge'), '');
    truncateSync(join(root, 'huge'), 1024 ** 4);
    await assert.rejects(async () => textOf((await files.archive('/')).body), { code: 'file_invalid' });
    clear();
  });

  it('refuses archives that lead out, bring devices, or are too large', async () => {
    const file = { type: '0', content: 'x' };
    const attacks: Record<string, { entries: TarEntry[]; code: string }> = {
      absolute: { entries: [{ name: '/tmp/evil', ...file }], code: 'file_invalid' },
      dots: { entries: [{ name: '../evil', ...file }], code: 'file_invalid' },
      'dots within': { entries: [{ name: 'a/../../evil', ...file }], code: 'file_invalid' },
      'through a link': {
        entries: [
          { name: 'out', type: '2', target: folder },
          { name: 'out/evil', ...file },
        ],
        code: 'file_invalid',
      },
      'through a folder that a link replaced': {
        entries: [
          { name: 'way/', type: '5' },
          { name: 'way', type: '2', target: folder },
          { name: 'way/evil', ...file },
        ],
        code: 'file_invalid',
      },
      'hard link out': {
        entries: [{ name: 'hard', type: '1', target: '../../secret' }],
        code: 'file_invalid',
      },
      'hard link absolute': { entries: [{ name: 'hard', type: '1', target: secret }], code: 'file_invalid' },
      'hard link through a link': {
        entries: [
          { name: 'out', type: '2', target: folder },
          { name: 'hard', type: '1', target: 'out/secret' },
        ],
        code: 'file_invalid',
      },
      pipe: { entries: [{ name: 'pipe', type: '6' }], code: 'file_invalid' },
      device: { entries: [{ name: 'disk', type: '4' }], code: 'file_invalid' },
      nothing: { entries: [{ name: './', ...file }], code: 'file_invalid' },
      'too many bytes': {
        entries: [{ name: 'big', type: '0', content: Buffer.alloc(48 * 1024 * 1024, 'x') }],
        code: 'disk_full',
      },
      'too many files': {
        entries: Array.from({ length: 5000 }, (_, n) => ({ name: `many/${n}`, type: '0' })),
        code: 'disk_full',
      },
      'too deep': { entries: [{ name: `${'d/'.repeat(2500)}f`, ...file }], code: 'file_invalid' },
    };
    for (const [what, { entries, code }] of Object.entries(attacks)) {
      await files.mkdir('in');
      await refused(files.extract({ path: 'in' }, pieces(tarOf(entries))), code, what);
      await files.remove('in', { recursive: true });
      assert.deepEqual(readdirSync(root), [], what);
    }
    await refused(files.extract({ path: '/' }, pieces(Buffer.alloc(2048, 'x'))), 'file_invalid');
    const suid = tarOf([{ name: 'suid', type: '0', content: 'x', mode: 0o6755 }]);
    await files.extract({ path: '/' }, pieces(suid));
    assert.equal((await files.stat('suid')).mode, 0o755);
    assert.ok(!existsSync('/tmp/evil') && !existsSync(join(folder, 'evil')));
    assert.equal(readFileSync(secret, 'utf8'), 'of the host');
    clear();
  });

  it('changes nothing of a volume that is read-only', async () => {
    writeFileSync(join(root, 'file'), 'fixed');
    files.close();
    await servers.close(id);
    files = await stand.attach(true);
    assert.equal(await read('file'), 'fixed');
    await refused(files.write({ path: 'file' }, pieces('x')), 'file_denied');
    await refused(files.remove('file'), 'file_denied');
    await refused(files.change('file', { mode: 0o777 }), 'file_denied');
    await refused(files.extract({ path: '/' }, pieces(tarOf([{ name: 'x', type: '5' }]))), 'file_denied');
    assert.equal(statSync(join(root, 'file')).mode & 0o777, 0o644);
    unlinkSync(join(root, 'file'));
  });

  it('leaves nothing when it ends', async () => {
    files.close();
    await servers.closeAll();
    assert.deepEqual(readdirSync(join(folder, 'sandboxes')), []);
    assert.deepEqual(cgroups.list(), []);
    await volumes.unmountIdle();
    assert.ok(!readFileSync('/proc/mounts', 'utf8').includes(folder));
  });
});
