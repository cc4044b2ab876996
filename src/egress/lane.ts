/** One direction of a flow: each chunk is written to the end before the next one is read. */
import type { Socket } from 'node:net';

/** What the kernel does not take at once stops the reading: nothing but one chunk is ever held. */
export class Lane {
  readonly #from: Socket;
  readonly #to: Socket;
  #still = false;

  constructor(from: Socket, to: Socket) {
    this.#from = from;
    this.#to = to;
  }

  /** False where the next chunk has to wait: reading goes on by itself then. */
  take(chunk: Buffer): boolean {
    this.#to.write(chunk, this.#written);
    this.#still = this.#to.writableLength > 0;
    return !this.#still;
  }

  readonly #written = (): void => {
    if (!this.#still || this.#to.writableLength > 0) return;
    this.#still = false;
    this.#from.resume();
  };
}
