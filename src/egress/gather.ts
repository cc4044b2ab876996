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

/** Hands over each chunk until `false` is answered. Begins later than it returns; answers how to stop. */
export type Chunks = (take: (chunk: Buffer) => boolean) => () => void;

/** The socket must not flow; what was read is not put back. */
export function gather<Result>(
  socket: Socket,
  options: GatherOptions<Result>,
  chunks: Chunks = readable(socket),
): Promise<Gathered<Result>> {
  return new Promise((resolve) => {
    let bytes: Buffer = Buffer.alloc(0);
    const done = (result: Result | undefined): void => {
      clearTimeout(timer);
      stopReading();
      socket.off('end', stop).off('close', stop);
      resolve({ result, bytes });
    };
    const stop = (): void => done(undefined);
    const timer = setTimeout(stop, options.msMax);
    const stopReading = chunks((chunk) => {
      bytes = Buffer.concat([bytes, chunk]);
      const result = options.test(bytes);
      const goesOn = result === undefined && bytes.length <= options.bytesMax;
      if (!goesOn) done(result);
      return goesOn;
    });
    socket.on('end', stop).on('close', stop);
  });
}

function readable(socket: Socket): Chunks {
  return (take) => {
    const look = (): void => {
      const chunk = socket.read() as Buffer | null;
      if (chunk !== null) take(chunk);
    };
    socket.on('readable', look);
    const first = setImmediate(look);
    return () => {
      clearImmediate(first);
      socket.off('readable', look);
    };
  };
}
