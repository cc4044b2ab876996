/** What all calls of the guest protocol have in common: how long they may take, files in and out, cancelling. */
import { Duplex, Readable } from 'node:stream';
import { CasemateError } from '../base/errors.ts';
import { limits } from '../base/limits.ts';
import { violation } from './frame.ts';
import type { GuestStream } from './guestStream.ts';
import type { FileEntry } from './types.ts';
import { countOf, entryOf, type JsonObject } from './validate.ts';

const listedEntriesMax = 10_000;

export interface Cancelable {
  readonly signal?: AbortSignal;
}

/** A file on its way out. Destroying `body` early tells the other side to stop. */
export interface FileContent {
  readonly size: number;
  readonly offset: number;
  readonly length: number;
  readonly body: Readable;
}

/** Bounds how long the guest may take; then the stream is given up. */
export async function within<Value>(
  stream: GuestStream,
  answer: Promise<Value>,
  mostMs: number = limits.guestCallMsMax,
): Promise<Value> {
  const timer = setTimeout(
    () => stream.fail(new CasemateError('timeout', 'The sandbox did not answer in time.')),
    mostMs,
  );
  try {
    return await answer;
  } finally {
    clearTimeout(timer);
  }
}

export function cancelOn(stream: GuestStream, signal: AbortSignal | undefined): void {
  if (signal === undefined) return;
  if (signal.aborted) stream.cancel();
  else signal.addEventListener('abort', () => stream.cancel(), { once: true });
}

async function* dataOf(stream: GuestStream): AsyncGenerator<Buffer> {
  try {
    for (let chunk = await stream.next(); chunk !== undefined; chunk = await stream.next()) yield chunk.data;
    await stream.result(); // an error after the last byte is an error of the transfer
  } finally {
    stream.cancel();
  }
}

/** Everything that a stream's data is, as a stream of Node's. */
export function bodyOf(stream: GuestStream): Readable {
  const body = Readable.from(dataOf(stream), { objectMode: false, highWaterMark: 256 * 1024 });
  body.once('close', () => stream.cancel()); // a generator that waits for the guest does not notice by itself
  return body;
}

/** The answer to `file.read`. */
export async function contentOf(stream: GuestStream): Promise<FileContent> {
  const message = await within(stream, stream.message());
  if (message === undefined) throw violation('no file');
  const [size, offset, length] = [
    countOf(message, 'size'),
    countOf(message, 'offset'),
    countOf(message, 'length'),
  ];
  return { size, offset, length, body: bodyOf(stream) };
}

/** The answer to `file.list`: 10,000 entries at most. */
export async function entriesOf(stream: GuestStream): Promise<{ entries: FileEntry[]; truncated: boolean }> {
  const entries: FileEntry[] = [];
  for (;;) {
    const message = await within(stream, stream.message());
    if (message === undefined) return { entries, truncated: false };
    if (!Array.isArray(message.entries)) throw violation('no list of files');
    for (const entry of message.entries) {
      if (entries.length >= listedEntriesMax) {
        stream.cancel();
        return { entries, truncated: true };
      }
      entries.push(entryOf(entry));
    }
  }
}

/** Sends a file, and answers what the stream is closed with. */
export async function upload(stream: GuestStream, source: AsyncIterable<Uint8Array>): Promise<JsonObject> {
  try {
    for await (const piece of source) await stream.write(piece);
    stream.end();
  } catch (error) {
    if (!stream.closed) {
      stream.cancel(); // the caller's bytes ended in the middle: the guest must not take them for a whole
      throw error;
    }
  }
  return stream.result();
}

/** A stream’s data in both directions. */
export function duplexOf(stream: GuestStream): Duplex {
  const duplex = new Duplex({
    read() {
      void stream.next().then(
        (chunk) => duplex.push(chunk?.data ?? null),
        (error: Error) => duplex.destroy(error),
      );
    },
    write(piece: Buffer, _encoding, done) {
      stream.write(piece).then(
        () => done(),
        (error: Error) => done(error),
      );
    },
    final(done) {
      stream.end();
      done();
    },
    destroy(error, done) {
      stream.cancel();
      done(error);
    },
  });
  return duplex;
}
