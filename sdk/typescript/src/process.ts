/** A program in a sandbox: its output as it comes, its stdin, its end. */
import { CasemateError } from './errors.ts';
import { type ExecEvent, execEvents } from './execStream.ts';
import type { Transport } from './transport.ts';
import type { ExitInfo } from './types.ts';
import { type Bytes, bodyOf } from './upload.ts';

export interface OutputChunk {
  readonly stream: 'stdout' | 'stderr';
  readonly data: Uint8Array;
}

const signalNumbers = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGKILL: 9,
  SIGUSR1: 10,
  SIGUSR2: 12,
  SIGTERM: 15,
} as const;

export type Signal = keyof typeof signalNumbers | number;

/** Handle on a program that was started with `spawn`, `pty` or `attach`. */
export class SandboxProcess {
  readonly execId: string;
  readonly pid: number;
  /** Bytes that were dropped before this reader came. */
  readonly truncatedStdoutBytes: number;
  readonly truncatedStderrBytes: number;
  readonly #transport: Transport;
  readonly #path: string;
  readonly #events: AsyncGenerator<ExecEvent>;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  #exit: ExitInfo | undefined;
  #stdin: Promise<void> = Promise.resolve();
  readonly #atEnd: (() => void)[] = [];

  private constructor(
    transport: Transport,
    path: string,
    first: ExecEvent,
    stream: { events: AsyncGenerator<ExecEvent>; reader: ReadableStreamDefaultReader<Uint8Array> },
  ) {
    if (first.kind !== 'started' && first.kind !== 'attached') {
      throw new CasemateError('internal', 'The output stream did not begin with its program.');
    }
    this.execId = first.execId;
    this.pid = first.pid;
    this.truncatedStdoutBytes = first.truncatedStdoutBytes;
    this.truncatedStderrBytes = first.truncatedStderrBytes;
    this.#transport = transport;
    this.#path = `${path}/execs/${first.execId}`;
    this.#events = stream.events;
    this.#reader = stream.reader;
  }

  /** @internal Reads the beginning of an answer's stream. */
  static async open(transport: Transport, sandboxPath: string, response: Response): Promise<SandboxProcess> {
    if (response.body === null) throw new CasemateError('internal', 'The server answered without a stream.');
    const reader: ReadableStreamDefaultReader<Uint8Array> = response.body.getReader();
    const events = execEvents(reader);
    const first = await events.next();
    if (first.done === true)
      throw new CasemateError('sandbox_ended', 'The stream ended before the program started.');
    return new SandboxProcess(transport, sandboxPath, first.value, { events, reader });
  }

  /**
   * The output as it comes. The program waits while you do: nothing is buffered beyond a window.
   * Leaving the loop detaches; the program goes on.
   */
  async *output(): AsyncGenerator<OutputChunk> {
    try {
      for await (const event of this.#events) {
        if (event.kind === 'exited') this.#exit = event.exit;
        else if (event.kind === 'stdout' || event.kind === 'stderr')
          yield { stream: event.kind, data: event.data };
      }
    } finally {
      for (const tell of this.#atEnd.splice(0)) tell();
      await this.#reader.cancel().catch(() => {}); // broken already: the loop has had the error
    }
  }

  /**
   * Reads (and drops) what is left of the output and answers how the program ended.
   * @throws CasemateError `conflict` where another reader attached meanwhile.
   */
  async wait(): Promise<ExitInfo> {
    for await (const _chunk of this.output()) {
      // whoever wants the output iterates it
    }
    if (this.#exit !== undefined) return this.#exit;
    throw new CasemateError('conflict', 'The stream ended before the program did.');
  }

  /** How it ended, once `output` is through. */
  get exit(): ExitInfo | undefined {
    return this.#exit;
  }

  /** Signals the whole process group; SIGKILL by default. */
  async kill(signal: Signal = 'SIGKILL'): Promise<void> {
    const number = typeof signal === 'number' ? signal : signalNumbers[signal];
    await this.#transport.done('POST', `${this.#path}/signal`, { json: { signal: number } });
  }

  /** Writes to stdin, in the order of the calls; resolves when the program was given all of it. */
  writeStdin(data: Bytes): Promise<void> {
    return this.#sendStdin(data, {});
  }

  /** Writes what is left, if anything, and closes stdin. */
  closeStdin(data: Bytes = '', options: { signal?: AbortSignal } = {}): Promise<void> {
    return this.#sendStdin(data, { ...options, query: { end: true } });
  }

  #sendStdin(data: Bytes, options: { signal?: AbortSignal; query?: { end: true } }): Promise<void> {
    const sent = this.#stdin.then(() =>
      this.#transport.done('POST', `${this.#path}/stdin`, { ...options, body: bodyOf(data) }),
    );
    this.#stdin = sent.catch(() => {}); // the one who wrote has the error
    return sent;
  }

  /** Tells a terminal its new size. */
  async resize(size: { rows: number; cols: number }): Promise<void> {
    await this.#transport.done('POST', `${this.#path}/resize`, { json: size });
  }

  /** Lets go of the output; the program goes on and can be attached to again. */
  async detach(): Promise<void> {
    await this.#reader.cancel().catch(() => {}); // also ends a read that waits for output
  }

  /** @internal Called once, when the output has ended or was left. */
  whenOver(tell: () => void): void {
    this.#atEnd.push(tell);
  }
}
