/** Preview URLs: private by default, opened by a signed URL for a while, to everybody when asked, to nobody at the end. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { request as httpRequest } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Sandbox } from '../../sdk/typescript/src/index.ts';
import { cliPath, missingForServer, startServer, type TestServer } from './server.ts';

/** Tells what it was asked for, on two ports; a fork of its sandbox interrupts its waiting. */
const program = `
use IO::Socket::INET; $SIG{CHLD} = "IGNORE"; my $port = fork() ? 3000 : 3001;
my $s = IO::Socket::INET->new(Listen => 20, LocalPort => $port, ReuseAddr => 1) or die;
while (1) { my $c = $s->accept or next; my $head = ""; while (<$c>) { last if /^\\r?$/; $head .= $_ }
  printf $c "HTTP/1.1 200 OK\\r\\nSet-Cookie: own=1\\r\\nContent-Length: %d\\r\\nConnection: close\\r\\n\\r\\n%s", length $head, $head; close $c }`;

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly cookies: readonly string[];
}

/** To the server itself, with the URL's host as its name: *.localhost needs no resolver then. */
function visit(server: TestServer, url: string, headers: Record<string, string> = {}): Promise<Answer> {
  const { host, pathname, search } = new URL(url);
  const { port } = new URL(server.url);
  return new Promise((resolve, reject) => {
    httpRequest(
      { host: '127.0.0.1', port, path: `${pathname}${search}`, headers: { host, ...headers } },
      (response) => {
        let body = '';
        response.setEncoding('utf8').on('data', (text: string) => {
          body += text;
        });
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            body,
            cookies: response.headers['set-cookie'] ?? [],
          }),
        );
      },
    )
      .on('error', reject)
      .end();
  });
}

describe('preview URLs', { skip: missingForServer() ?? false }, () => {
  let server: TestServer;
  let sbx: Sandbox;
  let other: Sandbox;
  const create = async (): Promise<Sandbox> => {
    const made = await Sandbox.create({ url: server.url, apiKey: server.apiKey, timeoutMs: 600_000 });
    await made.files.write('/tmp/serve.pl', program);
    await made.spawn(['perl', '/tmp/serve.pl']);
    return made;
  };
  before(async () => {
    server = await startServer();
    [sbx, other] = await Promise.all([create(), create()]);
    const { url } = await other.ports.publish(3001);
    for (let round = 0; (await visit(server, url)).status !== 200; round += 1) {
      assert.ok(round < 100, 'the server inside never answered');
      await sleep(100);
    }
    await other.ports.unpublish(3001);
  });
  after(() => server.close());

  it('are closed without a token, and a signed one opens its port, by cookie too, and shows the sandbox nothing of it', async () => {
    const { url, expiresAt } = await sbx.ports.preview(3000);
    const plain = new URL('/', url).href;
    const closed = await visit(server, plain);
    assert.equal(closed.status, 403);
    assert.match(JSON.parse(closed.body).message, /casemate preview/);
    assert.ok(Math.abs(Date.parse(expiresAt ?? '') - Date.now() - 3_600_000) < 60_000);
    const { search } = new URL(url);
    const opened = await visit(server, `${plain}deep/page${search}&q=1`, { cookie: 'mine=1', referer: url });
    assert.equal(opened.status, 200, opened.body);
    assert.match(opened.body, /^GET \/deep\/page\?q=1 HTTP/);
    assert.match(opened.body, /cookie: mine=1/i);
    assert.ok(!opened.body.includes('casemate-preview'), opened.body);
    const [own, kept = ''] = opened.cookies;
    assert.equal(own, 'own=1');
    assert.match(kept, /^casemate-preview=[^;]+; Path=\/; Max-Age=3[56]\d\d; HttpOnly; SameSite=Lax$/);
    const cookie = kept.split(';')[0] ?? '';
    const again = await visit(server, `${plain}style.css`, { cookie });
    assert.equal(again.status, 200);
    assert.ok(!again.body.includes('casemate-preview'), again.body);
    const foreign = await visit(server, plain, {
      cookie,
      origin: new URL(plain.replace('3000', '3001')).origin,
    });
    assert.equal(foreign.status, 403);
  });

  it('open no other port, no other sandbox, nothing after a flipped byte, and nothing once they have run out', async () => {
    const { url } = await sbx.ports.preview(3000);
    assert.equal((await visit(server, url)).status, 200);
    assert.equal((await visit(server, url.replace('//3000-', '//3001-'))).status, 403);
    assert.equal((await visit(server, url.replace(sbx.id, other.id))).status, 403);
    const token = new URL(url).searchParams.get('casemate-preview') ?? '';
    for (const at of [0, token.indexOf('.') + 1, token.length - 2]) {
      const flipped = `${token.slice(0, at)}${token[at] === 'a' ? 'b' : 'a'}${token.slice(at + 1)}`;
      const answer = await visit(server, url.replace(token, flipped));
      assert.equal(answer.status, 403, flipped);
      assert.match(JSON.parse(answer.body).message, /run out, or is for another/);
    }
    const short = await sbx.ports.preview(3000, { expiresInMs: 1000 });
    assert.equal((await visit(server, short.url)).status, 200);
    await sleep(Date.parse(short.expiresAt ?? '') - Date.now() + 50);
    assert.equal((await visit(server, short.url)).status, 403);
  });

  it('are signed for the sandbox’s tenant alone, and by no key that may be inside', async () => {
    const { key } = await server.client.keys.create({ name: 'other', scope: 'tenant', tenantId: 'other' });
    const call = (apiKey: string, method: string, path: string): Promise<Response> =>
      fetch(`${server.url}/v1/sandboxes/${sbx.id}/ports/3000/${path}`, {
        method,
        headers: {
          authorization: `Bearer ${apiKey}`,
          ...(method === 'POST' && { 'content-type': 'application/json' }),
        },
        ...(method === 'POST' && { body: '{}' }),
      });
    const confined = await server.client.keys.create({ name: 'one', scope: `sandbox:${sbx.id}` });
    for (const [method, path] of [
      ['POST', 'preview'],
      ['PUT', 'public'],
      ['DELETE', 'public'],
    ] as const) {
      assert.equal((await call(key, method, path)).status, 404, path);
      assert.equal((await call(confined.key, method, path)).status, 403, path);
    }
    assert.equal((await visit(server, (await sbx.ports.preview(3001)).url)).status, 200);
  });

  it('let everybody in when asked, by the CLI too, and nobody after that', async () => {
    const run = (...flags: string[]): Record<string, unknown> =>
      JSON.parse(
        execFileSync(process.execPath, [cliPath, '--json', 'preview', sbx.id, '3000', ...flags], {
          env: server.env,
          encoding: 'utf8',
        }),
      );
    const { url } = run('--public') as { url: string };
    assert.ok(!url.includes('casemate-preview'));
    assert.equal((await visit(server, url)).status, 200);
    assert.equal((await visit(server, url.replace('//3000-', '//3001-'))).status, 403);
    const [child] = await sbx.fork(1);
    assert.ok(child instanceof Sandbox);
    assert.equal((await visit(server, url.replace(sbx.id, child.id))).status, 403);
    await child.kill();
    run('--private');
    assert.equal((await visit(server, url)).status, 403);
    const signed = run('--expires', '60') as { url: string };
    assert.equal((await visit(server, signed.url)).status, 200);
  });

  it('end with their sandbox', async () => {
    const { url } = await other.ports.preview(3000);
    assert.equal((await visit(server, url)).status, 200);
    await other.kill();
    const gone = await visit(server, url);
    assert.equal(gone.status, 502);
    assert.equal(JSON.parse(gone.body).message, 'The sandbox was not found');
    await assert.rejects(other.ports.preview(3000), { code: 'sandbox_ended' });
  });
});
