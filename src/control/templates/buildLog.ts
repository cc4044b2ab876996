/** The log of one build: kept in memory, followed live by any number of readers. */
import { limits } from '../../base/limits.ts';

export interface LogLine {
  /** Counts from 0 over the whole build. */
  readonly seq: number;
  readonly at: string;
  readonly stream: 'build' | 'stdout' | 'stderr';
  readonly text: string;
  /** The line of the Dockerfile that it belongs to. */
  readonly line?: number;
  /** 0–100 over the whole build. */
  readonly percent: number;
}

const lineCharactersMax = 4096;

export class BuildLog {
  readonly #lines: LogLine[] = [];
  readonly #waiting = new Set<() => void>();
  #seq = 0;
  #percent = 0;
  #ended = false;

  write(stream: LogLine['stream'], text: string, line?: number): void {
    this.#lines.push({
      seq: this.#seq,
      at: new Date().toISOString(),
      stream,
      text: text.slice(0, lineCharactersMax),
      percent: this.#percent,
      ...(line === undefined ? {} : { line }),
    });
    this.#seq += 1;
    if (this.#lines.length > limits.buildLogLinesMax) this.#lines.shift();
    this.#wake();
  }

  get percent(): number {
    return this.#percent;
  }

  progress(percent: number): void {
    this.#percent = Math.max(this.#percent, Math.round(percent));
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  /** Lines from `seq` on that are kept, as many as there are now. */
  slice(from: number, most = Number.POSITIVE_INFINITY): LogLine[] {
    const first = this.#lines[0]?.seq ?? 0;
    const start = Math.max(0, from - first);
    return this.#lines.slice(start, start + most);
  }

  /** Lines from `seq` on, then new ones as they come, until the build ends or the signal aborts. */
  async *follow(from = 0, signal?: AbortSignal): AsyncGenerator<LogLine> {
    let next = from;
    while (signal?.aborted !== true) {
      const lines = this.slice(next);
      for (const line of lines) {
        next = line.seq + 1;
        yield line;
      }
      if (lines.length > 0) continue;
      if (this.#ended) return;
      await new Promise<void>((resolve) => {
        this.#waiting.add(resolve);
        signal?.addEventListener('abort', () => resolve(), { once: true });
      });
    }
  }
}

/** Cuts a program's output into lines, whatever the pieces that it comes in; what is no text is shown as such. */
export class LineCutter {
  readonly #onLine: (text: string) => void;
  readonly #decoder = new TextDecoder();
  #rest = '';

  constructor(onLine: (text: string) => void) {
    this.#onLine = onLine;
  }

  push(bytes: Uint8Array): void {
    this.#rest += this.#decoder.decode(bytes, { stream: true });
    const lines = this.#rest.split(/\r\n|\n|\r/);
    this.#rest = lines.pop() ?? '';
    if (this.#rest.length > lineCharactersMax) lines.push(this.#rest.slice(0, lineCharactersMax));
    if (this.#rest.length > lineCharactersMax) this.#rest = '';
    for (const line of lines) this.#onLine(line);
  }

  end(): void {
    if (this.#rest !== '') this.#onLine(this.#rest);
    this.#rest = '';
  }
}
