/** Flows through the egress proxy: when their hosts are connected to, how fast they run, how they end. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { runCommand } from '../../src/base/child.ts';
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

  it('bytes a second: each host has its own rate, both ways, over all connections, whatever carries them', async () => {
    const names = ['plain', 'passed', 'up', 'inspected', 'inspected2', 'two'];
    const allow = names.map((name) => ({
      host: `${name}.world.test`,
      inspect: name.startsWith('inspected'),
    }));
    const echo = { host: 'echo.world.test', ports: [5432] };
    const rates = (bytesPerSecondMax?: number): Parameters<Player['set']>[0] => [
      { allow: [...allow, echo], ...(bytesPerSecondMax && { budgets: { bytesPerSecondMax } }) },
    ];
    const bytes = 1_000_000;
    const secondsMin = 2; // a quarter of a second’s worth passes at once, and nobody waits after the last chunk
    const script = (steps: string): Promise<string[]> =>
      player
        .run(['sh', '-c', steps.replaceAll('CURL', 'curl -sS -m 15 -o /dev/null -w "%{size_download}\\n"')])
        .then(({ stdout, stderr }) => [...stdout.trim().split('\n'), stderr]);
    const down = (name: string, ...options: string[]): string =>
      `CURL -k ${options.join(' ')} https://${name}.world.test/bytes/${bytes}`;
    const runs: Readonly<Record<string, string>> = {
      plain: `CURL http://plain.world.test/bytes/${bytes}`,
      passed: down('passed'),
      up: `head -c ${bytes} /dev/zero | CURL -k -T - -X POST https://up.world.test/`,
      inspected: down('inspected', '--http1.1'),
      inspected2: down('inspected2', '--http2'),
      two: `${down('two').replace(String(bytes), String(bytes / 2))} & ${down('two').replace(String(bytes), String(bytes / 2))}; wait`,
      echo: `python3 -c '
import socket, threading
s = socket.create_connection(("echo.world.test", 5432), timeout=15)
threading.Thread(target=lambda: (s.sendall(bytes(${bytes / 2})), s.shutdown(1))).start()
got = 0
while part := s.recv(65536): got += len(part)
print(got)'`,
    };
    const timed = async (): Promise<Record<string, { seconds: number; said: string[] }>> =>
      Object.fromEntries(
        await Promise.all(
          Object.entries(runs).map(async ([name, steps]) => {
            const from = performance.now();
            const said = await script(steps);
            return [name, { said, seconds: (performance.now() - from) / 1000 }] as const;
          }),
        ),
      );
    await player.set(rates(300_000));
    const slow = await timed();
    for (const [name, { seconds, said }] of Object.entries(slow)) {
      assert.ok(seconds > secondsMin && seconds < 12, `${name}: ${seconds} s, ${said}`);
      const carried = said.filter((line) => /^\d+$/.test(line)).reduce((sum, line) => sum + Number(line), 0);
      if (name !== 'up') assert.equal(carried, name === 'echo' ? bytes / 2 : bytes, `${name}: ${said}`);
    }
    await player.set(rates());
    const fast = await timed();
    const seconds = Object.values(fast).map((run) => run.seconds);
    assert.ok(Math.min(...seconds) < secondsMin, JSON.stringify(fast));
  });

  it('bytes a second: a rate that is set while a connection’s requests are read cuts it, others slow down at once', async () => {
    const allow = [{ host: 'www.world.test' }, { host: 'echo.world.test', ports: [5432] }];
    await player.set([{ allow }]);
    const running = player.python(`
import http.client, socket, threading, time
kept = http.client.HTTPConnection("www.world.test", timeout=15)
kept.request("GET", "/"); kept.getresponse().read()
s = socket.create_connection(("echo.world.test", 5432), timeout=15)
s.sendall(b"x"); s.recv(1)
time.sleep(2)
try: kept.sock.recv(1); print("end")
except ConnectionResetError: print("reset")
begun, got = time.time(), 0
threading.Thread(target=lambda: s.sendall(bytes(500000))).start()
while got < 500000: got += len(s.recv(65536))
print(time.time() - begun > 1.4)`); // 1 MB, less the burst and a last piece that nobody waits after: two seconds and more
    await sleep(1000);
    await player.set([{ allow, budgets: { bytesPerSecondMax: 300_000 } }]);
    const { stdout, stderr } = await running;
    assert.equal(stdout, 'reset\nTrue\n', stderr);
  });

  it('stops connecting to a host that does not answer when its client has gone', async () => {
    await player.set([{ allow: [{ host: 'silent.test', ports: [443, 5432] }] }]);
    const connecting = async (): Promise<number> => {
      const argv = ['ip', 'netns', 'exec', range.host, 'ss', '-Htn', 'state', 'syn-sent'];
      return (await runCommand(argv)).stdout.trim().split('\n').filter(Boolean).length;
    };
    const held = player.python(`
import socket, struct, time
held = [socket.create_connection(("silent.test", port), timeout=5) for port in (443, 5432) for _ in range(4)]
time.sleep(1)
for s in held: s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))`);
    let most = 0;
    for (let round = 0; round < 8; round += 1) {
      most = Math.max(most, await connecting());
      await sleep(100);
    }
    await held;
    assert.equal(most, 8);
    await sleep(100);
    assert.equal(await connecting(), 0);
  });
});
