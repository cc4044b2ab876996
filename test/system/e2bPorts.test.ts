/** Previews: HTTP to servers inside a sandbox by host, with and without a token, and with servers that mean harm. */
import { Sandbox as Interpreter, TimeoutError } from '@e2b/code-interpreter';
import assert from 'node:assert/strict';
import { request as httpRequest } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ConnectionOpts, Sandbox } from 'e2b';
import { missingForServer, startServer, type TestServer } from './server.ts';

/** Answers the host and the path that it was asked for. */
const echo = `node -e "require('http').createServer((q, r) => r.end(q.headers.host + ' ' + q.url)).listen(3000)"`;

describe('ports of E2B’s sandboxes', { skip: missingForServer() ?? false }, () => {
  let server: TestServer;
  let options: ConnectionOpts;
  before(async () => {
    server = await startServer();
    const apiKey = server.apiKey.replace('casemate_', 'e2b_');
    options = { apiUrl: server.url, sandboxUrl: server.url, apiKey };
  });
  after(() => server.close());

  it('reaches a server inside by host, and says when there is none', async () => {
    const python = await Sandbox.create('python', options);
    const running = await python.commands.run(echo, { background: true });
    const host = python.getHost(3000);
    assert.equal(host, `3000-${python.sandboxId}.localhost:${new URL(server.url).port}`);
    let answer = await get(server.url, host, '/path?q=1');
    for (let i = 0; i < 100 && answer.status === 502; i += 1) {
      assert.deepEqual(JSON.parse(answer.body), {
        sandboxId: python.sandboxId,
        message: 'The sandbox is running but port is not open',
        port: 3000,
        code: 502,
      });
      await sleep(100);
      answer = await get(server.url, host, '/path?q=1');
    }
    assert.equal(answer.body, `${host} /path?q=1`);
    await running.kill();
    await python.kill();
    const gone = await get(server.url, host, '/');
    assert.deepEqual(JSON.parse(gone.body), {
      sandboxId: python.sandboxId,
      message: 'The sandbox was not found',
      code: 502,
    });
  });

  it('tells a server inside the host that its sandbox is masked with', async () => {
    const network = { maskRequestHost: `app.test:\${PORT}` };
    const masked = await Sandbox.create('python', { ...options, network });
    await masked.commands.run(echo, { background: true });
    const host = masked.getHost(3000);
    let answer = await get(server.url, host, '/path');
    for (let i = 0; i < 100 && answer.status === 502; i += 1) {
      await sleep(100);
      answer = await get(server.url, host, '/path');
    }
    assert.equal(answer.body, 'app.test:3000 /path');
    assert.equal((await masked.getInfo()).network?.maskRequestHost, network.maskRequestHost);
    await masked.kill();
  });

  it('raises the class of its SDK for a port that nothing listens on', async () => {
    const sandbox = await Interpreter.create('base', options);
    await assert.rejects(sandbox.runCode('1'), TimeoutError);
    await sandbox.kill();
  });

  it('lives through servers inside that speak no HTTP, too much of it, or stop in the middle', async () => {
    const answers = [
      'no http at all\r\n\r\n',
      `HTTP/1.1 200 OK\r\nx: ${'x'.repeat(100_000)}\r\n\r\n`,
      'HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello',
      'HTTP/1.1 999999 ?\r\n\r\n',
      '',
    ];
    const program = `${JSON.stringify(answers)}.forEach((text, i) => require('net').createServer((socket) => {
      socket.on('error', () => {}).on('data', () => socket.end(text));
    }).listen(4000 + i))`;
    const hostile = await Sandbox.create('python', options);
    await hostile.files.write('hostile.js', program);
    await hostile.commands.run('node hostile.js', { background: true, timeoutMs: 0 });
    for (
      let i = 0;
      i < 100 && (await get(server.url, hostile.getHost(4004), '/')).body.includes('not open');
      i += 1
    )
      await sleep(100);
    for (const [i] of answers.entries()) {
      const { status, body } = await get(server.url, hostile.getHost(4000 + i), '/');
      assert.equal(status, 502, `${i}: ${status} ${body.slice(0, 200)}`);
      assert.match(body, /gave no answer that is HTTP/);
    }
    assert.equal(await hostile.isRunning(), true);
    await hostile.kill();
  });

  it('asks for a token where traffic is not public', async () => {
    const closed = await Sandbox.create({ ...options, network: { allowPublicTraffic: false } });
    const token = closed.trafficAccessToken ?? '';
    assert.equal((await get(server.url, closed.getHost(80), '/')).status, 403);
    assert.equal(
      (await get(server.url, closed.getHost(80), '/', { 'e2b-traffic-access-token': 'x' })).status,
      403,
    );
    const opened = await get(server.url, closed.getHost(80), '/', { 'e2b-traffic-access-token': token });
    assert.equal(opened.status, 502);
    await closed.kill();
  });
});

/** A visit by a name that need not be resolved. */
function get(
  url: string,
  host: string,
  path: string,
  headers: Record<string, string> = {},
): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(`${url}${path}`, { headers: { host, ...headers } }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => {
        body += text;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    });
    request.once('error', reject).end();
  });
}
