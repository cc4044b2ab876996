/** Samples of what sandboxes use: so many, from outside, and right where a sandbox stood still or was paused in between. */
import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { beforeEach, describe, it } from 'node:test';
import { limits } from '../base/limits.ts';
import type { Inspection } from '../runtime/driver.ts';
import type { SandboxRow } from '../store/types.ts';
import { Usage } from './usage.ts';
import type { UsageSample } from './usageRing.ts';

const id = 'a'.repeat(20);
const principal = { tenantId: 'one', keyId: 'key', scope: 'tenant' };
const { usageSampleMs } = limits;

/** One sandbox, whose time and counters the test sets by hand. */
class Stand {
  nowMs = 1_000_000;
  cpuMs = 0;
  isAwake = true;
  isThere = true;
  asked = 0;
  state: SandboxRow['state'] = 'running';
  #tick = (): void => {};
  #ended: (id: string) => void = () => {};
  readonly usage = new Usage({
    clock: {
      now: () => this.nowMs,
      after: (_delayMs, callback) => {
        this.#tick = callback;
        return () => {};
      },
    },
    log: { info() {}, warn() {}, error: assert.fail },
    sandboxes: {
      get: () => ({ id, state: this.state }) as SandboxRow,
      onEnded: (listener) => {
        this.#ended = listener;
      },
    },
    node: {
      usage: {
        awake: () => (this.isAwake && this.isThere ? [id] : []),
        of: async (ids) => {
          this.asked += ids.length;
          return new Map(ids.filter(() => this.isThere).map((each) => [each, this.#inspection()]));
        },
      },
    },
  });

  #inspection(): Inspection {
    return {
      state: 'running',
      oomKills: 0,
      pidLimitHits: 0,
      memoryBytes: this.nowMs,
      cpuMicroseconds: this.cpuMs * 1000,
      diskBytes: 0,
      pids: 3,
    };
  }

  async pass(ms: number, cpuMs: number): Promise<void> {
    this.nowMs += ms;
    this.cpuMs += cpuMs;
    this.#tick();
    await setImmediate();
  }

  end(): void {
    this.#ended(id);
  }

  /** Without the one of now. */
  async kept(window: { fromMs?: number } = {}): Promise<readonly UsageSample[]> {
    this.nowMs += 1;
    return this.usage.of(principal, id, { ...window, toMs: this.nowMs - 1 });
  }
}

describe('samples of use', () => {
  let stand: Stand;
  beforeEach(async () => {
    stand = new Stand();
    stand.usage.start();
    await stand.pass(usageSampleMs, 700); // where counting begins
  });

  it('tells the use of processors between two readings', async () => {
    await stand.pass(usageSampleMs, usageSampleMs / 2);
    await stand.pass(usageSampleMs, usageSampleMs * 2);
    const [first, second] = await stand.kept();
    assert.deepEqual([first?.cpuPercent, second?.cpuPercent], [50, 200]);
    assert.equal((await stand.kept({ fromMs: second?.atMs ?? 0 })).length, 1);
  });

  it('takes one sample more of one that came to stand still, and none after it', async () => {
    await stand.pass(usageSampleMs, 0);
    stand.isAwake = false;
    await stand.pass(usageSampleMs, usageSampleMs / 4);
    const { asked } = stand;
    for (let round = 0; round < 100; round += 1) await stand.pass(usageSampleMs, 0);
    assert.equal(stand.asked, asked);
    stand.isAwake = true;
    await stand.pass(usageSampleMs, usageSampleMs);
    assert.deepEqual(
      (await stand.kept()).map(({ cpuPercent }) => cpuPercent),
      [0, 25, 100],
    );
  });

  it('keeps what was before a pause, and counts from nothing after it', async () => {
    await stand.pass(usageSampleMs, usageSampleMs);
    stand.isThere = false;
    stand.state = 'paused';
    await stand.pass(usageSampleMs, 0);
    const { asked } = stand;
    await stand.pass(usageSampleMs, 0);
    assert.equal(stand.asked, asked);
    assert.equal((await stand.usage.of(principal, id)).length, 1, 'none of now');
    stand.isThere = true;
    stand.state = 'running';
    stand.cpuMs = 0;
    await stand.pass(usageSampleMs, usageSampleMs / 10);
    assert.deepEqual(
      (await stand.kept()).map(({ cpuPercent }) => cpuPercent),
      [100, 10],
    );
  });

  it('keeps so many and no more, and nothing of one that has ended', async () => {
    for (let round = 0; round < limits.usageSamplesMax + 10; round += 1) await stand.pass(usageSampleMs, 0);
    const newest = stand.nowMs;
    const kept = await stand.kept();
    assert.equal(kept.length, limits.usageSamplesMax);
    assert.equal(kept.at(-1)?.atMs, newest);
    assert.equal(kept[0]?.atMs, newest - (limits.usageSamplesMax - 1) * usageSampleMs);
    assert.equal(kept[0]?.memoryBytes, kept[0]?.atMs, 'each has its own numbers');
    stand.end();
    assert.deepEqual(await stand.kept(), []);
  });

  it('has a sample of now, also of one that is new', async () => {
    assert.equal((await new Stand().usage.of(principal, id)).length, 1);
    stand.nowMs += 1000;
    stand.cpuMs += 300;
    assert.deepEqual(
      (await stand.usage.of(principal, id)).map(({ cpuPercent }) => cpuPercent),
      [30],
    );
  });
});
