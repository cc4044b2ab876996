/** One direction of a flow: each chunk is written to the end, and its rate kept, before the next one is read. */
import type { Socket } from 'node:net';

/** What the kernel does not take at once stops the reading: nothing but one chunk is ever held. */
export class Lane {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #pace: (bytes: number) => number;
  #still = false;
  #late: NodeJS.Timeout | undefined;

  /** @param pace answers for how many milliseconds nothing more may be carried after so many bytes. */
  constructor(from: Socket, to: Socket, pace: (bytes: number) => number) {
    this.#from = from;
    this.#to = to;
    this.#pace = pace;
  }

  /** False where the next chunk has to wait: reading goes on by itself then. */
  take(chunk: Buffer): boolean {
    this.#to.write(chunk, this.#goOn);
    const waitMs = this.#pace(chunk.length);
    if (waitMs > 0) {
      this.#late = setTimeout(() => {
        this.#late = undefined;
        this.#goOn();
      }, waitMs).unref();
    }
    this.#still = this.#busy();
    return !this.#still;
  }

  #busy(): boolean {
    return this.#late !== undefined || this.#to.writableLength > 0;
  }

  readonly #goOn = (): void => {
    if (!this.#still || this.#busy()) return;
    this.#still = false;
    this.#from.resume();
  };
}
