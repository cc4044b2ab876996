/** Backups of volumes on a real server: out of one moment, back whole or not at all. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Sandbox, type Volume } from '../../sdk/typescript/src/index.ts';
import { endOf, headOf } from '../../src/control/backupFormat.ts';
import { type TarEntry, tarOf } from '../tar.ts';
import { cliPath, missingForServer, startServer, type TestServer } from './server.ts';

describe('backups of volumes', { skip: missingForServer() ?? false }, () => {
  const local = mkdtempSync(join(tmpdir(), 'casemate-backup-'));
  let server: TestServer;
  before(async () => {
    server = await startServer();
  });
  after(async () => {
    await server.close();
    rmSync(local, { recursive: true });
  });

  async function bytesOf(volume: Volume): Promise<Buffer> {
    const parts: Uint8Array[] = [];
    for await (const part of await volume.backup()) parts.push(part);
    return Buffer.concat(parts);
  }
  /** Names of the volumes that there are, and what lies on the disk. */
  const there = async (): Promise<readonly unknown[]> => [
    (await server.client.volumes.list()).map(({ name, state }) => `${name} ${state}`),
    readdirSync(join(server.dataDir, 'volumes')).length,
  ];

  it('are of one moment while a program writes, and come back with everything', async () => {
    const volume = await server.client.volumes.create({ name: 'live', quotaMib: 48, quotaInodes: 5000 });
    await using sbx = await Sandbox.create({
      ...{ url: server.url, apiKey: server.apiKey, timeoutMs: 600_000 },
      volumes: [{ volume: 'live', path: '/data' }],
    });
    // `a` is never behind `z`, and one ahead at most; what lies between takes a while to read.
    const writing =
      'cd /data; n=0; while :; do n=$((n+1)); echo $n >.new; mv .new a; echo $n >.new; mv .new z; done';
    await volume.files.write('middle', randomBytes(12_000_000));
    await volume.files.change('/', { mode: 0o1775, uid: 1000, gid: 1000 });
    await (await sbx.spawn(writing)).detach();
    for (let round = 0; round < 100 && !(await volume.files.exists('z')); round += 1) await sleep(50);
    for (let round = 0; round < 2; round += 1) {
      const bytes = await bytesOf(volume);
      const restored = await server.client.volumes.restore(`copy-${round}`, bytes);
      const [a, z] = [Number(await restored.files.read('a')), Number(await restored.files.read('z'))];
      assert.ok(a > 0 && (a === z || a === z + 1), `${a} and ${z}`);
      const { quotaMib, quotaInodes, readOnly, state } = await restored.info();
      assert.deepEqual([quotaMib, quotaInodes, readOnly, state], [48, 5000, false, 'ready']);
      const { mode, uid } = await restored.files.stat('/');
      assert.deepEqual([mode, uid], [0o1775, 1000]);
      await restored.remove();
    }
    assert.deepEqual((await there())[0], ['live ready'], 'what they were read from is gone');
  });

  it('are refused, and leave nothing, when a byte is another one or the end is missing', async () => {
    const volume = await server.client.volumes.create({ name: 'plain', quotaMib: 32 });
    await volume.files.write('in/file', 'x'.repeat(10_000), { parents: true });
    const whole = await bytesOf(volume);
    const before = await there();
    const flipped = (at: number): Buffer => {
      const bytes = Buffer.from(whole);
      bytes[at] = (bytes[at] ?? 0) ^ 1;
      return bytes;
    };
    const damaged: Record<string, Buffer> = {
      'in the manifest': flipped(whole.indexOf('plain')),
      'in a file': flipped(whole.indexOf('xxxxxxxx') + 5000),
      'in the header of a file': flipped(whole.indexOf('in/file') + 3),
      'in the checksum': flipped(whole.indexOf('"sha256":"') + 20),
      'in the count': flipped(whole.indexOf('"entries":') + 10),
      'no end': whole.subarray(0, -512),
      'half of it': whole.subarray(0, whole.length / 2),
      nothing: Buffer.alloc(0),
      'something else': randomBytes(5000),
    };
    for (const [what, bytes] of Object.entries(damaged))
      await assert.rejects(server.client.volumes.restore('bad', bytes), { code: 'backup_damaged' }, what);
    assert.deepEqual(await there(), before);
    await assert.rejects(server.client.volumes.restore('plain', whole), { code: 'conflict' });
    const again = await server.client.volumes.restore('bad', whole);
    assert.equal(await again.files.read('in/file'), 'x'.repeat(10_000));
  });

  it('that were made to do harm do none', async () => {
    const before = await there();
    const made = (entries: readonly TarEntry[]): Buffer => {
      const manifest = {
        ...{ casemateVolumeBackup: 1 as const, volume: 'evil', takenAt: '', quotaMib: 32, quotaInodes: 2048 },
        root: { mode: 0o6777, uid: 0, gid: 0 },
      };
      const bytes = Buffer.concat([headOf(manifest), tarOf(entries)]);
      const sha256 = createHash('sha256').update(bytes).digest('hex');
      return Buffer.concat([bytes, endOf({ sha256, entries: entries.length, bytes: 1 })]);
    };
    const attacks: Record<string, readonly TarEntry[]> = {
      absolute: [{ name: '/tmp/casemate-evil', type: '0', content: 'x' }],
      dots: [{ name: '../casemate-evil', type: '0', content: 'x' }],
      'through a link': [
        { name: 'out', type: '2', target: '/tmp' },
        { name: 'out/casemate-evil', type: '0', content: 'x' },
      ],
      'hard link out': [{ name: 'hard', type: '1', target: '../../../etc/passwd' }],
      device: [{ name: 'disk', type: '4' }],
      pipe: [{ name: 'pipe', type: '6' }],
    };
    for (const [what, entries] of Object.entries(attacks))
      await assert.rejects(
        server.client.volumes.restore('evil', made(entries)),
        { code: 'file_invalid' },
        what,
      );
    assert.ok(!existsSync('/tmp/casemate-evil'));
    assert.deepEqual(await there(), before);
    const suid = await server.client.volumes.restore(
      'evil',
      made([{ name: 'suid', type: '0', content: 'x', mode: 0o6755 }]),
    );
    assert.equal((await suid.files.stat('suid')).mode, 0o755);
  });

  it('say why where a volume cannot be archived, and leave no half file', async () => {
    const volume = await server.client.volumes.create({ name: 'huge', quotaMib: 32 });
    await using sbx = await Sandbox.create({
      ...{ url: server.url, apiKey: server.apiKey },
      volumes: [{ volume: 'huge', path: '/data' }],
    });
    assert.equal((await sbx.exec('truncate -s 1T /data/huge')).exitCode, 0);
    await assert.rejects(bytesOf(volume), { code: 'file_invalid', message: /huge: the files are larger/ });
    const file = join(local, 'huge.tar');
    assert.throws(() => cli('backup', 'huge', '-o', file), /file_invalid/);
    assert.deepEqual(readdirSync(local), []);
  });

  const cli = (...args: string[]): string =>
    execFileSync(cliPath, ['volume', ...args], { env: server.env, encoding: 'utf8', stdio: 'pipe' });

  it('are files for the CLI, which any tar reads; a snapshot needs no copy', async () => {
    const volume = await server.client.volumes.create({ name: 'cli', quotaMib: 32 });
    await volume.files.write('deep/file', 'words', { parents: true });
    await server.client.volumes.create({
      name: 'monday',
      from: 'cli',
      readOnly: true,
      labels: { of: 'cli' },
    });
    const file = join(local, 'monday.tar');
    assert.match(cli('backup', 'monday', '-o', file), /monday\.tar, \d+ bytes/);
    assert.equal(
      execFileSync('tar', ['-xOf', file, 'deep/file'], { stdio: 'pipe', encoding: 'utf8' }),
      'words',
    );
    const bytes = readFileSync(file);
    const [, said] = /"sha256":"([0-9a-f]+)"/.exec(bytes.toString('latin1', bytes.length - 512)) ?? [];
    assert.equal(createHash('sha256').update(bytes.subarray(0, -512)).digest('hex'), said);
    cli('restore', file, '--name', 'tuesday');
    const tuesday = await server.client.volumes.get('tuesday');
    assert.equal(await tuesday.files.read('deep/file'), 'words');
    assert.deepEqual((await tuesday.info()).labels, { of: 'cli' });
    assert.match(cli('extract', file, 'cli:/'), /^2 entries, 5 bytes/);
    writeFileSync(file, bytes.subarray(0, -1));
    assert.throws(() => cli('restore', file, '--name', 'wednesday'), /backup_damaged/);
  });
});
