/** A client's connection whose requests are read, held back to its host's rate of bytes, both ways. */
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';

/** Reads nothing while it is late, and takes nothing: its peers wait, and nothing gathers here. */
export class Paced extends Duplex {
  readonly #socket: Socket;
  readonly #pace: (bytes: number) => number;
  readonly #timers = new Set<NodeJS.Timeout>();
  #wanted = false;
  #late = false;

  /** @param pace answers for how many milliseconds nothing more may be carried after so many bytes. */
  constructor(socket: Socket, pace: (bytes: number) => number) {
    super({ allowHalfOpen: true });
    this.#socket = socket;
    this.#pace = pace;
    socket.pause();
    socket.on('data', (chunk: Buffer) => this.#came(chunk));
    socket.on('end', () => this.push(null));
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => this.destroy());
    socket.on('timeout', () => this.emit('timeout'));
  }

  /** HTTP servers set their idle limit by it. */
  setTimeout(ms: number): this {
    this.#socket.setTimeout(ms);
    return this;
  }

  #came(chunk: Buffer): void {
    this.#wanted = this.push(chunk);
    const waitMs = this.#pace(chunk.length);
    if (waitMs > 0) {
      this.#late = true;
      this.#after(waitMs, () => {
        this.#late = false;
        if (this.#wanted) this.#socket.resume();
      });
    }
    if (!this.#wanted || this.#late) this.#socket.pause();
  }

  override _read(): void {
    this.#wanted = true;
    if (!this.#late) this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#socket.write(chunk, (error) => {
      const waitMs = this.#pace(chunk.length);
      if (error || waitMs === 0) done(error);
      else this.#after(waitMs, done);
    });
  }

  override _final(done: () => void): void {
    this.#socket.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#socket.destroy();
    done(error);
  }

  #after(ms: number, work: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      work();
    }, ms);
    this.#timers.add(timer);
  }
}
