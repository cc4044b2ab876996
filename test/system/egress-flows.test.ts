/** Flows through the egress proxy: when their hosts are connected to, how fast they run, how they end. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { missingForRange, type Player, Range } from './egress/range.ts';

describe('egress flows', { skip: missingForRange() ?? false }, () => {
  const range = new Range();
  let player: Player;
  before(async () => {
    await range.open();
    player = await range.player();
  });
  after(() => range.close());

  it('connects to an allowed host before the ClientHello, and sends it nothing unless that names the host', async () => {
    await player.set([
      { allow: [{ host: 'www.world.test' }], deny: [{ host: 'www.world.test', ports: [80] }] },
    ]);
    const syn = 'tcp[tcpflags] & (tcp-syn|tcp-ack) == tcp-syn';
    const captured = await range.capture(range.world, 'w0', ['tcp', 'and', 'dst', 'port', '443']);
    const capturedSyn = await range.capture(range.world, 'w0', [syn]);
    const { stdout, stderr } = await player.python(`
import socket, ssl, time
s = socket.create_connection(("www.world.test", 443), timeout=5)
time.sleep(0.5)
try: ssl._create_unverified_context().wrap_socket(s, server_hostname="evil.test")
except ssl.SSLError as error: print(error.reason)`);
    assert.match(stdout, /UNRECOGNIZED_NAME/, stderr);
    const packets = await captured();
    const lengths = packets.map((line) => Number(/length (\d+)/.exec(line)?.[1]));
    assert.ok(lengths.length >= 2 && lengths.every((length) => length === 0), packets.join('\n'));
    assert.equal((await capturedSyn()).length, 1);
    // A place that is refused is connected to by nobody.
    const refused = await range.capture(range.world, 'w0', [syn]);
    await player.python(`
import socket
socket.create_connection(("www.world.test", 80), timeout=5).recv(1)`);
    assert.deepEqual(await refused(), []);
  });
});
