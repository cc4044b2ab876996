/** Egress in use: terminated hosts, streams, WebSocket, secrets, other TCP, budgets, a policy that changes. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { missingForRange, type Player, Range } from './egress/range.ts';

describe('egress in use', { skip: missingForRange() ?? false }, () => {
  const range = new Range();
  let player: Player;
  before(async () => {
    await range.open();
    player = await range.player();
  });
  after(() => range.close());

  const curl = (...args: string[]): ReturnType<Player['run']> =>
    player.run(['curl', '-sS', '-m', '10', ...args]);
  const inspected = (url: string, ...args: string[]): ReturnType<Player['run']> =>
    curl('--cacert', player.trust, ...args, url);
  const rawEcho = (host: string, port: number): ReturnType<Player['run']> =>
    player.python(`
import socket
s = socket.create_connection((${JSON.stringify(host)}, ${port}), timeout=5)
s.sendall(b"ping"); s.settimeout(5)
print(s.recv(10).decode())`);

  it('answers a flood of DNS queries with refusals, not with silence, and goes on serving a neighbour', async () => {
    const flooder = await range.player();
    await flooder.set([]);
    await player.set([{ allow: [{ host: 'www.world.test' }] }]);
    const flood = flooder.python(`
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(0.5); s.connect(("198.18.0.1", 53))
codes = {}
for number in range(4000):
  s.send(number.to_bytes(2, "big") + b"\\x01\\x00\\x00\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x05x%04d\\x04test\\x00\\x00\\x01\\x00\\x01" % number)
  try: code = s.recv(512)[3] & 15
  except OSError: code = "silence"
  codes[code] = codes.get(code, 0) + 1
print(codes.get(3, 0) >= 1000, codes.get(5, 0) > 0, codes.get("silence", 0))`);
    const started = performance.now();
    assert.match((await curl('http://www.world.test/')).stdout, /^served/);
    assert.ok(performance.now() - started < 2000);
    assert.equal((await flood).stdout, 'True True 0\n');
    const told = range.events.filter((event) => event.kind === 'denied' && event.sandboxId === flooder.id);
    assert.ok(told.length < 1000, String(told.length));
  });

  it('methods and paths on a terminated host: 403 with the rule and a hint, within 100 ms', async () => {
    await player.set([{ allow: [{ host: 'api.world.test', methods: ['GET'], paths: ['/v1'] }] }]);
    assert.equal(
      (await inspected('https://api.world.test/v1/x')).stdout,
      'served api.world.test GET /v1/x 0\n',
    );
    const post = JSON.parse((await inspected('https://api.world.test/v1/x', '-d', 'body')).stdout);
    assert.equal(post.code, 'method_not_allowed');
    assert.match(post.hint, /GET/);
    const timed = await inspected(
      'https://api.world.test/v2',
      '-w',
      ' %{time_starttransfer} %{time_appconnect}',
    );
    assert.equal(JSON.parse(timed.stdout.split('\n')[0] ?? '').code, 'path_not_allowed');
    const [whole = 0, handshake = 0] = (timed.stdout.split('\n')[1] ?? '').trim().split(' ').map(Number);
    assert.ok(whole - handshake < 0.1, timed.stdout);
    const climbing = await inspected('https://api.world.test/v1/../v2', '--path-as-is');
    assert.equal(JSON.parse(climbing.stdout).code, 'path_ambiguous');
    assert.equal((await range.flow(player, 'api.world.test')).path, '/v1/x');
  });

  it('allowed cloud service as C2: a PUT to a bucket that is not one’s own is refused on the allowed host', async () => {
    const allow = [{ host: 'storage.world.test', paths: ['/our-bucket'], methods: ['GET', 'PUT'] }];
    await player.set([{ allow }]);
    const put = (path: string): ReturnType<Player['run']> =>
      inspected(`https://storage.world.test${path}`, '-X', 'PUT', '-d', 'loot', '--path-as-is');
    assert.equal((await put('/our-bucket/a')).stdout, 'served storage.world.test PUT /our-bucket/a 4\n');
    const signed = '/their-bucket/a?X-Amz-Signature=00&X-Amz-Expires=600';
    assert.equal(JSON.parse((await put(signed)).stdout).code, 'path_not_allowed');
    assert.equal(JSON.parse((await put('/our-bucket-too/a')).stdout).code, 'path_not_allowed');
    for (const path of ['/our-bucket/../their-bucket/a', '/our-bucket/%2e%2e/their-bucket/a'])
      assert.equal(JSON.parse((await put(path)).stdout).code, 'path_ambiguous', path);
    const elsewhere = await curl('https://their-bucket.storage.world.test/a');
    assert.equal(elsewhere.code, 6, elsewhere.stderr); // it has no address
    assert.ok(!range.arrived.some(({ url }) => String(url).includes('their-bucket')));
  });

  it('streams large bodies both ways and speaks WebSocket through a terminated host', async () => {
    await player.set([{ allow: [{ host: 'big.world.test', inspect: true }] }]);
    const down = await inspected(
      'https://big.world.test/bytes/30000000',
      '-o',
      '/dev/null',
      '-w',
      '%{size_download}',
    );
    assert.equal(down.stdout, '30000000', down.stderr);
    const up = await player.run([
      'sh',
      '-c',
      `head -c 20000000 /dev/zero | curl -sS -m 20 --cacert ${player.trust} -T - -X POST https://big.world.test/`,
    ]);
    assert.equal(up.stdout, 'served big.world.test POST / 20000000\n', up.stderr);
    const socket = await player.python(`
import socket, ssl, base64, os
context = ssl.create_default_context(cafile="${player.trust}")
s = context.wrap_socket(socket.create_connection(("big.world.test", 443), timeout=5), server_hostname="big.world.test")
key = base64.b64encode(os.urandom(16)).decode()
s.sendall(("GET /ws HTTP/1.1\\r\\nHost: big.world.test\\r\\nConnection: Upgrade\\r\\nUpgrade: websocket\\r\\nSec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: %s\\r\\n\\r\\n" % key).encode())
head = b""
while b"\\r\\n\\r\\n" not in head: head += s.recv(1)
s.sendall(b"\\x82\\x85\\x00\\x00\\x00\\x00hello")
print(head.split(b"\\r\\n")[0].decode(), s.recv(100)[2:].decode())`);
    assert.equal(socket.stdout, 'HTTP/1.1 101 Switching Protocols echo hello\n', socket.stderr);
  });

  it('secrets: the placeholder becomes the value on the way to its host, and nowhere else', async () => {
    const secret = {
      name: 'token',
      placeholder: 'casemate-secret-0123456789abcdef',
      value: 'canary-7f3a',
      hosts: ['vault.world.test'],
    };
    const allow = [
      { host: 'vault.world.test', headers: [{ name: 'X-Key', value: 'k {{secret:token}}' }] },
      { host: 'other.world.test', inspect: true },
    ];
    await player.set([{ allow }], { secrets: [secret] });
    const bearer = ['-H', `Authorization: Bearer ${secret.placeholder}`];
    assert.match((await inspected('https://vault.world.test/1', ...bearer)).stdout, /^served/);
    assert.match(
      (await inspected('https://vault.world.test/2', '-u', `me:${secret.placeholder}`)).stdout,
      /^served/,
    );
    assert.match((await inspected(`https://vault.world.test/3?k=${secret.placeholder}`)).stdout, /^served/);
    const at = (url: string): Record<string, unknown> =>
      range.arrived.find((entry) => entry.url === url) ?? {};
    assert.deepEqual([at('/1').authorization, at('/1').key], ['Bearer canary-7f3a', 'k canary-7f3a']);
    assert.equal(at('/2').authorization, `Basic ${Buffer.from('me:canary-7f3a').toString('base64')}`);
    assert.equal(at('/3?k=canary-7f3a').host, 'vault.world.test');
    for (const url of ['https://other.world.test/4', 'http://vault.world.test/5']) {
      const refused = await inspected(url, ...bearer);
      assert.equal(JSON.parse(refused.stdout).code, 'secret_refused', refused.stdout);
    }
    assert.ok(!JSON.stringify(range.events).includes('canary-7f3a'));
  });

  it('other TCP by host and port; a port that no rule names is reset', async () => {
    await player.set([{ allow: [{ host: 'db.world.test', ports: [5432] }] }]);
    assert.equal((await rawEcho('db.world.test', 5432)).stdout, 'ping\n');
    await range.tellRefusals(); // of earlier tests
    await sleep(200);
    const since = range.events.length;
    assert.match((await rawEcho('db.world.test', 8080)).stderr, /refused|reset/i);
    await range.tellRefusals();
    const denial = await range.denial(player, 'port_not_allowed', since);
    assert.deepEqual([denial.host, denial.port], ['db.world.test', 8080]);
    assert.match(denial.hint, /5432/);
  });

  it('cuts what no longer complies within a second of a new policy', async () => {
    await player.set([{ allow: [{ host: 'db.world.test', ports: [5432] }, { host: 'slow.world.test' }] }]);
    const raw = player.python(`
import socket
s = socket.create_connection(("db.world.test", 5432), timeout=5); s.settimeout(15); s.sendall(b"a"); s.recv(1)
try: print(len(s.recv(1)))
except OSError as error: print(type(error).__name__)`);
    const slow = curl('http://slow.world.test/slow');
    await sleep(1500);
    const startedAt = performance.now();
    const since = range.events.length;
    await player.set([{ allow: [{ host: 'db.world.test', ports: [5433] }] }]);
    assert.ok(performance.now() - startedAt < 1000);
    assert.equal((await raw).stdout, 'ConnectionResetError\n');
    assert.notEqual((await slow).code, 0);
    assert.ok(performance.now() - startedAt < 3000);
    assert.equal((await range.flow(player, 'db.world.test', since)).cut, 'policy changed');
  });

  it('judges no request by a policy older than a second: 100 flips under load', async () => {
    const open = { allow: [{ host: 'flip.world.test' }] };
    await player.set([open]);
    const load = player.python(
      `
import http.client, json, time
end, made = time.time() + 25, 0
while made < 400 and time.time() < end:
  made += 1
  start, why = time.time(), ""
  try:
    connection = http.client.HTTPConnection("flip.world.test", timeout=5)
    connection.request("GET", "/flip"); status = connection.getresponse().status
  except Exception as error: status, why = 0, repr(error)
  print(json.dumps([start, time.time(), status, why]), flush=True)
  time.sleep(0.008) # below the rate of DNS queries`,
      40_000,
    );
    let over = false;
    const ended = (): void => {
      over = true;
    };
    load.then(ended, ended);
    const periods: { asked: number; from: number; open: boolean }[] = [];
    const now = (): number => (performance.timeOrigin + performance.now()) / 1000;
    await sleep(500);
    for (let flip = 0; flip < 100 || !over; flip += 1) {
      const asked = now();
      await player.set([flip % 2 === 0 ? {} : open]);
      periods.push({ asked, from: now() + 0.001, open: flip % 2 !== 0 });
      await sleep(flip % 10 === 0 ? 120 : 30);
    }
    const lines = (await load).stdout.trim().split('\n');
    const requests = lines.map((line) => JSON.parse(line) as [number, number, number, string]);
    let judged = 0;
    for (const [start, end, status, why] of requests) {
      const at = periods.findLastIndex(({ from }) => from <= start);
      const until = periods[at + 1]?.asked ?? Number.POSITIVE_INFINITY;
      if (at < 0 || end > until - 0.001) continue; // the policy changed while it was under way
      assert.equal(status === 200, periods[at]?.open, JSON.stringify([start, end, status, why, periods[at]]));
      judged += 1;
    }
    assert.ok(judged > 50, `${judged} of ${requests.length}`);
  });

  it('forgets a sandbox, and gives its policy to no other that gets its address', async () => {
    const gone = await range.player();
    await gone.set([{ allow: [{ host: 'www.world.test' }] }]);
    const get = (): ReturnType<Player['run']> =>
      gone.run(['curl', '-sS', '-m', '5', 'http://www.world.test/']);
    assert.match((await get()).stdout, /^served/);
    await range.client.keepOnly([player.id]);
    assert.notEqual((await get()).code, 0);
  });

  it('budgets: bytes cut what runs, connections and rates refuse what is new', async () => {
    const spender = await range.player();
    const spend = (...args: string[]): ReturnType<Player['run']> =>
      spender.run(['curl', '-sS', '-m', '10', ...args]);
    await spender.set([{ allow: [{ host: 'big.world.test' }], budgets: { bytesMax: 2_000_000 } }]);
    const cut = await spend(
      '--limit-rate',
      '3M',
      'http://big.world.test/bytes/30000000',
      '-o',
      '/dev/null',
      '-w',
      '%{size_download}',
    );
    assert.ok(cut.code !== 0 && Number(cut.stdout) < 20_000_000, cut.stdout);
    const after = await spend('http://big.world.test/');
    assert.equal(JSON.parse(after.stdout).code, 'budget_exhausted');
    await spender.set([{ allow: [{ host: 'www.world.test' }], budgets: { connectionsPerMinuteMax: 2 } }]);
    const codes: string[] = [];
    for (let round = 0; round < 4; round += 1)
      codes.push((await spend('http://www.world.test/', '-o', '/dev/null', '-w', '%{http_code}')).stdout);
    assert.deepEqual(codes, ['200', '200', '403', '403']);
  });

  it('tells the policy and the last denials at a read-only address inside', async () => {
    await player.set([{ allow: [{ host: 'www.world.test' }] }]);
    await curl('http://nowhere.test/');
    const page = JSON.parse((await curl('http://198.18.0.1/')).stdout);
    assert.deepEqual(page.levels[0].allow, ['allow www.world.test']);
    assert.ok(page.denials.some((denial: { host: string }) => denial.host === 'nowhere.test'));
    assert.notEqual((await curl('-f', '-X', 'POST', 'http://198.18.0.1/')).code, 0);
  });
});
