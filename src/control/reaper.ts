/** Ends sandboxes at their time limit and at idleness: one timer for the earliest of all. */
import type { Clock } from './clock.ts';

interface Watched {
  endsAtMs: number;
  idleMs: number | undefined;
  lastUseMs: number;
  /** Calls under way; a sandbox in use is not idle. */
  uses: number;
}

export class Reaper {
  readonly #clock: Clock;
  readonly #end: (id: string, reason: 'time_limit' | 'idle') => void;
  readonly #watched = new Map<string, Watched>();
  #cancelTimer: (() => void) | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;

  constructor(clock: Clock, end: (id: string, reason: 'time_limit' | 'idle') => void) {
    this.#clock = clock;
    this.#end = end;
  }

  watch(id: string, endsAtMs: number, idleMs?: number): void {
    this.#watched.set(id, { endsAtMs, idleMs, lastUseMs: this.#clock.now(), uses: 0 });
    this.#aim();
  }

  extend(id: string, endsAtMs: number): void {
    const watched = this.#watched.get(id);
    if (watched !== undefined) watched.endsAtMs = endsAtMs;
    this.#aim();
  }

  /** Says that the sandbox is in use; the returned function, called once, says that it no longer is. */
  use(id: string): () => void {
    const watched = this.#watched.get(id);
    if (watched === undefined) return () => {};
    watched.uses += 1;
    let done = false;
    return () => {
      if (done) return;
      done = true;
      watched.uses -= 1;
      watched.lastUseMs = this.#clock.now();
      if (watched.idleMs !== undefined) this.#aim();
    };
  }

  forget(id: string): void {
    this.#watched.delete(id);
  }

  stop(): void {
    this.#watched.clear();
    this.#cancelTimer?.();
  }

  #dueMs(watched: Watched): number {
    if (watched.idleMs === undefined || watched.uses > 0) return watched.endsAtMs;
    return Math.min(watched.endsAtMs, watched.lastUseMs + watched.idleMs);
  }

  /** Sets the timer to the earliest end, if that is another one than before. */
  #aim(): void {
    let earliest = Number.POSITIVE_INFINITY;
    for (const watched of this.#watched.values()) earliest = Math.min(earliest, this.#dueMs(watched));
    if (earliest === this.#timerAtMs) return;
    this.#cancelTimer?.();
    this.#timerAtMs = earliest;
    this.#cancelTimer =
      earliest === Number.POSITIVE_INFINITY
        ? undefined
        : this.#clock.after(earliest - this.#clock.now(), () => this.#fire());
  }

  #fire(): void {
    this.#timerAtMs = Number.POSITIVE_INFINITY;
    const now = this.#clock.now();
    for (const [id, watched] of this.#watched) {
      if (this.#dueMs(watched) > now) continue;
      this.#watched.delete(id);
      this.#end(id, watched.endsAtMs <= now ? 'time_limit' : 'idle');
    }
    this.#aim();
  }
}
