/** Secrets through the whole product: used by sandboxes that never hold them, and found nowhere but at their hosts. */
import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type EgressPolicy, Sandbox } from '../../sdk/typescript/src/index.ts';
import { type Arrived, Outside } from './secrets/outside.ts';
import { canary, scan } from './secrets/scan.ts';
import { missingForServer, startServer, stopProcess, type TestServer } from './server.ts';

const vault = 'vault.casemate.test';
const other = 'other.casemate.test';

describe('secrets', { skip: missingForServer() ?? false }, () => {
  let outside: Outside;
  let server: TestServer;
  const logFolder = mkdtempSync(join(tmpdir(), 'casemate-secrets-'));
  const logFile = join(logFolder, 'server.log');
  const log = openSync(logFile, 'a');
  before(async () => {
    outside = new Outside([vault, other]);
    await outside.ready();
    server = await startServer({
      launcher: outside.launcher,
      env: { NODE_EXTRA_CA_CERTS: outside.certificate },
      log,
    });
  });
  after(async () => {
    await server?.close().finally(() => outside?.close());
    closeSync(log);
    rmSync(logFolder, { recursive: true });
  });

  const open = (...rules: NonNullable<EgressPolicy['allow']>): EgressPolicy => ({
    allow: [...rules, ...[vault, other].map((host) => ({ host, inspect: true, allowPrivate: true }))],
  });
  const create = (secrets: readonly string[], policy = open()): Promise<Sandbox> =>
    Sandbox.create({ url: server.url, apiKey: server.apiKey, timeoutMs: 600_000, secrets, policy });
  const shell = async (sbx: Sandbox, command: string): Promise<string> => {
    const { stdout, stderr, exitCode } = await sbx.exec(command);
    assert.equal(exitCode, 0, stderr + stdout);
    return stdout;
  };
  const arrivedAt = (path: string): Arrived[] => outside.arrived.filter(({ url }) => url.startsWith(path));

  it('are set and never read back, and another tenant has none of them', async () => {
    const { secrets } = server.client;
    const value = canary();
    const made = await secrets.set('write-only', { value, hosts: ['API.Example.com.'], env: 'SOME_KEY' });
    assert.deepEqual(
      [made.version, made.hosts, made.env],
      [1, ['api.example.com'], 'SOME_KEY'],
      JSON.stringify(made),
    );
    const again = await secrets.set('write-only', { value: canary(), hosts: ['*.example.com'] });
    assert.deepEqual([again.version, again.env], [2, 'SOME_KEY']);
    assert.deepEqual(await secrets.get('write-only'), again);
    assert.ok((await secrets.list()).some(({ name }) => name === 'write-only'));
    const { key } = await server.client.keys.create({ name: 'other', scope: 'tenant', tenantId: 'other' });
    const { Casemate } = await import('../../sdk/typescript/src/index.ts');
    const stranger = new Casemate({ url: server.url, apiKey: key });
    await assert.rejects(stranger.secrets.get('write-only'), { code: 'not_found' });
    assert.deepEqual(await stranger.secrets.list(), []);
    await assert.rejects(Sandbox.create({ url: server.url, apiKey: key, secrets: ['write-only'] }), {
      code: 'not_found',
    });
    await assert.rejects(secrets.set('write-only', { value, hosts: ['*'] }), (error: Error) => {
      assert.ok(!error.message.includes(value));
      return true;
    });
    await secrets.remove('write-only');
    await assert.rejects(secrets.get('write-only'), { code: 'not_found' });
  });

  it('reach their hosts alone, and say why not elsewhere; a new value reaches running sandboxes', async () => {
    const { secrets } = server.client;
    const [first, second] = [canary(), canary()];
    await secrets.set('moving', { value: first, hosts: [vault] });
    const sbx = await create(['moving']);
    assert.deepEqual((await sbx.info()).secrets, ['moving']);
    const bearer = `-H "Authorization: Bearer $MOVING"`;
    const status = (way: string): Promise<string> => shell(sbx, `curl -s -m 10 ${way}`);
    assert.equal(await status(`${bearer} https://${vault}/moving/1`), 'served\n');
    assert.equal(arrivedAt('/moving/1')[0]?.headers.authorization, `Bearer ${first}`);
    for (const way of [
      `${bearer} https://${other}/no`,
      `${bearer} http://${vault}/no`,
      `-d "key=$MOVING" https://${other}/no`,
      `-d "key=$MOVING" http://${vault}/no`,
      `-H 'Content-Encoding: gzip' --data-binary @/tmp/packed https://${vault}/no`,
    ]) {
      await sbx.exec('printf %s "$MOVING" | gzip > /tmp/packed');
      const refused = JSON.parse(await status(way)) as { code: string; hint: string };
      assert.equal(refused.code, 'secret_refused', way);
      assert.match(refused.hint, /moving/, way);
    }
    assert.equal(arrivedAt('/no').length, 0);
    await secrets.set('moving', { value: second, hosts: [vault] });
    assert.equal(await status(`-d "$MOVING" https://${vault}/moving/2`), 'served\n');
    assert.equal(arrivedAt('/moving/2')[0]?.body, second);
    await secrets.remove('moving');
    const gone = JSON.parse(await status(`${bearer} https://${vault}/moving/3`)) as { hint: string };
    assert.match(gone.hint, /removed/);
    await sbx.kill();
  });

  it('are sealed in the database: with another key nothing opens, and nothing starts without them', async () => {
    const value = canary();
    const options = { dataDir: mkdtempSync(join(tmpdir(), 'casemate-test-')), log };
    let sealed = await startServer(options);
    try {
      await sealed.client.secrets.set('sealed', { value, hosts: [vault] });
      await stopProcess(sealed.process);
      rmSync(join(sealed.dataDir, 'server', 'secrets.key'));
      sealed = await startServer(options);
      const attempt = { url: sealed.url, apiKey: sealed.apiKey, secrets: ['sealed'] };
      await assert.rejects(Sandbox.create(attempt), { code: 'secret_unreadable' });
      assert.equal((await sealed.client.secrets.get('sealed')).version, 1);
      assert.deepEqual(scan({ needles: { value }, paths: [sealed.dataDir, logFile] }).found.value, []);
      await sealed.client.secrets.set('sealed', { value, hosts: [vault] });
      const sbx = await Sandbox.create(attempt);
      await sbx.kill();
    } finally {
      await sealed.close();
    }
  });
});
