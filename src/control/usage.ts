/** What sandboxes have used lately: samples taken while they run, so many and no more, gone with the server and with them. */
import { setTimeout as sleep } from 'node:timers/promises';
import { limits } from '../base/limits.ts';
import type { Log } from '../base/log.ts';
import type { SandboxNode } from '../node/types.ts';
import type { Inspection } from '../runtime/driver.ts';
import type { SandboxRow } from '../store/types.ts';
import type { Principal } from './access.ts';
import type { Clock } from './clock.ts';
import type { Sandboxes } from './sandboxes.ts';
import { UsageRing, type UsageSample } from './usageRing.ts';

/** Both ends belong to it. */
export interface UsageWindow {
  readonly fromMs?: number;
  readonly toMs?: number;
}

/** What was read last: use of processors is the difference of two readings. */
interface Reading {
  readonly atMs: number;
  readonly cpuMicroseconds: number;
  /** It stood still then; so it used nothing until it woke. */
  readonly still: boolean;
}

interface History {
  readonly ring: UsageRing;
  last: Reading;
}

export interface UsageOptions {
  readonly node: Pick<SandboxNode, 'usage'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly sandboxes: Pick<Sandboxes, 'get' | 'onEnded'>;
}

/** Two readings nearer to each other say nothing about use of processors. */
const apartMsMin = 200;

export class Usage {
  readonly #options: UsageOptions;
  readonly #histories = new Map<string, History>();
  #cancel: (() => void) | undefined;

  constructor(options: UsageOptions) {
    this.#options = options;
    options.sandboxes.onEnded((id) => this.#histories.delete(id));
  }

  start(): void {
    this.#cancel = this.#options.clock.after(limits.usageSampleMs, () => void this.#tick());
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  async #tick(): Promise<void> {
    await this.#sample().catch((error: unknown) =>
      this.#options.log.warn('not_sampled', { reason: String(error) }),
    );
    if (this.#cancel !== undefined) this.start(); // not stopped meanwhile
  }

  /** One that has come to stand still is read once more: what it used until then, and where it goes on from. */
  async #sample(): Promise<void> {
    const { node, clock } = this.#options;
    const awake = new Set(node.usage.awake());
    const stopped = [...this.#histories].filter(([id, { last }]) => !last.still && !awake.has(id));
    const asked = [...awake, ...stopped.map(([id]) => id)];
    const readings = await node.usage.of(asked);
    const atMs = clock.now();
    const there = new Set(node.usage.awake());
    for (const id of asked) {
      const inspection = readings.get(id);
      const history = this.#histories.get(id);
      const isThere = inspection?.state === 'running';
      const reading = {
        atMs,
        cpuMicroseconds: isThere ? inspection.cpuMicroseconds : 0, // paused: it is counted from nothing again
        still: !isThere || !awake.has(id),
      };
      if (history === undefined) {
        if (there.has(id))
          this.#histories.set(id, { ring: new UsageRing(limits.usageSamplesMax), last: reading }); // it has not ended meanwhile
        continue;
      }
      const sample = isThere ? sampleOf(inspection, history.last, atMs) : undefined;
      if (sample !== undefined) history.ring.push(sample);
      history.last = reading;
    }
  }

  /**
   * Samples of a sandbox, oldest first: one each `limits.usageSampleMs` while it runs, none while it stands still or is
   * paused, and one of this moment where the window has it. Asking wakes nothing.
   * @throws CasemateError `not_found`
   */
  async of(principal: Principal, id: string, window: UsageWindow = {}): Promise<readonly UsageSample[]> {
    const row = this.#options.sandboxes.get(principal, id);
    const { fromMs = 0, toMs = Number.POSITIVE_INFINITY } = window;
    const samples = (this.#histories.get(id)?.ring.list() ?? []).filter(
      ({ atMs }) => fromMs <= atMs && atMs <= toMs,
    );
    const now = toMs < this.#options.clock.now() ? undefined : await this.#now(row);
    return now === undefined ? samples : [...samples, now];
  }

  async #now({ id, state }: SandboxRow): Promise<UsageSample | undefined> {
    if (state !== 'running') return undefined;
    const { clock } = this.#options;
    let before = this.#histories.get(id)?.last;
    if (before === undefined || clock.now() - before.atMs < apartMsMin) {
      before = {
        atMs: clock.now(),
        cpuMicroseconds: (await this.#read(id))?.cpuMicroseconds ?? 0,
        still: false,
      };
      await sleep(apartMsMin);
    }
    const inspection = await this.#read(id);
    return inspection === undefined ? undefined : sampleOf(inspection, before, clock.now());
  }

  async #read(id: string): Promise<Inspection | undefined> {
    const inspection = (await this.#options.node.usage.of([id])).get(id);
    return inspection?.state === 'running' ? inspection : undefined;
  }
}

/** None where the counter has begun anew, as after a pause. */
function sampleOf(inspection: Inspection, before: Reading, atMs: number): UsageSample | undefined {
  const { cpuMicroseconds, memoryBytes, diskBytes, pids } = inspection;
  const usedMicroseconds = cpuMicroseconds - before.cpuMicroseconds;
  if (usedMicroseconds < 0) return undefined;
  const passedMs = atMs - before.atMs;
  const elapsedMs = Math.max(1, before.still ? Math.min(passedMs, limits.usageSampleMs) : passedMs);
  const cpuPercent = Math.round((usedMicroseconds / 10 / elapsedMs) * 100) / 100;
  return { atMs, cpuPercent, memoryBytes, diskBytes, pids };
}
