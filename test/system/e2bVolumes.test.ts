/** Volumes by E2B's SDKs: their files without a sandbox, and in two of them. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type ConnectionOpts, Sandbox, Volume, VolumeNotFoundError, VolumePathNotFoundError } from 'e2b';
import { pythonWith, run, scriptArgv } from './python.ts';
import { missingForServer, startServer, type TestServer } from './server.ts';

describe('volumes by E2B’s SDKs', { skip: missingForServer() ?? false }, () => {
  let server: TestServer;
  let options: ConnectionOpts;
  before(async () => {
    server = await startServer();
    process.env.E2B_VOLUME_API_URL = server.url;
    options = {
      apiUrl: server.url,
      sandboxUrl: server.url,
      apiKey: server.apiKey.replace('casemate_', 'e2b_'),
    };
  });
  after(() => server.close());

  it('have files that are reached without a sandbox, by their own token', async () => {
    const volume = await Volume.create('files', options);
    const written = await volume.writeFile('/notes/a.txt', 'words', { force: true, mode: 0o640 });
    assert.deepEqual(
      [written.name, written.path, written.type, written.size, written.mode, written.uid],
      ['a.txt', '/notes/a.txt', 'file', 5, 0o640, 1000],
    );
    assert.equal(await volume.readFile('/notes/a.txt'), 'words');
    const bytes = new Uint8Array(300_000).map((_, at) => at % 251);
    await volume.writeFile('notes/b.bin', new Blob([bytes]));
    assert.deepEqual(await volume.readFile('notes/b.bin', { format: 'bytes' }), bytes);
    let streamed = 0;
    for await (const piece of await volume.readFile('notes/b.bin', { format: 'stream' }))
      streamed += piece.length;
    assert.equal(streamed, bytes.length);
    assert.equal((await volume.makeDir('deep/er', { force: true })).type, 'directory');
    const listed = await volume.list('/', { depth: 2 });
    assert.deepEqual(listed.map(({ path }) => path).sort(), [
      '/deep',
      '/deep/er',
      '/notes',
      '/notes/a.txt',
      '/notes/b.bin',
    ]);
    const changed = await volume.updateMetadata('/notes/a.txt', { uid: 0, mode: 0o600 });
    assert.deepEqual([changed.uid, changed.mode], [0, 0o600]);
    assert.equal((await volume.getInfo('/notes/a.txt')).mode, 0o600);
    assert.equal(await volume.exists('/nothing'), false);
    await assert.rejects(volume.readFile('/nothing'), VolumePathNotFoundError);
    await volume.remove('/notes');
    assert.equal(await volume.exists('/notes/a.txt'), false);
    const other = await Volume.create('other', options);
    const crossed = new Volume(other.volumeId, 'other', volume.token, volume.domain);
    await assert.rejects(crossed.list('/'), /401|another volume/);
    for (const { volumeId } of [volume, other]) assert.equal(await Volume.destroy(volumeId, options), true);
    assert.equal(await Volume.destroy(volume.volumeId, options), false);
    await assert.rejects(Volume.getInfo(volume.volumeId, options), VolumeNotFoundError);
  });

  it('are seen by two sandboxes, and by the one that comes after', async () => {
    const volume = await Volume.create('shared', options);
    assert.ok((await Volume.list(options)).some(({ volumeId }) => volumeId === volume.volumeId));
    await volume.writeFile('from-outside', 'outside');
    const create = (): Promise<Sandbox> => Sandbox.create({ ...options, volumeMounts: { '/data': volume } });
    const [one, two] = await Promise.all([create(), create()]);
    assert.deepEqual((await one.getInfo()).volumeMounts, [{ name: 'shared', path: '/data' }]);
    assert.equal((await one.commands.run('cat /data/from-outside; echo one > /data/one')).stdout, 'outside');
    assert.equal((await two.commands.run('cat /data/one')).stdout, 'one\n');
    await assert.rejects(Volume.destroy(volume.volumeId, options), /in use/);
    await Promise.all([one.kill(), two.kill()]);
    const later = await Sandbox.create({ ...options, volumeMounts: { '/other': 'shared' } });
    assert.equal((await later.commands.run('cat /other/one')).stdout, 'one\n');
    await later.kill();
    const again = await Volume.connect(volume.volumeId, options);
    assert.equal(await again.readFile('one'), 'one\n');
    assert.equal(await Volume.destroy(volume.volumeId, options), true);
    await assert.rejects(
      Sandbox.create({ ...options, volumeMounts: { '/data': 'shared' } }),
      /404|no volume/i,
    );
  });

  it('work with Python’s SDK', async (test) => {
    const python = await pythonWith('e2b-python-2.63.0', ['e2b==2.63.0']);
    if (python.missing !== undefined) return test.skip(python.missing);
    const script = fileURLToPath(new URL('e2b_python/volume_checks.py', import.meta.url));
    const { code, output } = await run(python.path, scriptArgv(script), {
      E2B_API_URL: server.url,
      E2B_SANDBOX_URL: server.url,
      E2B_VOLUME_API_URL: server.url,
      E2B_API_KEY: options.apiKey ?? '',
    });
    assert.equal(code, 0, output);
    for (const name of ['files', 'mounted']) assert.match(output, new RegExp(`^ok ${name}$`, 'm'));
  });
});
