/** Warm sandboxes of one template on one runtime: taken in no time, made again when the node is quiet. */
import type { Log } from '../base/log.ts';
import type { LiveSandbox, PoolStatus } from './types.ts';

export interface PoolOptions {
  readonly template: string;
  readonly runtime: string;
  readonly size: number;
  /** Starts a sandbox with default limits and an answering agent. */
  readonly make: () => Promise<LiveSandbox>;
  readonly discard: (id: string) => Promise<void>;
  readonly log: Log;
}

/** Refilling waits until nothing was claimed or used for this long: a burst gets the processors for itself. */
const quietMs = 80;
/** But no longer than this, where the node is never quiet. */
const postponedMsMax = 1000;
/** So many of the next to be taken are awake already: the first answer after standing still takes 10 ms longer. */
const awakeAhead = 2;
/** Waking up is processor work too: it waits until the one that was taken has had time for its first program. */
const wakeMs = 30;
/** After a failure the next try waits this long. */
const failureMs = 5000;

export class Pool {
  readonly template: string;
  readonly runtime: string;
  readonly #options: PoolOptions;
  readonly #ready: LiveSandbox[] = [];
  #size: number;
  #making: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #wakeTimer: NodeJS.Timeout | undefined;
  /** When the node was last used, and since when a refill waits for it to be quiet. */
  #usedAt = 0;
  #waitsSince: number | undefined;
  #stopped = false;

  constructor(options: PoolOptions) {
    this.#options = options;
    this.template = options.template;
    this.runtime = options.runtime;
    this.#size = options.size;
    this.#later(0);
  }

  /** The warm one that waited longest, or undefined. */
  take(): LiveSandbox | undefined {
    const taken = this.#ready.shift();
    this.#wakeTimer ??= setTimeout(() => this.#wakeNext(), wakeMs);
    this.postpone();
    this.#refill();
    return taken;
  }

  /** Takes a running, unclaimed sandbox in. @returns false where there is no room for it. */
  adopt(sandbox: LiveSandbox): boolean {
    if (this.#stopped || this.#ready.length >= this.#size) return false;
    this.#add(sandbox);
    return true;
  }

  #add(sandbox: LiveSandbox): void {
    if (this.#ready.length >= awakeAhead) sandbox.rest.standStill();
    this.#ready.push(sandbox);
    void sandbox.guest.closed.then(() => {
      const index = this.#ready.indexOf(sandbox);
      if (index < 0 || this.#stopped) return; // claimed meanwhile: its user's business; or the node is stopping
      this.#ready.splice(index, 1);
      this.#options.log.warn('warm_sandbox_lost', { id: sandbox.id });
      void this.#options.discard(sandbox.id).finally(() => this.#later(failureMs));
    });
  }

  #wakeNext(): void {
    this.#wakeTimer = undefined;
    for (const next of this.#ready.slice(0, awakeAhead)) {
      if (!next.rest.wake()) continue;
      void next.guest.ping().catch(() => {}); // what it loads again is loaded now; its end is heard of elsewhere
    }
  }

  /** A sandbox of the node was used: a refill that waits for a quiet moment waits on. */
  postpone(): void {
    this.#usedAt = performance.now();
    if (this.#waitsSince !== undefined) this.#refill();
  }

  /** Makes the next one in a quiet moment. */
  #refill(): void {
    if (this.#making !== undefined || this.#ready.length >= this.#size) return;
    const now = performance.now();
    this.#waitsSince ??= now;
    this.#later(Math.max(0, Math.min(this.#usedAt + quietMs, this.#waitsSince + postponedMsMax) - now));
  }

  resize(size: number): void {
    this.#size = size;
    for (const surplus of this.#ready.splice(size)) void this.#options.discard(surplus.id);
    this.#later(0);
  }

  #later(delayMs: number): void {
    clearTimeout(this.#timer);
    if (this.#stopped || this.#making !== undefined || this.#ready.length >= this.#size) return;
    this.#timer = setTimeout(() => {
      this.#waitsSince = undefined;
      this.#making = this.#makeOne();
    }, delayMs);
  }

  /** One after the other: each start is processor work, and claims should feel none of it. */
  async #makeOne(): Promise<void> {
    let failed = false;
    try {
      const made = await this.#options.make();
      if (this.#stopped || this.#ready.length >= this.#size) await this.#options.discard(made.id);
      else this.#add(made);
    } catch (error) {
      failed = true;
      this.#options.log.warn('warm_sandbox_failed', { template: this.template, reason: String(error) });
    } finally {
      this.#making = undefined;
      if (failed) this.#later(failureMs);
      else this.#refill();
    }
  }

  status(): PoolStatus {
    return {
      template: this.template,
      runtime: this.runtime,
      size: this.#size,
      ready: this.#ready.length,
      starting: this.#making === undefined ? 0 : 1,
    };
  }

  /** Makes no more, waits for the one that is being made (it is discarded), and answers those that are warm. */
  async stop(): Promise<readonly LiveSandbox[]> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#wakeTimer);
    await this.#making;
    return this.#ready;
  }
}
