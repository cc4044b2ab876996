/** What comes from outside, read into one buffer that is used again for every chunk: nothing is left to collect. */
import type { OnReadOpts } from 'node:net';

/** Where chunks fill the buffer it grows, so that a fast flow costs few system calls and a slow one little memory. */
const bytesAtFirst = 16 * 1024;
const bytesMax = 256 * 1024;
const growth = 4;

/** A socket of Node leaves a buffer of 64 KiB behind for each read; every thousandth of them sets off a full collection. */
export class Inflow {
  #buffer = Buffer.allocUnsafeSlow(bytesAtFirst);
  #filled = false;
  /** Gets each chunk, which is valid until it returns `true`, or until the socket is resumed after a `false`. */
  take: (chunk: Buffer) => boolean = () => false;

  /** For `net.connect`. */
  readonly onread: OnReadOpts = {
    buffer: () => this.#next(),
    callback: (length) => {
      this.#filled = length === this.#buffer.length;
      return this.take(this.#buffer.subarray(0, length));
    },
  };

  #next(): Buffer {
    if (this.#filled && this.#buffer.length < bytesMax) {
      this.#buffer = Buffer.allocUnsafeSlow(this.#buffer.length * growth);
    }
    return this.#buffer;
  }
}
