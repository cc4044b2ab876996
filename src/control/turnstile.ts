/** Lets creates and programs begin a few at a time: all begun at once, each would end when the last one does. */
import { availableParallelism } from 'node:os';

type Kind = 'create' | 'exec';
type Lanes = Readonly<Record<Kind, (() => void)[]>>;

/** A turn is over after this long at the latest: what runs on takes no processor, or gets its share of it as ever. */
const turnMsMax = 12;
/** So many programs go before a create that waits: a sandbox is of use once its first program has answered. */
const execsInARow = 4;

export interface TurnstileOptions {
  /** How many pieces of work may begin at the same time; by default as many as there are processors. */
  readonly turns?: number;
}

/**
 * Under load the processors are shared by all that runs; fifty programs that need 7 ms each would all end after 350 ms. In
 * turns half of them have ended after half of that time. Tenants take turns with each other, whatever each has waiting.
 */
export class Turnstile {
  /** In the order of whose turn is next. */
  readonly #waiting = new Map<string, Lanes>();
  #free: number;
  #execs = 0;

  constructor({ turns = Math.max(2, availableParallelism()) }: TurnstileOptions = {}) {
    this.#free = turns;
  }

  /**
   * Begins `work` when its turn comes. The turn ends when `over` says so, and soon in any case.
   * @throws whatever `work` throws
   */
  async pass<Result>(
    tenantId: string,
    kind: Kind,
    work: () => Promise<Result>,
    over: (result: Result) => Promise<unknown> = async () => {},
  ): Promise<Result> {
    if (this.#free > 0) this.#free -= 1;
    else await this.#turn(tenantId, kind);
    const timer = setTimeout(leave, turnMsMax);
    const next = (): void => this.#next();
    let left = false;
    function leave(): void {
      if (left) return;
      left = true;
      clearTimeout(timer);
      next();
    }
    try {
      const result = await work();
      over(result).then(leave, leave);
      return result;
    } catch (error) {
      leave();
      throw error;
    }
  }

  #turn(tenantId: string, kind: Kind): Promise<void> {
    const lanes = this.#waiting.get(tenantId) ?? { create: [], exec: [] };
    this.#waiting.set(tenantId, lanes);
    return new Promise((resolve) => lanes[kind].push(resolve));
  }

  #next(): void {
    const [first] = this.#waiting;
    if (first === undefined) {
      this.#free += 1;
      return;
    }
    const [tenantId, lanes] = first;
    const kind = this.#kindOf(lanes);
    this.#execs = kind === 'exec' ? this.#execs + 1 : 0;
    lanes[kind].shift()?.();
    this.#waiting.delete(tenantId);
    if (lanes.create.length + lanes.exec.length > 0) this.#waiting.set(tenantId, lanes);
  }

  #kindOf(lanes: Lanes): Kind {
    if (lanes.exec.length === 0) return 'create';
    return lanes.create.length > 0 && this.#execs >= execsInARow ? 'create' : 'exec';
  }
}
