/** HTTP/2 and gRPC on terminated hosts: the same judgement of each request as on HTTP/1.1, streams both ways. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { missingForRange, type Player, Range } from './egress/range.ts';

interface Answer {
  readonly status: number;
  readonly headers: Record<string, unknown>;
  readonly trailers: Record<string, unknown>;
  readonly body: string;
  readonly error: string;
}

const program = fileURLToPath(new URL('./egress/http2Client.mjs', import.meta.url));

describe('egress with HTTP/2', { skip: missingForRange() ?? false }, () => {
  const range = new Range();
  let player: Player;
  before(async () => {
    await range.open();
    player = await range.player();
  });
  after(() => range.close());

  const curl = (...args: string[]): ReturnType<Player['run']> =>
    player.run(['curl', '-sS', '-m', '20', '--cacert', player.trust, ...args]);
  /** All on one connection. */
  const ask = async (
    url: string,
    ...requests: { headers: Record<string, unknown>; messages?: string[] }[]
  ): Promise<Answer[]> => {
    const ran = await player.run([process.execPath, program, url, player.trust, JSON.stringify(requests)]);
    return JSON.parse(ran.stdout || `"${ran.stderr}"`) as Answer[];
  };
  const arrived = (url: string): Record<string, unknown>[] =>
    range.arrived.filter((entry) => entry.url === url);

  it('carries requests, large bodies both ways and repeated headers, and judges method and path', async () => {
    await player.set([
      { allow: [{ host: 'h2.world.test', methods: ['GET', 'PUT'], paths: ['/ok', '/bytes'] }] },
    ]);
    const got = await curl('--http2', '-w', '%{http_version}', 'https://h2.world.test/ok?a=1');
    assert.equal(got.stdout, 'served h2 h2.world.test GET /ok?a=1 0\n2', got.stderr);
    const [page, denied, climbing] = await ask(
      'https://h2.world.test',
      { headers: { ':path': '/ok', cookie: ['x=1', 'y=2'] } },
      { headers: { ':path': '/ok', ':method': 'DELETE' } },
      { headers: { ':path': '/ok/../other' } },
    );
    assert.deepEqual([page?.status, page?.headers['set-cookie']], [200, ['a=1', 'b=2']]);
    assert.deepEqual([denied?.status, JSON.parse(denied?.body ?? '').code], [403, 'method_not_allowed']);
    assert.equal(JSON.parse(climbing?.body ?? '').code, 'path_ambiguous');
    assert.equal((await range.flow(player, 'h2.world.test')).status, 200);
    const size = '%{size_download}';
    const down = await curl('--http2', '-o', '/dev/null', '-w', size, 'https://h2.world.test/bytes/30000000');
    assert.equal(down.stdout, '30000000', down.stderr);
    const up = await player.run([
      'sh',
      '-c',
      `head -c 20000000 /dev/zero | curl -sS -m 20 --http2 --cacert ${player.trust} -T - https://h2.world.test/ok`,
    ]);
    assert.equal(up.stdout, 'served h2 h2.world.test PUT /ok 20000000\n', up.stderr);
  });

  it('a host that has no HTTP/2 is asked in HTTP/1.1, and a client that has none is served', async () => {
    await player.set([{ allow: [{ host: 'www.world.test', inspect: true }] }]);
    const mixed = await curl('--http2', '-w', '%{http_version}', '-d', 'four', 'https://www.world.test/up');
    assert.equal(mixed.stdout, 'served www.world.test POST /up 4\n2', mixed.stderr);
    const old = await curl('--http1.1', '-w', '%{http_version}', 'https://www.world.test/old');
    assert.equal(old.stdout, 'served www.world.test GET /old 0\n1.1', old.stderr);
  });

  it('gRPC: messages both ways at once, trailers, and an error that is nothing but headers', async () => {
    await player.set([{ allow: [{ host: 'grpc.world.test', methods: ['POST'], paths: ['/echo.Echo'] }] }]);
    const headers = { ':method': 'POST', 'content-type': 'application/grpc', te: 'trailers' };
    const [talk, fail, other] = await ask(
      'https://grpc.world.test',
      { headers: { ...headers, ':path': '/echo.Echo/Talk' }, messages: ['one', 'two', 'three'] },
      { headers: { ...headers, ':path': '/echo.Echo/Fail' }, messages: ['x'] },
      { headers: { ...headers, ':path': '/admin.Admin/Drop' }, messages: ['x'] },
    );
    assert.deepEqual(
      [talk?.body, talk?.trailers['grpc-status'], talk?.trailers['x-sum']],
      ['onetwothree', '0', 'all'],
    );
    assert.deepEqual(
      [fail?.headers['grpc-status'], fail?.headers['grpc-message'], fail?.body],
      ['5', 'none there', ''],
    );
    assert.equal(other?.status, 403);
    assert.equal(arrived('/echo.Echo/Talk')[0]?.te, 'trailers');
  });

  it('domain fronting in HTTP/2: a second stream with another :authority is answered 421 and goes nowhere', async () => {
    await player.set([{ allow: [{ host: 'h2.world.test', inspect: true }] }]);
    const since = range.events.length;
    const answers = await ask(
      'https://h2.world.test',
      { headers: { ':path': '/front' } },
      { headers: { ':path': '/evil', ':authority': 'grpc.world.test' } },
      { headers: { ':path': '/evil', ':authority': 'h2.world.test:444' } },
      { headers: { ':path': '/evil', host: 'evil.test' } },
      { headers: { ':path': '/evil', ':scheme': 'http' } },
      { headers: { ':path': 'https://evil.test/evil' } },
      { headers: { ':path': '/front' } },
    );
    const statuses = answers.map(({ status, error }) => status || error);
    assert.deepEqual(statuses.slice(0, 5), [200, 421, 421, 421, 421]);
    assert.ok(answers.slice(5, 6).every(({ status }) => status !== 200));
    assert.match((await range.denial(player, 'host_mismatch', since)).hint, /grpc\.world\.test/);
    assert.equal(arrived('/evil').length, 0);
    const tunnel = await ask('https://h2.world.test', {
      headers: { ':method': 'CONNECT', ':authority': 'evil.test:443' },
    });
    assert.notEqual(tunnel[0]?.status, 200);
  });

  it('secrets and headers of rules on HTTP/2 are put in as on HTTP/1.1, and refused where they may not go', async () => {
    const secret = {
      name: 'token',
      placeholder: 'casemate-secret-00ff',
      value: 'canary-2b1d',
      hosts: ['h2.world.test'],
    };
    const headers = [{ name: 'X-Key', value: 'k {{secret:token}}' }];
    await player.set(
      [
        {
          allow: [
            { host: 'h2.world.test', headers },
            { host: 'grpc.world.test', inspect: true },
          ],
        },
      ],
      {
        secrets: [secret],
      },
    );
    const authorization = `Bearer ${secret.placeholder}`;
    await ask('https://h2.world.test', { headers: { ':path': '/s1', authorization } });
    assert.deepEqual(
      arrived('/s1').map((entry) => [entry.authorization, entry.key]),
      [['Bearer canary-2b1d', 'k canary-2b1d']],
    );
    const [refused] = await ask('https://grpc.world.test', { headers: { ':path': '/s2', authorization } });
    assert.equal(JSON.parse(refused?.body ?? '').code, 'secret_refused');
    assert.ok(!JSON.stringify([range.events, refused]).includes('canary-2b1d'));
  });

  it('a new policy cuts kept connections whose requests are read, and judges the next request at once', async () => {
    for (const version of ['--http1.1', '--http2']) {
      await player.set([
        {
          allow: [
            { host: 'h2.world.test', paths: ['/bytes'] },
            { host: 'www.world.test', paths: ['/slow'] },
          ],
        },
      ]);
      const url =
        version === '--http2' ? 'https://h2.world.test/bytes/90000000' : 'https://www.world.test/slow';
      // Fast enough that what curl already holds (its HTTP/2 window is 10 MB) is gone soon after the cut.
      const slow = curl(version, '--limit-rate', '8M', '-o', '/dev/null', url);
      await new Promise((resolve) => setTimeout(resolve, 1500));
      const from = performance.now();
      await player.set([{ allow: [{ host: 'h2.world.test', paths: ['/other'] }] }]);
      assert.notEqual((await slow).code, 0);
      assert.ok(performance.now() - from < 5000);
    }
    const next = await curl('--http2', 'https://h2.world.test/bytes/5');
    assert.equal(JSON.parse(next.stdout).code, 'path_not_allowed');
  });
});
