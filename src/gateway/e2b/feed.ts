/** One program's output for several readers: the guest gives it to one, E2B's clients may connect any number. */
import { setTimeout as sleep } from 'node:timers/promises';
import { CasemateError } from '../../base/errors.ts';
import type { ExecStream, ExitInfo, OutputChunk } from '../../guest/types.ts';

/** How many pieces (64 KiB at most each) a reader may be behind before all wait for it. */
const piecesWaitingMax = 8;

export type FeedEvent =
  | { readonly kind: 'data'; readonly chunk: OutputChunk }
  | { readonly kind: 'end'; readonly exited: ExitInfo }
  | { readonly kind: 'idle' };

/** A reader's place in a feed. */
export class Reader {
  readonly #leave: (reader: Reader) => void;
  readonly #waiting: FeedEvent[] = [];
  #failure: unknown;
  #closed = false;
  #wake = Promise.withResolvers<void>();

  constructor(leave: (reader: Reader) => void) {
    this.#leave = leave;
  }

  /** Resolves when there is room for the next one. */
  async put(event: FeedEvent): Promise<void> {
    this.#waiting.push(event);
    this.#stir();
    while (this.#waiting.length >= piecesWaitingMax && !this.#closed) await this.#wake.promise;
  }

  fail(error: unknown): void {
    this.#failure ??= error;
    this.#stir();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stir();
    this.#leave(this);
  }

  #stir(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers<void>();
  }

  /** The next event; `idle` when nothing came for so long; undefined after `close`. */
  async take(idleMs: number): Promise<FeedEvent | undefined> {
    if (this.#waiting.length === 0 && this.#failure === undefined && !this.#closed) {
      const timer = new AbortController();
      const idle = sleep(idleMs, 'idle', { signal: timer.signal, ref: false }).catch(() => 'woken');
      const first = await Promise.race([this.#wake.promise, idle]);
      timer.abort();
      if (first === 'idle') return { kind: 'idle' };
    }
    if (this.#closed) return undefined;
    const event = this.#waiting.shift();
    if (event !== undefined) {
      this.#stir();
      return event;
    }
    if (this.#failure !== undefined) throw this.#failure;
    return this.take(idleMs);
  }
}

/** Reads an exec at the pace of its slowest reader; without readers it lets go of it, and the program goes on. */
export class Feed {
  readonly pid: number;
  readonly #stream: ExecStream;
  readonly #onEnd: () => void;
  readonly #readers = new Set<Reader>();

  constructor(stream: ExecStream, onEnd: () => void) {
    this.pid = stream.pid;
    this.#stream = stream;
    this.#onEnd = onEnd;
    void this.#pump().finally(onEnd);
  }

  read(): Reader {
    const reader = new Reader((leaving) => {
      this.#readers.delete(leaving);
      if (this.#readers.size > 0) return;
      this.#onEnd(); // nobody may join what is let go of
      this.#stream.detach();
    });
    this.#readers.add(reader);
    return reader;
  }

  async #pump(): Promise<void> {
    try {
      for await (const chunk of this.#stream.output) await this.#tell({ kind: 'data', chunk });
      const exited = await this.#stream.exited;
      if (exited === undefined) throw new CasemateError('conflict', 'Another reader took the output over.');
      await this.#tell({ kind: 'end', exited });
    } catch (error) {
      for (const reader of this.#readers) reader.fail(error);
    }
  }

  async #tell(event: FeedEvent): Promise<void> {
    await Promise.all([...this.#readers].map((reader) => reader.put(event)));
  }
}

/** The feeds that have readers now, by sandbox and exec. It lives as long as the connections that it is made of. */
export class Feeds {
  readonly #open = new Map<string, Feed>();

  /** A reader of the exec that is open already. */
  join(sandboxId: string, execId: string): { pid: number; reader: Reader } | undefined {
    const feed = this.#open.get(`${sandboxId} ${execId}`);
    return feed === undefined ? undefined : { pid: feed.pid, reader: feed.read() };
  }

  open(sandboxId: string, execId: string, stream: ExecStream): { pid: number; reader: Reader } {
    const key = `${sandboxId} ${execId}`;
    const feed: Feed = new Feed(stream, () => {
      if (this.#open.get(key) === feed) this.#open.delete(key);
    });
    this.#open.set(key, feed);
    return { pid: feed.pid, reader: feed.read() };
  }
}
