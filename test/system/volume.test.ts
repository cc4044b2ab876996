/** Volumes on a real server: late-bound to warm sandboxes, kept over ends, bounded, and closed to hostile content. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Casemate, type CreateOptions, Sandbox, type VolumeMount } from '../../sdk/typescript/src/index.ts';
import { tracesOf } from './host.ts';
import { cliPath, missingForServer, startServer, type TestServer } from './server.ts';

describe('volumes', { skip: missingForServer() ?? false }, () => {
  let server: TestServer;
  before(async () => {
    server = await startServer({ pools: ['base=2'] });
  });
  after(() => server.close());

  const connection = (): { url: string; apiKey: string } => ({ url: server.url, apiKey: server.apiKey });
  const create = (volumes: VolumeMount[], options: CreateOptions = {}): Promise<Sandbox> =>
    Sandbox.create({ ...connection(), timeoutMs: 600_000, volumes, ...options });
  const run = async (sbx: Sandbox, command: string, user?: string): Promise<string> => {
    const { stdout, stderr, exitCode } = await sbx.exec(command, user === undefined ? {} : { user });
    return exitCode === 0 ? stdout.trim() : `exit ${exitCode}: ${stderr.trim()}`;
  };

  async function warm(): Promise<void> {
    for (let round = 0; round < 200; round += 1) {
      if ((await server.client.pools.list()).some(({ ready }) => ready > 0)) return;
      await sleep(50);
    }
    assert.fail('no sandbox gets warm');
  }

  it('is bound to a warm sandbox and keeps what was written for the next one', async () => {
    const volume = await server.client.volumes.create({ name: 'kept', quotaMib: 64 });
    await warm();
    const first = await create([{ volume: 'kept', path: '/data' }]);
    assert.equal((await first.info()).source, 'warm');
    assert.equal(
      await run(first, 'echo words > /data/file && id -un && stat -c %U /data/file'),
      'user\nuser',
    );
    // It is a mount of its own: not to be renamed or removed, and df shows its size.
    assert.match(await run(first, 'mv /data /elsewhere', 'root'), /busy/);
    assert.match(await run(first, 'df -BM /data | tail -n 1'), /5\dM/);
    await assert.rejects(volume.remove(), { code: 'conflict' });
    assert.deepEqual((await volume.info()).sandboxes, [first.id]);
    await first.kill();
    const second = await create([{ volume: volume.id, path: '/home/user/deep/er' }]);
    assert.equal(
      await run(second, 'cat deep/er/file && echo more >> deep/er/file && cat deep/er/file'),
      'words\nwords\nmore',
    );
    await second.kill();
    await volume.remove();
    await assert.rejects(volume.info(), { code: 'not_found' });
  });

  it('is read-only from outside, whoever asks inside', async () => {
    await server.client.volumes.create({ name: 'fixed', quotaMib: 32 });
    await using writer = await create([{ volume: 'fixed', path: '/data' }]);
    await run(writer, 'echo first > /data/file');
    await using reader = await create([{ volume: 'fixed', path: '/data', readOnly: true }]);
    assert.equal(await run(reader, 'cat /data/file'), 'first');
    const tries =
      'echo x > /data/new; echo x > /data/file; rm /data/file; chmod 0 /data/file; mkdir /data/folder;' +
      'mount -o remount,rw /data; mount -o remount,rw,bind /data; echo x > /.casemate/volumes/0/new; ls /data; cat /data/file';
    assert.equal((await reader.exec(tries, { user: 'root' })).stdout.trim(), 'file\nfirst');
    assert.equal(await run(writer, 'echo second > /data/file && cat /data/file'), 'second');
    assert.equal(await run(reader, 'cat /data/file'), 'second');
  });

  it('shows a folder of it alone, and follows no symlink that a sandbox laid', async () => {
    await server.client.volumes.create({ name: 'parts', quotaMib: 32 });
    await using all = await create([{ volume: 'parts', path: '/all' }]);
    await run(
      all,
      'mkdir -p /all/a && echo a > /all/a/file && ln -s /etc /all/out && ln -s .. /all/up && ln -s a /all/link',
    );
    await using part = await create([
      { volume: 'parts', path: '/part', subpath: 'a' },
      { volume: 'parts', path: '/new', subpath: 'made/here' },
    ]);
    assert.equal(await run(part, 'ls /part && ls /part/.. | grep -c all; touch /new/x'), 'file\n0');
    assert.equal(await run(all, 'ls /all/made/here'), 'x');
    for (const subpath of ['out', 'up', 'link', 'out/cron.d', 'a/file']) {
      await assert.rejects(
        create([{ volume: 'parts', path: '/part', subpath }]),
        { code: 'invalid_request' },
        subpath,
      );
    }
    await assert.rejects(create([{ volume: 'parts', path: '/part', subpath: '../..' }]), {
      code: 'invalid_request',
    });
    await assert.rejects(create([{ volume: 'parts', path: '/part', subpath: 'b', readOnly: true }]), {
      code: 'not_found',
    });
    for (const path of ['/', '/proc/x', '/dev', '/a/../b', '/.casemate'])
      await assert.rejects(create([{ volume: 'parts', path }]), { code: 'invalid_request' }, path);
    const left: string[] = [];
    for await (const { id } of Sandbox.list(connection())) left.push(id);
    assert.deepEqual(left.sort(), [all.id, part.id].sort());
  });

  it('ends with an error at its quota of bytes and of inodes', async () => {
    await server.client.volumes.create({ name: 'small', quotaMib: 16, quotaInodes: 1024 });
    await using sbx = await create([{ volume: 'small', path: '/data' }]);
    assert.match(await run(sbx, 'head -c 40000000 /dev/zero > /data/big'), /No space left/);
    assert.ok(Number(await run(sbx, 'stat -c %s /data/big')) < 16 * 1024 * 1024);
    assert.equal(await run(sbx, 'rm /data/big && echo room > /data/file && cat /data/file'), 'room');
    assert.match(await run(sbx, 'for i in $(seq 1100); do : > /data/f$i || exit 1; done'), /No space left/);
    assert.equal(await run(sbx, 'echo alive'), 'alive');
  });

  it('does not exist for another tenant, and a sandbox without its volume does not start', async () => {
    await server.client.volumes.create({ name: 'mine', quotaMib: 32 });
    const { key } = await server.client.keys.create({ name: 'other', scope: 'tenant', tenantId: 'other' });
    const theirs = { ...connection(), apiKey: key };
    await assert.rejects(Sandbox.create({ ...theirs, volumes: [{ volume: 'mine', path: '/data' }] }), {
      code: 'not_found',
    });
    await assert.rejects(create([{ volume: 'nothing', path: '/data' }]), { code: 'not_found' });
    await assert.rejects(server.client.volumes.create({ name: 'mine' }), { code: 'conflict' });
    await assert.rejects(server.client.volumes.create({ name: 'huge', quotaMib: 16_000_000 }), {
      code: 'no_capacity',
    });
  });

  it('is copied as it is at one moment; a read-only copy is a snapshot', async () => {
    const { client } = server;
    await client.volumes.create({ name: 'source', quotaMib: 64 });
    await using sbx = await create([{ volume: 'source', path: '/data' }]);
    const content = randomBytes(3_000_000).toString('base64');
    await sbx.files.write('/data/file', content);
    const snapshot = await client.volumes.create({ name: 'monday', from: 'source', readOnly: true });
    const clone = await client.volumes.create({ name: 'clone', from: snapshot.id });
    await run(sbx, 'echo changed > /data/file');
    await assert.rejects(create([{ volume: 'monday', path: '/data' }]), { code: 'forbidden' });
    await using other = await create([
      { volume: 'monday', path: '/monday', readOnly: true },
      { volume: 'clone', path: '/clone' },
    ]);
    assert.equal(await other.files.read('/monday/file'), content);
    assert.equal(await run(other, 'echo own > /clone/file && cat /clone/file'), 'own');
    assert.equal(await run(sbx, 'cat /data/file'), 'changed');
    assert.equal((await clone.info()).fromId, snapshot.id);
  });

  it('is there again after pause and resume, with its open files; snapshots and forks share it', async () => {
    await server.client.volumes.create({ name: 'shared', quotaMib: 64 });
    await using sbx = await create([{ volume: 'shared', path: '/data' }]);
    const writing = 'exec 7>>/data/log; while :; do echo line >&7; sleep 0.1; done';
    await (await sbx.spawn(writing)).detach();
    await sleep(500);
    await sbx.pause();
    await assert.rejects(server.client.volumes.remove('shared'), { code: 'conflict' });
    await sbx.resume();
    const lines = Number(await run(sbx, 'wc -l < /data/log'));
    await sleep(1000);
    assert.ok(Number(await run(sbx, 'wc -l < /data/log')) > lines, 'the program writes on');
    const [child] = await sbx.fork(1);
    assert.ok(child instanceof Sandbox, String(child));
    await run(child, 'echo child > /data/child');
    assert.equal(await run(sbx, 'cat /data/child'), 'child');
    await child.kill();
    await sbx.snapshot({ name: 'with-volume' });
    await using later = await create([], { snapshot: 'with-volume' });
    assert.equal(await run(later, 'cat /data/child'), 'child');
    assert.deepEqual((await later.info()).volumes, (await sbx.info()).volumes);
  });

  it('gives its files without a sandbox, and sandboxes see at once what was written so', async () => {
    const volume = await server.client.volumes.create({ name: 'open', quotaMib: 32 });
    await volume.files.write('in/table.csv', 'a,b\n', { parents: true });
    await using sbx = await create([{ volume: 'open', path: '/data' }]);
    assert.equal(await run(sbx, 'cat /data/in/table.csv && stat -c %U /data/in'), 'a,b\nuser');
    await run(sbx, 'echo 1,2 >> /data/in/table.csv && ln -s /etc/passwd /data/link');
    assert.equal(await volume.files.read('in/table.csv'), 'a,b\n1,2\n');
    assert.equal(await volume.files.read('in/table.csv', { range: { first: 4, last: 6 } }), '1,2');
    await assert.rejects(volume.files.read('link'), { code: 'file_invalid' });
    assert.equal((await volume.files.stat('link')).target, '/etc/passwd');
    const { key } = await server.client.keys.create({
      name: 'elsewhere',
      scope: 'tenant',
      tenantId: 'elsewhere',
    });
    const foreign = new Casemate({ url: server.url, apiKey: key });
    await assert.rejects(foreign.volumes.get(volume.id), { code: 'not_found' });
    const answer = await fetch(`${server.url}/v1/volumes/${volume.id}/files?path=in/table.csv`, {
      headers: { authorization: `Bearer ${key}` },
    });
    assert.equal(answer.status, 404);
    const own = await server.client.keys.create({ name: 'one sandbox', scope: `sandbox:${sbx.id}` });
    const denied = await fetch(`${server.url}/v1/volumes/${volume.id}/files?path=in/table.csv`, {
      headers: { authorization: `Bearer ${own.key}` },
    });
    assert.equal(denied.status, 403);
    // What serves the files goes with the volume.
    await sbx.kill();
    await volume.remove();
    assert.equal(
      execFileSync('ls', [`${server.dataDir}/sandboxes`])
        .toString()
        .includes('files-'),
      false,
    );
  });

  it('is copied from and to by the CLI', async () => {
    await server.client.volumes.create({ name: 'cli', quotaMib: 32 });
    const cli = (...args: string[]): string =>
      execFileSync(cliPath, ['volume', ...args], { env: server.env, encoding: 'utf8' });
    const local = mkdtempSync(join(tmpdir(), 'casemate-cli-'));
    mkdirSync(join(local, 'tree/deep'), { recursive: true });
    writeFileSync(join(local, 'tree/deep/file'), 'words');
    cli('cp', join(local, 'tree'), 'cli:here');
    assert.match(cli('ls', 'cli:here', '--depth', '3'), /f0644 +1000:1000 +5 .* \/here\/deep\/file$/m);
    cli('mkdir', 'cli:a/b');
    cli('mv', 'cli:here/deep', 'a/b/moved');
    cli('cp', 'cli:a/b', join(local, 'back'));
    assert.equal(readFileSync(join(local, 'back/moved/file'), 'utf8'), 'words');
    cli('archive', 'cli:a', join(local, 'a.tar'));
    assert.match(cli('extract', join(local, 'a.tar'), 'cli:/'), /^3 entries, 5 bytes/);
    assert.match(cli('ls', 'cli:b/moved'), /\/b\/moved\/file/);
    cli('rm', '-r', 'cli:a');
    assert.equal(cli('ls', 'cli:').includes('/a\n'), false);
    rmSync(local, { recursive: true });
  });

  it('survives a crash of everything, and leaves no mount when the server ends', async () => {
    await server.client.volumes.create({ name: 'lasting', quotaMib: 32 });
    const sbx = await create([{ volume: 'lasting', path: '/data' }]);
    await run(sbx, 'echo before > /data/file');
    const { process: crashed, dataDir } = server;
    const gone = new Promise((resolve) => crashed.once('exit', resolve));
    process.kill(-(crashed.pid ?? 0), 'SIGKILL');
    await gone;
    server = await startServer({ dataDir });
    const again = await Sandbox.connect(sbx.id, connection());
    assert.equal(
      await run(again, 'cat /data/file && echo after > /data/file && cat /data/file'),
      'before\nafter',
    );
    await assert.rejects(server.client.volumes.remove('lasting'), { code: 'conflict' });
    for await (const { id } of Sandbox.list(connection()))
      await (await Sandbox.connect(id, connection())).kill();
    const { process: ending } = server;
    const ended = new Promise((resolve) => ending.once('exit', resolve));
    ending.kill('SIGTERM');
    await ended;
    const { mounts, cgroups, sandboxFolders, journalEntries } = tracesOf(dataDir);
    assert.deepEqual(
      { mounts, cgroups, sandboxFolders, journalEntries },
      { mounts: 0, cgroups: 0, sandboxFolders: 0, journalEntries: 0 },
    );
    server = await startServer({ dataDir });
    assert.ok(
      (await server.client.volumes.list()).some(
        ({ name, allocatedBytes }) => name === 'lasting' && allocatedBytes !== undefined,
      ),
    );
  });
});
