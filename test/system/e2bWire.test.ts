/** E2B's wire as no SDK sends it: uploads that break off, bodies that are not what they say, routes that are not served. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Sandbox } from 'e2b';
import { missingForServer, startServer, type TestServer } from './server.ts';

describe('E2B’s wire', { skip: missingForServer() ?? false }, () => {
  let server: TestServer;
  let sandbox: Sandbox;
  let token: string;
  before(async () => {
    server = await startServer();
    const apiKey = server.apiKey.replace('casemate_', 'e2b_');
    sandbox = await Sandbox.create({ apiUrl: server.url, sandboxUrl: server.url, apiKey });
    const made = await fetch(`${server.url}/v2/sandboxes/${sandbox.sandboxId}/connect`, {
      method: 'POST',
      headers: { 'x-api-key': apiKey, 'content-type': 'application/json' },
      body: '{}',
    });
    token = ((await made.json()) as { envdAccessToken: string }).envdAccessToken;
  });
  after(() => server.close());

  const boundary = { 'content-type': 'multipart/form-data; boundary=B' };
  const bytes = { 'content-type': 'application/octet-stream' };
  const part =
    '--B\r\ncontent-disposition: form-data; name="file"; filename="old.txt"\r\ncontent-type: application/octet-stream\r\n\r\n';
  const half = 'new'.repeat(50_000);

  function send(
    path: string,
    headers: Record<string, string>,
    body: string,
    method = 'POST',
  ): Promise<Response> {
    return fetch(`${server.url}${path}`, { method, headers: { 'x-access-token': token, ...headers }, body });
  }

  /** Sends the beginning of a request and cuts the connection. */
  async function cutOff(headers: Record<string, string>, body: string): Promise<void> {
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
    const all = { host: 'x', 'x-access-token': token, 'content-length': '1000000', ...headers };
    const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.write(`POST /files?path=old.txt HTTP/1.1\r\n${lines.join('')}\r\n${body}`);
    await sleep(300);
    socket.destroy();
  }

  it('leaves the old file when an upload breaks off, and nothing beside it', async () => {
    await sandbox.files.write('old.txt', 'old');
    await cutOff(boundary, part + half);
    await cutOff(bytes, half);
    await cutOff({ ...bytes, 'content-encoding': 'gzip' }, half);
    assert.equal((await send('/files?path=old.txt', boundary, part + half)).status, 400);
    assert.equal(await sandbox.files.read('old.txt'), 'old');
    const left = (await sandbox.files.list('.')).filter(({ name }) => name.startsWith('.casemate'));
    assert.deepEqual(left, []);
  });

  it('answers what it cannot read with 400', async () => {
    const zipped = { ...bytes, 'content-encoding': 'gzip' };
    assert.equal((await send('/files?path=old.txt', zipped, 'not gzip')).status, 400);
    assert.equal(
      (await send('/files?path=old.txt', { 'content-type': 'multipart/form-data' }, 'x')).status,
      400,
    );
    assert.equal((await send('/files', bytes, 'x')).status, 400);
    const pid = await send(
      '/process.Process/SendInput',
      { 'content-type': 'application/json' },
      '{"process":{"pid":-1}}',
    );
    assert.equal(pid.status, 400);
  });

  it('serves no route of the agent that is not for clients', async () => {
    for (const path of ['/init', '/freeze', '/fsfreeze', '/upgrade', '/files/compose']) {
      assert.equal((await send(path, bytes, 'x')).status, 404, path);
    }
    assert.equal((await send('/files?path=old.txt', bytes, 'x', 'DELETE')).status, 404);
  });

  it('lets one sandbox’s token open no other', async () => {
    const other = await Sandbox.create({
      apiUrl: server.url,
      sandboxUrl: server.url,
      apiKey: server.apiKey.replace('casemate_', 'e2b_'),
    });
    const headers = {
      'e2b-sandbox-id': other.sandboxId,
      'e2b-sandbox-port': '49983',
      'content-type': 'application/json',
    };
    assert.equal((await send('/process.Process/List', headers, '{}')).status, 401);
    const forged = { ...headers, 'x-access-token': token.replace(sandbox.sandboxId, other.sandboxId) };
    assert.equal((await send('/process.Process/List', forged, '{}')).status, 401);
    assert.equal(
      (await fetch(`${server.url}/files?path=old.txt&signature=v1_${'A'.repeat(43)}`)).status,
      401,
    );
    await other.kill();
  });
});
