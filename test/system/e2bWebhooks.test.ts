/** E2B's webhooks on a live server: signed, told again after a failure and after a restart, and with a log of it all. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ConnectionOpts, Sandbox } from 'e2b';
import { missingForServer, startServer, stopProcess, type TestServer } from './server.ts';

interface Told {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly event: {
    readonly type: string;
    readonly sandboxId: string;
    readonly eventData: { readonly execution?: { readonly execution_time: number } } | null;
  };
}

interface Delivery {
  readonly id: string;
  readonly status: string;
  readonly eventType: string;
  readonly error: string | null;
  readonly attempts: readonly { readonly responseStatus: number | null }[];
}

describe('E2B’s webhooks', { skip: missingForServer() ?? false }, () => {
  const secret = 'a secret of the receiver';
  const told: Told[] = [];
  const statuses: number[] = [];
  let receiver: Server;
  let address: string;
  let server: TestServer;

  before(async () => {
    receiver = createServer((request, response) => {
      let body = '';
      request.setEncoding('utf8').on('data', (text: string) => {
        body += text;
      });
      request.once('end', () => {
        told.push({ headers: request.headers, body, event: JSON.parse(body) as Told['event'] });
        response.writeHead(statuses.shift() ?? 200).end();
      });
    });
    await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
    const at = receiver.address();
    address = `http://127.0.0.1:${typeof at === 'object' && at !== null ? at.port : 0}/hook`;
    server = await startServer();
  });
  after(async () => {
    await server?.close();
    receiver.close();
  });

  const options = (): ConnectionOpts => ({
    apiUrl: server.url,
    sandboxUrl: server.url,
    apiKey: server.apiKey.replace('casemate_', 'e2b_'),
  });

  async function call<Answer>(
    method: string,
    path: string,
    body?: object,
    key = server.apiKey,
  ): Promise<Answer> {
    const answer = await fetch(`${server.url}/events/webhooks${path}`, {
      method,
      headers: { 'x-api-key': key, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    assert.ok(answer.ok, `${answer.status} ${text}`);
    return (text === '' ? undefined : JSON.parse(text)) as Answer;
  }

  async function until(met: () => boolean | Promise<boolean>): Promise<void> {
    for (let round = 0; round < 300; round += 1) {
      if (await met()) return;
      await sleep(100);
    }
    throw new Error('it has not come to be');
  }

  const hook = (events: readonly string[]): object => ({
    name: 'mine',
    url: address,
    events: events.map((name) => `sandbox.lifecycle.${name}`),
    signatureSecret: secret,
  });

  it('tell each event once, signed, and again where the first answer was bad', async () => {
    const made = await call<{ id: string; events: string[] }>('POST', '', hook(['created', 'killed']));
    assert.deepEqual(made.events, ['sandbox.lifecycle.created', 'sandbox.lifecycle.killed']);
    assert.ok(!JSON.stringify(await call('GET', '')).includes(secret));
    statuses.push(500);
    const sandbox = await Sandbox.create({ ...options(), metadata: { user: 'ada' } });
    await sandbox.setTimeout(60_000); // nobody asked to be told of that
    await sandbox.kill();
    await until(() => told.length === 3);
    const types = told.map(({ event }) => event.type).sort();
    assert.deepEqual(types, [
      'sandbox.lifecycle.created',
      'sandbox.lifecycle.created',
      'sandbox.lifecycle.killed',
    ]);
    for (const { headers, body, event } of told) {
      const signature = createHash('sha256')
        .update(secret + body)
        .digest('base64');
      assert.equal(
        headers['e2b-signature'],
        signature.replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, ''),
      );
      assert.equal(headers['e2b-webhook-id'], made.id);
      assert.equal(event.sandboxId, sandbox.sandboxId);
    }
    const killed = told.find(({ event }) => event.type.endsWith('killed'));
    assert.ok((killed?.event.eventData?.execution?.execution_time ?? -1) >= 0);
    const log = await call<Delivery[]>('GET', `/${made.id}/deliveries`);
    assert.deepEqual(
      log.map(({ status, eventType, attempts }) => [
        eventType,
        status,
        attempts.map(({ responseStatus }) => responseStatus),
      ]),
      [
        ['sandbox.lifecycle.killed', 'delivered', [200]],
        ['sandbox.lifecycle.created', 'delivered', [500, 200]],
      ],
    );
    assert.deepEqual(await call('GET', `/${made.id}/stats`), {
      total: 2,
      delivered: 2,
      failed: 0,
      pending: 0,
      attempts: 3,
    });
    assert.equal(new Set(told.map(({ headers }) => headers['e2b-delivery-id'])).size, 2);
    await call('PATCH', `/${made.id}`, { enabled: false });
    await (await Sandbox.create(options())).kill();
    await call('DELETE', `/${made.id}`);
    assert.deepEqual(await call('GET', ''), []);
    assert.equal(told.length, 3);
  });

  it('go on after the server was started again', async () => {
    const made = await call<{ id: string }>('POST', '', hook(['created']));
    statuses.push(503);
    told.length = 0;
    const sandbox = await Sandbox.create(options());
    await until(() => told.length === 1);
    await stopProcess(server.process);
    server = await startServer({ dataDir: server.dataDir });
    await until(() => told.length === 2);
    assert.equal(told[0]?.headers['e2b-delivery-id'], told[1]?.headers['e2b-delivery-id']);
    await call('DELETE', `/${made.id}`);
    await Sandbox.kill(sandbox.sandboxId, options());
  });

  it('reach only public addresses, unless an administrator made them', async () => {
    const { key } = await server.client.keys.create({ name: 'tenant', scope: 'tenant' });
    told.length = 0;
    for (const host of ['127.0.0.1', 'localhost']) {
      const body = { ...hook(['created']), url: address.replace('127.0.0.1', host) };
      const made = await call<{ id: string }>('POST', '', body, key);
      const sandbox = await Sandbox.create({ ...options(), apiKey: key.replace('casemate_', 'e2b_') });
      await sandbox.kill();
      const log = (): Promise<Delivery[]> => call('GET', `/${made.id}/deliveries`, undefined, key);
      await until(async () => (await log())[0]?.error !== null);
      assert.match((await log())[0]?.error ?? '', new RegExp(`^${host} is not public`));
      await call('DELETE', `/${made.id}`, undefined, key);
    }
    assert.equal(told.length, 0);
    await assert.rejects(call('POST', '', { ...hook(['created']), url: 'file:///etc/passwd' }), /400/);
    await assert.rejects(call('POST', '', hook(['born'])), /400/);
  });
});
