/** The API as a stranger sees it: bad input and other tenants' ids, on every route of the document that it serves. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { CasemateError, Sandbox } from '../../sdk/typescript/src/index.ts';
import { probeBadInput, probeTenants } from './api/probes.ts';
import { missingForServer, startServer, type TestServer } from './server.ts';

describe('the API', { skip: missingForServer() ?? false }, () => {
  let server: TestServer;
  before(async () => {
    server = await startServer({ pools: ['base=2'] });
  });
  after(() => server.close());

  it('refuses bad input to every route with a stable code', async () => {
    const { probes, faults } = await probeBadInput({ baseUrl: server.url, key: server.apiKey });
    assert.ok(probes > 300, `${probes} probes`);
    assert.deepEqual(faults, []);
  });

  it('answers 404 for another tenant’s sandbox on every route', async () => {
    const foreign = await Sandbox.create({ url: server.url, apiKey: server.apiKey });
    const { key } = await server.client.keys.create({ name: 'other', scope: 'tenant', tenantId: 'other' });
    const { probes, faults } = await probeTenants({ baseUrl: server.url, key, foreignSandboxId: foreign.id });
    assert.ok(probes > 10, `${probes} probes`);
    assert.deepEqual(faults, []);
    await foreign.kill();
  });

  it('makes exactly one sandbox of 100 parallel creates with one key', async () => {
    const options = {
      url: server.url,
      apiKey: server.apiKey,
      idempotencyKey: 'once',
      metadata: { for: 'once' },
    };
    const made = await Promise.all(Array.from({ length: 100 }, () => Sandbox.create(options)));
    assert.equal(new Set(made.map(({ id }) => id)).size, 1);
    await assert.rejects(Sandbox.create({ ...options, metadata: { for: 'twice' } }), {
      code: 'idempotency_conflict',
    });
    const listed: string[] = [];
    for await (const { id } of Sandbox.list({ ...options, metadata: { for: 'once' } })) listed.push(id);
    assert.deepEqual(listed, [made[0]?.id]);
    await made[0]?.kill();
  });

  it('confines a key to its sandbox', async () => {
    const mine = await Sandbox.create({ url: server.url, apiKey: server.apiKey });
    const { key } = await server.client.keys.create({ name: 'one', scope: `sandbox:${mine.id}` });
    const confined = await Sandbox.connect(mine.id, { url: server.url, apiKey: key });
    assert.equal((await confined.exec(['echo', 'hi'])).stdout, 'hi\n');
    await assert.rejects(
      Sandbox.create({ url: server.url, apiKey: key }),
      (error) => error instanceof CasemateError && error.code === 'forbidden',
    );
    await mine.kill();
  });
});
