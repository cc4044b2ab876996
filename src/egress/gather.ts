/** Reads the start of a socket until a test is satisfied, within bounds of bytes and time. */
import type { Socket } from 'node:net';

export interface GatherOptions<Result> {
  /** Undefined asks for more bytes. */
  readonly test: (bytes: Buffer) => Result | undefined;
  readonly bytesMax: number;
  readonly msMax: number;
}

export interface Gathered<Result> {
  /** Undefined where the stream ended, or the bounds were reached, before the test was satisfied. */
  readonly result: Result | undefined;
  readonly bytes: Buffer;
}

/** The socket must not flow; what was read is not put back. */
export function gather<Result>(socket: Socket, options: GatherOptions<Result>): Promise<Gathered<Result>> {
  return new Promise((resolve) => {
    let bytes: Buffer = Buffer.alloc(0);
    const done = (result: Result | undefined): void => {
      clearTimeout(timer);
      socket.off('readable', look).off('end', stop).off('close', stop);
      resolve({ result, bytes });
    };
    const stop = (): void => done(undefined);
    const look = (): void => {
      const chunk = socket.read() as Buffer | null;
      if (chunk === null) return;
      bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
      const result = options.test(bytes);
      if (result !== undefined || bytes.length > options.bytesMax) done(result);
    };
    const timer = setTimeout(stop, options.msMax);
    socket.on('readable', look).on('end', stop).on('close', stop);
    look();
  });
}
