/** Closed by default, seen in packets: a fresh sandbox of a real runtime scans everything, and nothing of it gets out. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Sandbox } from '../../../sdk/typescript/src/index.ts';
import { missingForServer } from '../server.ts';
import { WorldServer } from './worldServer.ts';

/** TCP and UDP of both families, names, ICMP, another protocol; in perl, which every template has. */
const scan = `
use Socket qw(:all); use IO::Socket; use Errno qw(EINPROGRESS);
my @v4 = qw(5.5.1.1 5.5.0.1 5.5.0.2 10.77.0.1 169.254.169.254 198.18.7.7 8.8.8.8 224.0.0.1 255.255.255.255 10.200.0.1 10.200.0.5);
my @v6 = qw(2001:db8::1 fe80::1 ff02::1 fd00:ec2::254 ::ffff:5.5.1.1);
my @ports = (22, 25, 53, 80, 123, 443, 853, 5432, 8080);
my ($tried, $open) = (0, 0);
sub attempt { my ($family, $type, $to) = @_;
  socket(my $s, $family, $type, 0) or return; $s->blocking(0); $tried++;
  setsockopt($s, SOL_SOCKET, SO_BROADCAST, 1);
  connect($s, $to) or $! == EINPROGRESS or return;
  my $w = ''; vec($w, fileno($s), 1) = 1; select(undef, $w, undef, 0.2);
  send($s, "probe", 0); my $r = ''; vec($r, fileno($s), 1) = 1; select($r, undef, undef, 0.05);
}
for my $type (SOCK_STREAM, SOCK_DGRAM) { for my $port (@ports) {
  attempt(AF_INET, $type, pack_sockaddr_in($port, inet_aton($_))) for @v4;
  attempt(AF_INET6, $type, pack_sockaddr_in6($port, inet_pton(AF_INET6, $_))) for @v6;
} }
for my $protocol (1, 47, 132) { socket(my $s, AF_INET, SOCK_RAW, $protocol) or next; $tried++;
  send($s, "\\x08\\x00\\xf7\\xff\\x00\\x00\\x00\\x00", 0, pack_sockaddr_in(0, inet_aton($_))) for @v4; }
if (socket(my $s, AF_INET6, SOCK_RAW, 58)) { $tried++;
  send($s, "\\x80\\x00\\x00\\x00\\x00\\x00\\x00\\x00", 0, pack_sockaddr_in6(0, inet_pton(AF_INET6, $_))) for @v6; }
for my $name ("www.world.test", "secret.evil.test") { gethostbyname($name) and $open++; }
print "tried $tried, resolved $open\\n";
`;
const get = `
use Socket qw(:all); my $ip = gethostbyname("www.world.test") or die "no name\\n";
socket(my $s, AF_INET, SOCK_STREAM, 0); connect($s, pack_sockaddr_in(80, $ip)) or die "$!\\n";
send($s, "GET /control HTTP/1.1\\r\\nHost: www.world.test\\r\\nConnection: close\\r\\n\\r\\n", 0);
while (sysread($s, my $part, 4096)) { print $part }
`;

export function captureSuite(runtime: string): void {
  describe(`packets of a fresh ${runtime} sandbox`, { skip: missingForServer() ?? false }, () => {
    const outside = new WorldServer();
    before(() => outside.start());
    after(() => outside.close());

    it('closed by default: a scan of everything is seen on its own link alone; once a rule allows, outside too', async (t) => {
      const { server } = outside;
      const known = (await server.client.runtimes.list()).find(({ name }) => name === runtime);
      if (known?.available !== true) return t.skip(`the runtime ${runtime} cannot run here`);
      await using sbx = await Sandbox.create({
        url: server.url,
        apiKey: server.apiKey,
        runtime,
        timeoutMs: 600_000,
      });
      await sbx.files.write('/tmp/scan.pl', scan);
      await sbx.files.write('/tmp/get.pl', get);
      const mountsOf = server.process.pid ?? 0;
      const own = `cm${sbx.id.slice(0, 12)}`;
      const host = await outside.capture(outside.host, 'any', [
        'not',
        'arp',
        'and',
        'not',
        'host',
        outside.testAddress,
      ]);
      const world = await outside.capture(outside.world, 'any', ['not', 'arp']);
      const gate = await outside.capture(outside.gate, 'any', ['not', 'arp'], mountsOf);
      const scanned = await sbx.exec(['perl', '/tmp/scan.pl'], { user: 'root', timeoutMs: 240_000 });
      assert.match(scanned.stdout, /^tried (2[5-9]\d|[3-9]\d\d), resolved 0\n$/, scanned.stderr);
      const seen = { host: leaving(await host()), world: leaving(await world()), gate: await gate() };
      assert.deepEqual([seen.host, seen.world], [[], []]);
      assert.deepEqual(
        leaving(seen.gate).filter((line) => !line.includes(` ${own} `)),
        [],
      );
      assert.ok(seen.gate.filter((line) => line.includes(` ${own} `)).length > 50, 'the capture is blind');
      await sbx.setPolicy({ allow: [{ host: 'www.world.test', ports: [80] }] });
      const control = await outside.capture(outside.world, 'any', ['tcp', 'port', '80']);
      const got = await sbx.exec(['perl', '/tmp/get.pl'], { timeoutMs: 30_000 });
      assert.match(got.stdout, /served www\.world\.test GET \/control/, got.stderr);
      assert.ok((await control()).length > 0);
    });
  });
}

/** What a kernel sends by itself when an interface comes up is nobody's scan. */
function leaving(lines: readonly string[]): string[] {
  return lines.filter(
    (line) => !/ICMP6, (router solicitation|multicast listener|neighbor)|IP6 fe80/.test(line),
  );
}
