/** Policies in levels on real parts: changed for many sandboxes at once, under load, and in force when the change is told. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { learn } from '../../src/policy/learn.ts';
import { missingForRange, type Player, Range } from './egress/range.ts';

const sandboxes = 10;
const flipsEach = 10;

describe('egress levels', { skip: missingForRange() ?? false }, () => {
  const range = new Range();
  before(() => range.open());
  after(() => range.close());

  it('judges no request by a policy older than a second: 100 flips of 10 sandboxes in parallel, under load', async () => {
    const own = { allow: [{ host: 'flip.world.test' }] };
    const players: Player[] = [];
    for (let number = 0; number < sandboxes; number += 1) players.push(await range.player());
    await Promise.all(players.map((player) => player.set([own, own])));
    const load = players.map((player) =>
      player.python(
        `
import http.client, json, time
end = time.time() + 8
while time.time() < end:
  start = time.time()
  try:
    connection = http.client.HTTPConnection("flip.world.test", timeout=5)
    connection.request("GET", "/flip"); status = connection.getresponse().status
  except Exception: status = 0
  print(json.dumps([start, time.time(), status]), flush=True)
  time.sleep(0.05)`,
        30_000,
      ),
    );
    const now = (): number => (performance.timeOrigin + performance.now()) / 1000;
    const periods = players.map((): { asked: number; from: number; open: boolean }[] => []);
    await sleep(1000);
    for (let flip = 0; flip < flipsEach; flip += 1) {
      const open = flip % 2 !== 0;
      await Promise.all(
        players.map(async (player, index) => {
          const asked = now();
          await player.set([own, open ? own : {}]); // the tenant's level
          periods[index]?.push({ asked, from: now() + 0.001, open });
        }),
      );
      await sleep(400);
    }
    let judged = 0;
    for (const [index, ran] of (await Promise.all(load)).entries()) {
      const flips = periods[index] ?? [];
      for (const line of ran.stdout.trim().split('\n')) {
        const [start = 0, end = 0, status] = JSON.parse(line) as number[];
        const at = flips.findLastIndex(({ from }) => from <= start);
        const until = flips[at + 1]?.asked ?? Number.POSITIVE_INFINITY;
        if (at < 0 || end > until - 0.001) continue; // the policy changed while it was under way
        assert.equal(status === 200, flips[at]?.open, JSON.stringify([index, start, end, status, flips[at]]));
        judged += 1;
      }
    }
    for (const flips of periods) {
      for (const { asked, from } of flips) assert.ok(from - asked < 1, `a change took ${from - asked} s`);
    }
    assert.ok(judged > 100, `${judged} requests were judged`);
  });

  it('learning opens nothing: names get addresses that lead nowhere, and what is learned is enough', async () => {
    const player = await range.player();
    await player.set([{}], { learns: true });
    const since = range.events.length;
    const curl = (url: string): ReturnType<Player['run']> => player.run(['curl', '-sS', '-m', '5', url]);
    assert.equal(JSON.parse((await curl('http://learn.world.test/v1')).stdout).code, 'name_not_allowed');
    assert.match((await curl('https://learn.world.test/v1')).stderr, /alert|unrecognized name/);
    await sleep(300);
    assert.ok(!range.arrived.some(({ host, name }) => [host, name].includes('learn.world.test')));
    const denials = range.events.slice(since).flatMap((event) => {
      return event.kind === 'denied' && event.sandboxId === player.id ? [event] : [];
    });
    const { policy } = learn(denials);
    assert.deepEqual(policy.allow, [
      { host: 'learn.world.test', ports: [80], methods: ['GET'], paths: ['/v1'] },
      { host: 'learn.world.test', ports: [443] },
    ]);
    await player.set([policy]);
    assert.match((await curl('http://learn.world.test/v1')).stdout, /^served/);
  });
});
