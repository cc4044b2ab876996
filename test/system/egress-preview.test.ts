/** The preview proxy is no way to metadata: whatever a visitor asks for ends at a port of the sandbox, or nowhere. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { runCommand } from '../../src/base/child.ts';
import { Sandbox } from '../../sdk/typescript/src/index.ts';
import { WorldServer } from './egress/worldServer.ts';
import { missingForServer, needTemplates } from './server.ts';

/** Tells what it was asked for, sends visitors to metadata, and tries to fetch it itself. */
const program = `
const http = require('http'), net = require('net');
const fetched = (host) => new Promise((resolve) => {
  const socket = net.connect({ host, port: 80 });
  socket.on('connect', () => resolve('open')).on('error', (error) => resolve(error.code));
  setTimeout(() => resolve('silence'), 5000);
});
http.createServer(async (request, response) => {
  if (request.url === '/away') return response.writeHead(302, { location: 'http://169.254.169.254/latest/' }).end();
  if (request.url !== '/fetch') return response.end('inside ' + request.url);
  const tried = ['169.254.169.254', '169.254.170.2', 'fd00:ec2::254', '::ffff:169.254.169.254', 'metadata.google.internal'];
  response.end((await Promise.all(tried.map(fetched))).join(' '));
}).listen(3000);`;

describe('metadata through the preview proxy', { skip: missingForServer() ?? false }, () => {
  const outside = new WorldServer();
  let sbx: Sandbox;
  before(async () => {
    await outside.start();
    await needTemplates(outside.server, ['python']);
    const { url, apiKey } = outside.server;
    sbx = await Sandbox.create({ url, apiKey, template: 'python', timeoutMs: 300_000 });
    await (await sbx.spawn(['node', '-e', program])).detach();
    // By the name that visitors use: below an address there are no names.
    const publish = `PUT /v1/sandboxes/${sbx.id}/ports/3000/public`;
    assert.match(await ask(publish, 'localhost', [`Authorization: Bearer ${apiKey}`]), /^HTTP\/1\.1 200 /);
    for (let round = 0; round < 100 && !/inside/.test(await visit('/')); round += 1) await sleep(100);
  });
  after(() => outside.close());

  const preview = (): string => `3000-${sbx.id}.localhost`;
  /** Sends a request's head as it is. */
  async function ask(line: string, host: string, headers: readonly string[] = []): Promise<string> {
    const { hostname, port } = new URL(outside.server.url);
    const socket = connect(Number(port), hostname);
    let answer = '';
    socket.on('error', () => {}).setTimeout(10_000, () => socket.destroy());
    const ended = new Promise((resolve) => socket.once('close', resolve));
    socket.setEncoding('utf8').on('data', (text: string) => {
      answer += text;
    });
    const lines = [`${line} HTTP/1.1`, `Host: ${host}`, ...headers, 'Connection: close'];
    socket.write(`${lines.join('\r\n')}\r\n\r\n`);
    await ended;
    return answer;
  }
  const visit = (path: string): Promise<string> => ask(`GET ${path}`, preview());

  it('metadata v4/v6 through the preview proxy: no request line, host, header or redirect leads there', async () => {
    const filter = ['host', '169.254.169.254', 'or', 'host', '169.254.170.2', 'or', 'host', 'fd00:ec2::254'];
    const capture = await outside.capture(outside.host, 'any', filter);
    assert.match(await visit('/'), /inside \/$/);
    for (const line of [
      'GET http://169.254.169.254/latest/meta-data/',
      'GET http://[fd00:ec2::254]/latest/meta-data/',
      'GET //169.254.169.254/latest/meta-data/',
      'CONNECT 169.254.169.254:80',
    ]) {
      const answer = await ask(line, preview());
      assert.match(answer, /^HTTP\/1\.1 (200|4\d\d) |^$/, line);
      if (answer.startsWith('HTTP/1.1 200')) assert.match(answer, /inside /, line); // the sandbox answered it
    }
    const hosts = [
      '169.254.169.254',
      '[fd00:ec2::254]',
      '[::ffff:169.254.169.254]',
      'metadata.google.internal',
    ];
    const labels = ['169.254.169.254', '169-254-169-254', 'fd00-ec2--254', 'metadata'].map(
      (name) => `80-${name}`,
    );
    const userInfo = `${preview()}@169.254.169.254`;
    for (const host of [...hosts, ...labels.map((label) => `${label}.localhost`), userInfo]) {
      assert.doesNotMatch(await ask('GET /latest/meta-data/', host), /served/, host);
    }
    const forwarded = ['X-Forwarded-Host: 169.254.169.254', 'Forwarded: host=169.254.169.254'];
    const byHeaders = ['E2b-Sandbox-Id: 169.254.169.254', 'E2b-Sandbox-Port: 80'];
    assert.match(await ask('GET /', preview(), forwarded), /inside \/$/);
    assert.match(await ask('GET /', 'localhost', byHeaders), /^HTTP\/1\.1 4/);
    const away = await visit('/away');
    assert.match(away, /^HTTP\/1\.1 302 /);
    assert.doesNotMatch(away, /served/, 'a redirect is the visitor’s affair');
    assert.deepEqual(await capture(), []);
  });

  it('metadata v4/v6 asked for by the program behind a preview is refused; the world’s own is there to be asked', async () => {
    const capture = await outside.capture(outside.host, 'any', ['host', '169.254.169.254']);
    const [v4, ecs, v6, mapped, name] = ((await visit('/fetch')).split('\r\n\r\n')[1] ?? '').split(' ');
    assert.deepEqual([v4, ecs], ['ECONNREFUSED', 'ECONNREFUSED']);
    for (const failed of [v6, mapped])
      assert.match(failed ?? '', /^E(NETUNREACH|CONNREFUSED|HOSTUNREACH|ADDRNOTAVAIL)$/);
    assert.equal(name, 'ENOTFOUND');
    const asked = ['curl', '-sS', '-m', '5', 'http://169.254.169.254/control'];
    const control = await runCommand(['ip', 'netns', 'exec', outside.host, ...asked]);
    assert.match(control.stdout, /^served 169\.254\.169\.254 GET \/control/);
    const seen = await capture();
    assert.ok(seen.length > 0, 'the capture is blind');
    const addresses = seen.every((line) => line.includes('5.5.0.1.') || / ARP/.test(line));
    assert.ok(addresses, seen.join('\n'));
  });
});
