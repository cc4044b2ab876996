/** Egress on real parts: the proxy, the gate's rules, real clients, and each network attack of the threat table. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { missingForRange, type Player, Range } from './egress/range.ts';

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
});
