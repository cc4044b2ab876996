/** No connection lives twice after a fork: it ends on both sides at once, and both connect anew. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Sandbox } from '../../sdk/typescript/src/index.ts';
import { WorldServer } from '../system/egress/worldServer.ts';
import { missingForServer } from '../system/server.ts';

describe('connections of a fork', { skip: missingForServer() ?? false }, () => {
  const outside = new WorldServer();
  before(() => outside.start());
  after(() => outside.close());

  it('live sockets inherited: a fork during a download ends it on both sides, and both connect anew', async () => {
    const { url, apiKey } = outside.server;
    await using sbx = await Sandbox.create({ url, apiKey, timeoutMs: 600_000 });
    await sbx.setPolicy({ allow: [{ host: 'www.world.test' }] });
    const size = 60_000_000;
    const download = `curl -sS -m 60 --limit-rate 6M -o got http://www.world.test/bytes/${size}; echo $? > ended`;
    await (await sbx.spawn(['bash', '-c', download])).detach();
    await sleep(3000);
    const [copy] = await sbx.fork(1);
    assert.ok(copy instanceof Sandbox);
    const result = async (from: Sandbox): Promise<[string, number]> => {
      for (let round = 0; round < 15; round += 1) {
        const { stdout } = await from.exec('cat ended && stat -c %s got');
        const [code = '', bytes] = stdout.trim().split('\n');
        if (bytes !== undefined) return [code, Number(bytes)];
        await sleep(1000);
      }
      throw new Error('the download never ended');
    };
    for (const side of [sbx, copy]) {
      const [code, bytes] = await result(side);
      assert.ok(code !== '0' && bytes < size, `${code} ${bytes}`);
      const again = await side.exec('curl -sS -m 30 http://www.world.test/again');
      assert.equal(again.stdout, 'served www.world.test GET /again 0\n', again.stderr);
    }
    await copy.kill();
  });
});
