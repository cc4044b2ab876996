/** Speaks QEMU's control protocol: one JSON object a line. Bounded, because a machine may have broken out into its QEMU. */
import type { Readable, Writable } from 'node:stream';

const lineBytesMax = 256 * 1024;
const commandMsMax = 30_000;

interface QmpMessage {
  readonly return?: unknown;
  readonly error?: { readonly desc?: unknown };
  readonly event?: unknown;
  readonly data?: Readonly<Record<string, unknown>>;
}

interface Waiter {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

export type QmpEvent = { readonly name: string; readonly data: Readonly<Record<string, unknown>> };

export class Qmp {
  readonly #input: Readable;
  readonly #output: Writable;
  /** Answers come in the order of the commands. */
  readonly #answers: Waiter[] = [];
  readonly #listeners = new Set<(event: QmpEvent) => void>();
  #text = '';
  #ended: Error | undefined;
  readonly #endListeners = new Set<(error: Error) => void>();

  get hasEnded(): boolean {
    return this.#ended !== undefined;
  }

  constructor(input: Readable, output: Writable) {
    this.#input = input;
    this.#output = output;
    input.setEncoding('utf8');
    input.on('data', (text: string) => this.#take(text));
    input.on('error', (error) => this.end(error));
    output.on('error', (error) => this.end(error));
    this.command('qmp_capabilities').catch(() => {});
  }

  #take(text: string): void {
    this.#text += text;
    if (this.#text.length > lineBytesMax) return this.end(new Error('QEMU sent a line that is too long'));
    const lines = this.#text.split('\n');
    this.#text = lines.pop() ?? '';
    for (const line of lines) {
      try {
        this.#message(JSON.parse(line) as QmpMessage);
      } catch (error) {
        return this.end(error instanceof Error ? error : new Error(String(error)));
      }
    }
  }

  #message(message: QmpMessage): void {
    if (typeof message.event === 'string') {
      const event = { name: message.event, data: message.data ?? {} };
      for (const listener of [...this.#listeners]) listener(event);
    } else if (message.error !== undefined) {
      this.#answers.shift()?.reject(new Error(String(message.error.desc)));
    } else if (message.return !== undefined) {
      this.#answers.shift()?.resolve(message.return);
    }
  }

  /** Sends at once; commands may follow one another without waiting. @throws Error with QEMU's words */
  command(execute: string, parameters: object = {}): Promise<unknown> {
    return this.#bounded(execute, (waiter) => {
      this.#answers.push(waiter);
      this.#output.write(`${JSON.stringify({ execute, arguments: parameters })}\n`);
    });
  }

  onEvent(listener: (event: QmpEvent) => void): void {
    this.#listeners.add(listener);
  }

  /** The next event that `matches`. @throws Error when QEMU ends or time is up */
  event(matches: (event: QmpEvent) => boolean, timeoutMs = commandMsMax): Promise<QmpEvent> {
    let listener: (event: QmpEvent) => void = () => {};
    return this.#bounded(
      'an event',
      ({ resolve }) => {
        listener = (event) => matches(event) && resolve(event);
        this.#listeners.add(listener);
      },
      timeoutMs,
    ).finally(() => this.#listeners.delete(listener)) as Promise<QmpEvent>;
  }

  #bounded(what: string, begin: (waiter: Waiter) => void, timeoutMs = commandMsMax): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) return reject(this.#ended);
      const timer = setTimeout(() => fail(new Error(`QEMU took too long with ${what}`)), timeoutMs);
      const settle = (): void => {
        clearTimeout(timer);
        this.#endListeners.delete(fail);
      };
      const fail = (error: Error): void => {
        settle();
        reject(error);
      };
      this.#endListeners.add(fail);
      begin({
        resolve: (value) => {
          settle();
          resolve(value);
        },
        reject: fail,
      });
    });
  }

  /** Lets go of the connection; the machine runs on. */
  end(reason = new Error('the connection was closed')): void {
    if (this.#ended !== undefined) return;
    this.#ended = reason;
    for (const listener of [...this.#endListeners]) listener(reason);
    this.#input.destroy();
    this.#output.destroy();
  }
}
