/** UDP: closed until a rule names the place; then counted, told of, cut, and each sandbox judged by its own policy. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EgressPolicy } from '../../schema/policy.ts';
import { missingForRange, type Player, Range } from './egress/range.ts';

const open: EgressPolicy = { allow: [{ host: 'udp.world.test', ports: [5005], protocol: 'udp' }] };
const closed = 'ConnectionRefusedError';

describe('egress of UDP', { skip: missingForRange() ?? false }, () => {
  const range = new Range();
  let player: Player;
  before(async () => {
    await range.open();
    player = await range.player();
  });
  after(() => range.close());

  /** Sends from one socket to each place; a word for each: what was answered, or how it failed. */
  const send = async (from: Player, ...places: [host: string, port: number][]): Promise<string[]> => {
    const ran = await from.python(`
import json, socket
for host, port in json.loads('${JSON.stringify(places)}'):
  s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(2)
  try:
    s.connect((host, port)) # then an answer from elsewhere is dropped
    s.send(b"hello"); print(s.recv(100).decode())
  except OSError as error: print(type(error).__name__)`);
    assert.equal(ran.code, 0, ran.stderr);
    return ran.stdout.trim().split('\n');
  };
  const reached = (port: number): number =>
    range.arrived.filter((entry) => entry.kind === 'udp' && entry.port === port).length;

  it('leaves where a rule says so, and the flow is told with its bytes', async () => {
    await player.set([open]);
    const since = range.events.length;
    assert.deepEqual(await send(player, ['udp.world.test', 5005]), ['hello']);
    await player.set([{}]);
    const flow = await range.flow(player, 'udp.world.test', since);
    assert.deepEqual(
      [flow.protocol, flow.port, flow.bytesSent, flow.bytesReceived, flow.cut, flow.rule],
      ['udp', 5005, 5, 5, 'policy changed', 'allow udp.world.test:5005 udp'],
    );
  });

  it('is refused at once elsewhere: another port, a rule for TCP, a policy that no longer opens it', async () => {
    await player.set([open]);
    const before = reached(5005);
    const since = range.events.length;
    assert.deepEqual(await send(player, ['udp.world.test', 5006], ['5.5.1.1', 5005]), [closed, closed]);
    await range.tellRefusals();
    assert.match((await range.denial(player, 'protocol_not_allowed', since)).hint, /protocol udp/);
    await player.set([{ allow: [{ host: 'udp.world.test', ports: [5005] }] }]);
    assert.deepEqual(await send(player, ['udp.world.test', 5005]), [closed]);
    await player.set([{ ...open, deny: [{ host: 'udp.world.test', ports: [5005], protocol: 'udp' }] }]);
    assert.deepEqual(await send(player, ['udp.world.test', 5005]), [closed]);
    await player.set([open, { allow: [{ host: 'udp.world.test' }] }]);
    assert.deepEqual(
      await send(player, ['udp.world.test', 5005]),
      [closed],
      'a level above does not open it',
    );
    assert.equal(reached(5005), before);
  });

  it('a place that another sandbox’s rule opens stays closed to this one, with an event', async () => {
    const other = await range.player();
    await other.set([open]);
    await player.set([{ allow: [{ host: 'udp.world.test' }] }]);
    const since = range.events.length;
    const before = reached(5005);
    assert.deepEqual(await send(player, ['udp.world.test', 5005]), ['TimeoutError']);
    const denial = await range.denial(player, 'port_not_allowed', since);
    assert.deepEqual([denial.protocol, denial.host, denial.port], ['udp', 'udp.world.test', 5005]);
    assert.equal(reached(5005), before);
    assert.deepEqual(await send(other, ['udp.world.test', 5005]), ['hello']);
  });

  it('opens single addresses by cidr; private ones by an administrator’s rule alone', async () => {
    await player.set([{ allow: [{ cidr: '5.5.1.8/30', ports: [5005], protocol: 'udp' }] }]);
    assert.deepEqual(await send(player, ['5.5.1.9', 5005], ['5.5.1.1', 5005]), ['hello', closed]);
    const allow = [{ cidr: '10.77.0.1/32', ports: [5005], protocol: 'udp' }];
    await player.set([{ allow }]);
    assert.deepEqual(await send(player, ['10.77.0.1', 5005]), [closed]);
    await player.set([{ allow: allow.map((rule) => ({ ...rule, allowPrivate: true })) }], {
      administrator: true,
    });
    assert.deepEqual(await send(player, ['10.77.0.1', 5005]), ['hello']);
  });

  it('QUIC passes where a rule says udp on 443, and never to a host whose requests are read', async () => {
    const quic = { host: 'udp.world.test', ports: [443], protocol: 'udp' };
    await player.set([{ allow: [{ host: 'udp.world.test' }, quic] }]);
    assert.deepEqual(await send(player, ['udp.world.test', 443]), ['hello']);
    const before = reached(443);
    await player.set([{ allow: [{ host: 'udp.world.test', inspect: true }, quic] }]);
    assert.deepEqual(await send(player, ['udp.world.test', 443]), [closed]);
    assert.equal(reached(443), before);
  });

  it('metadata and the links are reached by no rule for UDP', async () => {
    const allow = ['169.254.169.254/32', '10.200.0.0/30', '198.18.0.1/32'].map((cidr) => ({
      ...{ cidr, ports: [5005], protocol: 'udp', allowPrivate: true },
    }));
    await player.set([{ allow }], { administrator: true });
    const places = ['169.254.169.254', '10.200.0.1', '198.18.0.1'].map((host): [string, number] => [
      host,
      5005,
    ]);
    assert.deepEqual(await send(player, ...places), [closed, closed, closed]);
  });

  it('flows count as connections, and their bytes in the budgets', async () => {
    const spender = await range.player();
    await spender.set([{ ...open, budgets: { connectionsMax: 3, bytesMax: 100_000 } }]);
    const ran = await spender.python(`
import socket
answered, sockets = 0, [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for number in range(6)]
for s in sockets:
  s.settimeout(1); s.connect(("udp.world.test", 5005)); s.send(b"x")
  try: s.recv(10); answered += 1
  except OSError: pass
print(answered)
for number in range(100): sockets[0].send(b"x" * 1000); sockets[0].recv(2000)`);
    assert.equal(ran.stdout, '3\n', ran.stderr);
    assert.equal((await range.denial(spender, 'budget_exhausted')).protocol, 'udp');
    await sleep(600);
    const cut = await range.flow(spender, 'udp.world.test');
    assert.equal(cut.cut, 'budget of bytes used up', ran.stderr);
    assert.deepEqual(await send(spender, ['udp.world.test', 5005]), ['TimeoutError']);
  });
});
