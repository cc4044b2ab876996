/** The disk: who uses it, that nothing new starts before it is full, and the janitor; on a small file system of its own. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, rmSync, statfsSync, utimesSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { limits } from '../../src/base/limits.ts';
import { newId } from '../../src/base/ids.ts';
import { Casemate, type CasemateError, Sandbox } from '../../sdk/typescript/src/index.ts';
import { cliPath, missingForServer, needTemplates, startServer, type TestServer } from './server.ts';

const reservedMib = limits.hostDiskReserveMib;

describe('the disk', { skip: missingForServer() ?? false }, () => {
  let scratch: string;
  let disk: string;
  let server: TestServer;
  let sbx: Sandbox;
  before(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'casemate-disk-'));
    chmodSync(scratch, 0o755);
    disk = join(scratch, 'mounted');
    const image = join(scratch, 'image');
    execFileSync('truncate', ['-s', `${reservedMib + 1024}M`, image]);
    execFileSync('mkfs.ext4', ['-q', '-F', '-m', '0', '-E', 'lazy_itable_init=1', image]);
    mkdirSync(disk);
    execFileSync('mount', ['-o', 'loop', image, disk]);
    mkdirSync(join(disk, 'data'), { mode: 0o711 });
    server = await startServer({ dataDir: join(disk, 'data') });
    await needTemplates(server, ['base']);
    sbx = await Sandbox.create({ url: server.url, apiKey: server.apiKey });
  });
  after(async () => {
    await server?.close();
    execFileSync('umount', [disk]);
    await rm(scratch, { recursive: true, force: true });
  });

  it('is told by what lies there and whose it is; tenants see their own', async () => {
    await sbx.exec('head -c 20000000 /dev/urandom > big; sync');
    const { client } = server;
    await client.volumes.create({ name: 'notes', quotaMib: 16 });
    await client.templates.buildFrom('small', {
      dockerfile: 'FROM template://base\nRUN --mount=type=cache,target=/cache touch /cache/a /b\n',
    });
    execFileSync('sync'); // what is still on its way takes no blocks yet
    const { host, entries, tenants } = await client.disk.report();
    assert.ok(host !== undefined && host.totalBytes > host.freeBytes);
    const kinds = entries.filter(({ tenantIds }) => tenantIds[0] === 'default').map(({ kind }) => kind);
    assert.deepEqual([...new Set(kinds)].sort(), ['cache', 'layer', 'sandbox', 'volume']);
    const own = entries.find(({ id }) => id === sbx.id);
    assert.ok(own !== undefined && own.bytes > 20_000_000, JSON.stringify(own));
    assert.ok(!entries.some(({ ownerless }) => ownerless), JSON.stringify(entries));
    assert.ok((tenants.find(({ tenantId }) => tenantId === 'default')?.bytes ?? 0) > own.bytes);
    const { key } = await client.keys.create({ name: 'other', scope: 'tenant', tenantId: 'other' });
    const other = await new Casemate({ url: server.url, apiKey: key }).disk.report();
    assert.deepEqual(other, { tenants: [], entries: [] });
    const printed = execFileSync(process.execPath, [cliPath, 'disk'], { env: server.env, encoding: 'utf8' });
    assert.match(printed, /free; nothing new below 2048\.0 MiB\n/);
    assert.match(printed, /^default +sandbox +1 +\d/m);
  });

  it('takes nothing new before it is full, and says so; what runs goes on', async () => {
    const ballast = join(disk, 'ballast');
    const { bavail, bsize } = statfsSync(disk);
    const mib = Math.ceil((bavail * bsize) / 1024 ** 2 - reservedMib);
    execFileSync('fallocate', ['-l', `${mib + 1}M`, ballast]);
    const full = { code: 'no_capacity' };
    const { client, url, apiKey } = server;
    try {
      await assert.rejects(Sandbox.create({ url, apiKey }), full);
      await assert.rejects(
        client.templates.buildFrom('more', { dockerfile: 'FROM template://base\nRUN true' }),
        full,
      );
      await assert.rejects(client.volumes.create({ name: 'more', quotaMib: 16 }), full);
      await assert.rejects(sbx.snapshot(), full);
      const context = join(scratch, 'context');
      mkdirSync(context);
      writeFileSync(join(context, 'file'), newId());
      await assert.rejects(
        client.templates.buildFrom('more', { dockerfile: 'FROM template://base\nCOPY file /', context }),
        full,
      );
      assert.equal((await sbx.exec('echo on')).stdout, 'on\n');
    } finally {
      rmSync(ballast);
    }
    await using again = await Sandbox.create({ url, apiKey });
    assert.equal((await again.exec('echo again')).stdout, 'again\n');
  });

  it('is cleaned of what nobody owns, and of nothing else', async () => {
    const { client, dataDir } = server;
    const old = new Date(Date.now() - 3_600_000);
    const planted = ['sandboxes', 'snapshots', 'volumes', 'caches', 'layers/store'].map((folder) => {
      const id = /caches|store/.test(folder) ? newId(8).replaceAll(/./g, '0a1b2c3d') : newId();
      const path = join(dataDir, folder, id);
      mkdirSync(path);
      writeFileSync(join(path, folder === 'layers/store' ? 'manifest.json' : 'left'), '{"bytes":1}');
      utimesSync(path, old, old);
      return { id, path };
    });
    const young = join(dataDir, 'sandboxes', newId());
    mkdirSync(young);
    const named = (entries: readonly { id: string }[]): string[] => entries.map(({ id }) => id).sort();
    const expected = planted.map(({ id }) => id).sort();
    assert.deepEqual(named((await client.disk.clean({ dryRun: true })).entries), expected);
    assert.ok(planted.every(({ path }) => existsSync(path)));
    assert.deepEqual(named((await client.disk.clean()).entries), expected);
    assert.ok(!planted.some(({ path }) => existsSync(path)));
    assert.ok(existsSync(young));
    assert.deepEqual((await client.disk.clean()).entries, []);
    assert.equal((await sbx.exec('stat -c %s big')).stdout, '20000000\n');
    await using built = await Sandbox.create({ url: server.url, apiKey: server.apiKey, template: 'small' });
    assert.equal((await built.exec('ls /b')).stdout, '/b\n');
    const { key } = await client.keys.create({ name: 'tenant', scope: 'tenant', tenantId: 'default' });
    await assert.rejects(
      new Casemate({ url: server.url, apiKey: key }).disk.clean(),
      (error: CasemateError) => error.code === 'forbidden',
    );
  });
});
