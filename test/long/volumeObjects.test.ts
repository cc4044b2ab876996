/** Volumes into a bucket and back, against a real object store (moto, of PyPI). */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Sandbox, type Volume } from '../../sdk/typescript/src/index.ts';
import { pythonWith } from '../system/python.ts';
import { cliPath, missingForServer, startServer, type TestServer } from '../system/server.ts';

const script = fileURLToPath(new URL('objectStore.py', import.meta.url));
const python = await pythonWith('moto', ['moto[s3,server]>=5.1,<6']);

describe('volumes in an object store', { skip: missingForServer() ?? python.missing ?? false }, () => {
  let server: TestServer;
  let store: ChildProcess;
  let endpoint: string;
  let keys: { AWS_ACCESS_KEY_ID: string; AWS_SECRET_ACCESS_KEY: string };
  before(async () => {
    server = await startServer();
    const port = await freePort();
    endpoint = `http://127.0.0.1:${port}`;
    store = spawn(join(dirname(python.path), 'moto_server'), ['-H', '127.0.0.1', '-p', String(port)], {
      stdio: 'ignore',
    });
    for (let round = 0; round < 300 && !(await answers(`${endpoint}/moto-api/`)); round += 1)
      await sleep(100);
    const { id, secret } = ask('set_up') as { id: string; secret: string };
    keys = { AWS_ACCESS_KEY_ID: id, AWS_SECRET_ACCESS_KEY: secret };
  });
  after(async () => {
    const gone = once(store, 'exit');
    store.kill();
    await gone;
    await server.close();
  });

  const ask = (verb: string, ...args: unknown[]): unknown =>
    JSON.parse(
      execFileSync(python.path, [script, endpoint, JSON.stringify([verb, args])], {
        env: { ...process.env, ...keys },
        encoding: 'utf8',
      }),
    );
  const cli = (args: string[], env: Record<string, string> = keys): { code: number | null; said: string } => {
    const { status, stdout, stderr } = spawnSync(
      cliPath,
      ['volume', ...args, '--endpoint', endpoint, '--json'],
      { env: { ...server.env, AWS_EC2_METADATA_DISABLED: 'true', ...env }, encoding: 'utf8' },
    );
    return { code: status, said: `${stdout}${stderr}` };
  };
  const seen = async (volume: Volume): Promise<unknown> =>
    (await volume.files.list('/', { depth: 8 })).map(
      ({ path, type, mode, uid, gid, size, target, modifiedAt }) => ({
        ...{ path, type, mode, uid, gid, target, modifiedAt },
        size: type === 'file' ? size : 0,
      }),
    );
  const names = async (): Promise<string[]> => (await server.client.volumes.list()).map(({ name }) => name);
  const large = randomBytes(20_000_000).toString('base64');

  it('are objects that others read, with parts for large files, and come back as they were', async () => {
    const volume = await server.client.volumes.create({ name: 'data', quotaMib: 128, quotaInodes: 3000 });
    await volume.files.write('large', large);
    await using sbx = await Sandbox.create({
      ...{ url: server.url, apiKey: server.apiKey },
      volumes: [{ volume: 'data', path: '/data' }],
    });
    const laid =
      await sbx.exec(`cd /data && mkdir -p a/b empty && echo words > 'a/b/sp ace+&ü%2f.txt' && : > none &&
      ln none a/second && ln -s ../x a/link && chmod 640 none && chmod 1750 empty && touch -d @1234567890.5 none empty &&
      for n in $(seq 40); do echo $n > a/b/$n; done`);
    assert.equal(laid.exitCode, 0, laid.stderr);
    const { code, said } = cli(['export', 'data', 's3://bucket/out']);
    assert.equal(code, 0, said);
    assert.match(said, /"type":"done".*"files":43/);
    const objects = ask('listed', 'out/') as Record<string, { size: number; etag: string; metadata: object }>;
    assert.equal(Object.keys(objects).length, 44);
    assert.equal(objects['out/a/b/sp ace+&ü%2f.txt']?.size, 6);
    assert.match(objects['out/large']?.etag ?? '', /-4"$/, 'in four parts');
    assert.ok(
      objects['out/a/second'] === undefined || objects['out/none'] === undefined,
      'one object a file',
    );
    const { metadata } = objects['out/none'] ?? objects['out/a/second'] ?? {};
    assert.deepEqual(metadata, { mode: '100640', uid: '1000', gid: '1000', mtime: '1234567890.5' });

    const back = cli(['import', 's3://bucket/out/', 'back']);
    assert.equal(back.code, 0, back.said);
    assert.match(back.said, /"checked":"sizes and SHA-256"/);
    const restored = await server.client.volumes.get('back');
    assert.deepEqual(await seen(restored), await seen(volume));
    assert.equal(await restored.files.read('large'), large);
    const { quotaMib, quotaInodes } = await restored.info();
    assert.deepEqual([quotaMib, quotaInodes], [128, 3000]);
  });

  it('are not there when an object is another one, is gone, or the keys are wrong', async () => {
    const volume = await server.client.volumes.create({ name: 'small', quotaMib: 32 });
    await volume.files.write('in/file', 'words', { parents: true });
    assert.equal(cli(['export', 'small', 's3://bucket/small']).code, 0);
    const before = await names();
    const refused = (code: string, what: RegExp): void => {
      const { code: exit, said } = cli(['import', 's3://bucket/small', 'bad']);
      assert.equal(exit, 1, said);
      assert.match(said, new RegExp(`"code":"${code}"`));
      assert.match(said, what);
    };
    ask('put', 'small/in/file', 'wordz');
    refused('backup_damaged', /in\/file is another one: its SHA-256/);
    ask('put', 'small/in/file', 'more words');
    refused('backup_damaged', /it has 10 bytes, and had 5/);
    ask('remove', 'small/in/file');
    refused('not_found', /in\/file: NoSuchKey/);
    ask('put', 'small/in/file', 'words');
    const signed = async (calls: string): Promise<unknown> =>
      fetch(`${endpoint}/moto-api/reset-auth`, { method: 'POST', body: calls });
    await signed('0'); // from now on the store checks signatures
    const wrong = cli(['import', 's3://bucket/small', 'bad'], { ...keys, AWS_SECRET_ACCESS_KEY: 'wrong' });
    assert.match(wrong.said, /"code":"forbidden"/);
    const right = cli(['import', 's3://bucket/small', 'right']);
    assert.equal(right.code, 0, right.said);
    await signed('inf');
    await (await server.client.volumes.get('right')).remove();
    assert.deepEqual(await names(), before);
  });

  it('may come from others, whose keys must be paths', async () => {
    ask('put', 'plain/deep/file', 'words', { mode: '100600', mtime: '1234567890' });
    ask('put', 'plain/deep/', '');
    const { code, said } = cli(['import', 's3://bucket/plain', 'plain', '--quota', '32']);
    assert.equal(code, 0, said);
    assert.match(said, /"checked":"sizes"/);
    const plain = await server.client.volumes.get('plain');
    assert.equal(await plain.files.read('deep/file'), 'words');
    const { mode, uid, modifiedAt } = await plain.files.stat('deep/file');
    assert.deepEqual([mode, uid, modifiedAt], [0o600, 1000, '2009-02-13T23:31:30.000Z']);
    const before = await names();
    for (const key of ['x/../../evil', 'x//evil', './evil', `${'d'.repeat(300)}/evil`]) {
      ask('put', `evil/${key}`, 'x');
      const evil = cli(['import', 's3://bucket/evil', 'evil']);
      assert.match(evil.said, /"code":"file_invalid"/, key);
      ask('remove', `evil/${key}`);
    }
    assert.deepEqual(await names(), before);
  });

  it('are refused whole where a file can be no object', async () => {
    const volume = await server.client.volumes.create({ name: 'strange', quotaMib: 32 });
    await volume.files.write('line\nfeed', 'x');
    const { code, said } = cli(['export', 'strange', 's3://bucket/strange']);
    assert.equal(code, 1);
    assert.match(said, /"code":"file_invalid".*control characters.*volume backup/s);
    assert.deepEqual(ask('listed', 'strange/'), {}, 'no manifest');
  });
});

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  probe.close();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

async function answers(url: string): Promise<boolean> {
  return fetch(url).then(
    () => true,
    () => false,
  );
}
