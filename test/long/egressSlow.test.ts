/** Clients that are slow on purpose: each is ended after a while, and its neighbours do not notice. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { egressLimits } from '../../src/egress/limits.ts';
import { missingForRange, type Player, Range } from '../system/egress/range.ts';

describe('slow clients of the egress proxy', { skip: missingForRange() ?? false }, () => {
  const range = new Range();
  let slow: Player;
  let neighbour: Player;
  before(async () => {
    await range.open();
    [slow, neighbour] = [await range.player(), await range.player()];
    const policy = { allow: [{ host: 'www.world.test' }, { host: 'front.world.test', inspect: true }] };
    for (const player of [slow, neighbour]) await player.set([policy]);
  });
  after(() => range.close());

  it('slow heads: half a ClientHello, half a request, a byte a second, or nothing at all end in time', async () => {
    const program = `
import socket, threading, time
starts = {"tls": (443, b"\\x16\\x03\\x01\\x02\\x00\\x01"), "http": (80, b"GET / HTTP/1.1\\r\\nHost: www.world.test\\r\\nX: "), "silent": (443, b""), "mute": (80, b"")}
ended = {}
def hold(name, port, start, drip):
  at = time.time()
  s = socket.create_connection(("www.world.test", port), timeout=5); s.settimeout(1)
  s.sendall(start)
  while time.time() - at < 100:
    try:
      if drip: s.sendall(b"x")
      if s.recv(100) == b"": break
    except TimeoutError: continue
    except OSError: break
  ended.setdefault(name, []).append(time.time() - at)
threads = [threading.Thread(target=hold, args=(name, port, start, drip)) for name, (port, start) in starts.items() for drip in (False, name == "http") for _ in range(20)]
for t in threads: t.start()
for t in threads: t.join()
for name, times in ended.items(): print(name, len(times), max(times) < ${egressLimits.helloMsMax / 1000 + 15})`;
    const held = slow.python(program, 150_000);
    await new Promise((resolve) => setTimeout(resolve, 3000));
    const startedAt = performance.now();
    const served = await neighbour.run(['curl', '-sS', '-m', '10', 'http://www.world.test/']);
    assert.match(served.stdout, /^served/);
    assert.ok(performance.now() - startedAt < 5000);
    const { stdout, stderr } = await held;
    const lines = stdout.trim().split('\n').sort();
    const all = ['http', 'mute', 'silent', 'tls'];
    assert.deepEqual(
      lines,
      all.map((name) => `${name} 40 True`),
      stderr,
    );
  });

  it('more connections than a sandbox may hold are reset, and a neighbour connects meanwhile', async () => {
    const many = egressLimits.socketsMax + 100;
    const holding = slow.python(
      `
import socket
held, refused = [], 0
for number in range(${many}):
  try:
    s = socket.create_connection(("www.world.test", 443), timeout=5)
    s.sendall(b"\\x16"); s.setblocking(False); held.append(s)
  except OSError: refused += 1
import time; time.sleep(3)
for s in held:
  try: refused += s.recv(1) == b""
  except BlockingIOError: pass
  except OSError: refused += 1
print(len(held) > 500, refused >= 100)`,
      60_000,
    );
    await new Promise((resolve) => setTimeout(resolve, 2000));
    const served = await neighbour.run(['curl', '-sS', '-m', '10', 'http://www.world.test/']);
    assert.match(served.stdout, /^served/, served.stderr);
    const { stdout, stderr } = await holding;
    assert.equal(stdout, 'True True\n', stderr);
  });
});
