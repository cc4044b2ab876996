/** What E2B's sandboxes reach: the server's ceiling, their own rules, and what they are told when something is denied. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ConnectionOpts, Sandbox } from 'e2b';
import { missingForRange, Range } from './egress/range.ts';
import { missingForServer, startServer, type TestServer } from './server.ts';

describe('the network of E2B’s sandboxes', { skip: missingForServer() ?? false }, () => {
  let server: TestServer;
  let options: ConnectionOpts;
  before(async () => {
    server = await startServer();
    const apiKey = server.apiKey.replace('casemate_', 'e2b_');
    options = { apiUrl: server.url, sandboxUrl: server.url, apiKey };
  });
  after(() => server.close());

  async function hintOfDenial(sandbox: Sandbox): Promise<string> {
    await sandbox.commands.run('getent hosts denied.example || true');
    for (let round = 0; round < 50; round += 1) {
      const query = { sandboxId: sandbox.sandboxId, action: 'network.denied' };
      for (const { detail } of await server.client.audit.list(query))
        if (typeof detail.hint === 'string') return detail.hint;
      await sleep(100);
    }
    throw new Error('no denial was told');
  }

  it('is the package indexes alone by default, and every denial says so', async () => {
    const sandbox = await Sandbox.create(options);
    const { allowInternetAccess, network } = await sandbox.getInfo();
    assert.equal(allowInternetAccess, false);
    assert.deepEqual(network?.denyOut, []);
    assert.match(await hintOfDenial(sandbox), /--e2b-internet packages/);
    await sandbox.kill();
  });

  it('is what its own rules say, at its creation and later', async () => {
    const sandbox = await Sandbox.create({
      ...options,
      network: {
        allowOut: ({ rules }) => ['*.example.test', '44.0.0.0/8', ...rules.keys()],
        denyOut: ({ allTraffic }) => [allTraffic],
        rules: { 'api.test': [{ transform: { headers: { 'X-Key': 'value' } } }] },
      },
    });
    const first = (await sandbox.getInfo()).network;
    assert.deepEqual(first?.allowOut, ['*.example.test', 'api.test', '44.0.0.0/8']);
    assert.deepEqual(first?.denyOut, ['0.0.0.0/0']);
    assert.deepEqual(first?.rules, { 'api.test': [{ transform: { headers: { 'X-Key': 'value' } } }] });
    await sandbox.updateNetwork({ denyOut: ['44.0.0.0/8'], allowOut: ['44.1.0.0/16'] });
    const second = (await sandbox.getInfo()).network;
    assert.deepEqual(second?.allowOut, ['44.1.0.0/16']);
    assert.ok(second?.denyOut?.includes('44.0.0.0/16') && !second.denyOut.includes('44.1.0.0/16'));
    await sandbox.updateNetwork({ allowInternetAccess: false });
    assert.deepEqual((await sandbox.getInfo()).network?.denyOut, ['0.0.0.0/0']);
    await assert.rejects(sandbox.updateNetwork({ allowOut: ['a.test'] }), /400: .*0\.0\.0\.0\/0/);
    await sandbox.kill();
  });
});

describe('every name, for an administrator', { skip: missingForRange() ?? false }, () => {
  it('is answered and reached, and a denial carries the policy’s note', async () => {
    const range = new Range();
    await range.open();
    try {
      const player = await range.player();
      const curl = (url: string): ReturnType<typeof player.run> =>
        player.run(['curl', '-sS', '-m', '10', url]);
      await player.set(
        [
          {
            allow: [{ host: '*', ports: [80] }],
            deny: [{ host: 'bad.world.test' }],
            note: 'ask the operator',
          },
        ],
        {
          administrator: true,
        },
      );
      assert.match((await curl('http://www.world.test/')).stdout, /^served/);
      await curl('http://bad.world.test/');
      const denied = await range.denial(player, 'denied_by_rule');
      assert.match(denied.hint, /ask the operator/);
    } finally {
      await range.close();
    }
  });
});
