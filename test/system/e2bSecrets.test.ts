/** Secrets by E2B's SDKs: set in headers on their way out by a sandbox's rules, and nowhere else. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import {
  type ConnectionOpts,
  Sandbox,
  type SandboxNetworkOpts,
  Secret,
  SecretError,
  SecretNotFoundError,
} from 'e2b';
import { Sandbox as Native } from '../../sdk/typescript/src/index.ts';
import { Outside } from './secrets/outside.ts';
import { missingForServer, startServer, type TestServer } from './server.ts';

const [vault, other] = ['vault.casemate.test', 'other.casemate.test'];

describe('secrets by E2B’s SDK', { skip: missingForServer() ?? false }, () => {
  let outside: Outside;
  let server: TestServer;
  let options: ConnectionOpts;
  before(async () => {
    outside = new Outside([vault, other], 'public');
    await outside.ready();
    server = await startServer({
      launcher: outside.launcher,
      env: { NODE_EXTRA_CA_CERTS: outside.certificate },
    });
    const apiKey = server.apiKey.replace('casemate_', 'e2b_');
    options = { apiUrl: server.url, sandboxUrl: server.url, apiKey };
  });
  after(async () => {
    await server?.close().finally(() => outside?.close());
  });

  it('go where the rules say, with each new value, and are never shown', async () => {
    const [first, second] = [1, 2].map(() => `canary${randomBytes(16).toString('hex')}`) as [string, string];
    const made = await Secret.create('api-token', first, { ...options, metadata: { team: 'a' } });
    assert.deepEqual([made.name, made.version, made.metadata], ['api-token', 1, { team: 'a' }]);
    assert.ok(!JSON.stringify(made).includes(first));
    const network: SandboxNetworkOpts = {
      allowOut: [vault, other],
      denyOut: ['0.0.0.0/0'],
      rules: {
        [vault]: [{ transform: { headers: { Authorization: `Bearer ${Secret.fill('api-token')}` } } }],
      },
    };
    const sandbox = await Sandbox.create({ ...options, network });
    const curl = async (url: string): Promise<string> =>
      (await sandbox.commands.run(`curl -sS -m 10 ${url}`)).stdout;
    const headerAt = (url: string): string | undefined =>
      outside.arrived.find((arrived) => arrived.url === url)?.headers.authorization;
    assert.equal(await curl(`https://${vault}/1`), 'served\n');
    assert.equal(headerAt('/1'), `Bearer ${first}`);
    assert.equal(await curl(`-k https://${other}/2`), 'served\n');
    assert.equal(headerAt('/2'), undefined);
    assert.match(await curl(`http://${vault}/3`), /secret_refused/);
    const updated = await Secret.update('api-token', second, options);
    assert.deepEqual([updated.version, updated.metadata], [2, { team: 'a' }]);
    assert.equal(await curl(`https://${vault}/4`), 'served\n');
    assert.equal(headerAt('/4'), `Bearer ${second}`);
    const { stdout } = await sandbox.commands.run('env; cat /proc/*/environ | tr "\\0" "\\n"');
    assert.ok(!stdout.includes('canary') && !stdout.includes('casemate-secret-'));
    await assert.rejects(
      Native.create({ url: server.url, apiKey: server.apiKey, secrets: ['api-token'] }),
      /has no hosts/,
    );
    assert.equal(await Secret.destroy(updated.secretId, options), true);
    assert.match(await curl(`https://${vault}/5`), /secret_refused/);
    await sandbox.kill();
    await assert.rejects(Sandbox.create({ ...options, network }), /404|no secret/i);
  });

  it('are found by id and name, listed in pages, and missed by their own class', async () => {
    for (const name of ['ONE', 'TWO', 'three-3']) await Secret.create(name, 'value', options);
    const pages = Secret.list({ ...options, limit: 2 });
    const listed = [...(await pages.nextItems())];
    assert.equal(pages.hasNext, true);
    listed.push(...(await pages.nextItems()));
    assert.equal(pages.hasNext, false);
    assert.deepEqual(
      listed.map(({ name }) => name).filter((name) => name !== 'api-token'),
      ['ONE', 'TWO', 'three-3'],
    );
    const byId = await Secret.getInfo(listed[0]?.secretId ?? '', options);
    assert.deepEqual(byId, await Secret.getInfo('ONE', options));
    assert.equal(await Secret.exists('ONE', options), true);
    assert.equal(await Secret.exists('FOUR', options), false);
    await assert.rejects(Secret.getInfo('FOUR', options), SecretNotFoundError);
    await assert.rejects(Secret.update('FOUR', 'value', options), SecretNotFoundError);
    assert.equal(await Secret.destroy('FOUR', options), false);
    await assert.rejects(Secret.create('ONE', 'value', options), SecretError);
  });
});
