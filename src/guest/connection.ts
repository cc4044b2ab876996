/** A connection to one guest agent: attach, streams by id, and cutting it off when it breaks the protocol. */
import { randomBytes } from 'node:crypto';
import { CasemateError } from '../base/errors.ts';
import { limits } from '../base/limits.ts';
import { cameInBuffer } from '../base/nursery.ts';
import { encodeHeader, type Frame, FrameDecoder, marker, resyncPreamble, violation } from './frame.ts';
import { GuestStream } from './guestStream.ts';
import { protocol } from './protocol.gen.ts';
import type { ByteStream } from './stream.ts';
import { parseObject, textOf } from './validate.ts';

/** Old bytes to skip at most before a HELLO of ours is answered. */
const scanBytesMax = 64 * 1024 * 1024;
/** What may wait to be written to an agent that does not read. */
const unwrittenBytesMax = 8 * 1024 * 1024;
const pingsAtOnceMax = 64;

export interface AgentHello {
  readonly agentVersion: string;
  readonly bootId: string;
}

/** An agent that waits for a host answers sooner; one that was left in the middle of a frame needs the whole preamble. */
const resyncAfterMs = 400;

export class Connection {
  /** Never rejects; the error where the guest broke the protocol, undefined where its stream ended or we closed it. */
  readonly closed: Promise<CasemateError | undefined>;
  readonly #bytes: ByteStream;
  readonly #decoder = new FrameDecoder();
  readonly #streams = new Map<number, GuestStream>();
  readonly #pings: (() => void)[] = [];
  #nextId = 1;
  #ended = false;
  #drained: Promise<void> | undefined;
  #resolveClosed: (error: CasemateError | undefined) => void = () => {};

  constructor(bytes: ByteStream) {
    this.#bytes = bytes;
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    for (const side of [bytes.readable, bytes.writable]) side.on('error', () => this.#end(undefined));
    bytes.readable.on('end', () => this.#end(undefined));
    bytes.readable.on('close', () => this.#end(undefined));
  }

  /**
   * Resynchronises with whatever a host before us left behind, and says HELLO.
   * @throws CasemateError `timeout`, `guest_protocol`, `sandbox_ended`
   */
  attach(): Promise<AgentHello> {
    let nonce = this.#sayHello(marker);
    return new Promise((resolve, reject) => {
      // The padding is for an agent in the middle of a frame, and slow on an emulated port: only where it is needed.
      const again = setTimeout(() => {
        nonce = this.#sayHello(resyncPreamble());
      }, resyncAfterMs);
      let scanned = 0;
      let hunting = true;
      const fail = (error: CasemateError): void => {
        this.#end(error);
        reject(error);
      };
      const timer = setTimeout(
        () => fail(new CasemateError('timeout', 'The guest agent did not answer in time.')),
        limits.guestCallMsMax,
      );
      void this.closed.then((error) => {
        clearTimeout(timer);
        clearTimeout(again);
        reject(error ?? ended());
      });
      const onData = (piece: Buffer): void => {
        scanned += piece.length;
        this.#decoder.push(piece);
        if (scanned > scanBytesMax) return fail(violation('old bytes without an end'));
        for (;;) {
          if (hunting && !this.#decoder.skipToMarker()) return;
          hunting = false;
          const answer = this.#helloAnswer(nonce);
          if (answer === 'more') return;
          if (answer === 'other') {
            hunting = true;
            continue;
          }
          this.#bytes.readable.off('data', onData);
          clearTimeout(timer);
          clearTimeout(again);
          this.#bytes.readable.on('data', (more: Buffer) => this.#receive(more));
          resolve(answer);
          return this.#receive(Buffer.alloc(0));
        }
      };
      this.#bytes.readable.on('data', onData);
    });
  }

  /** @returns the nonce that the answer has to bear. */
  #sayHello(preamble: Buffer): string {
    const nonce = randomBytes(16).toString('hex');
    this.#bytes.writable.write(preamble);
    const hello = Buffer.from(JSON.stringify({ version: protocol.version, nonce }));
    this.send({ type: protocol.types.hello, stream: 0, payload: hello });
    return nonce;
  }

  /** Reads behind a marker: our HELLO, something else (hunt on), or not all of it yet. */
  #helloAnswer(nonce: string): AgentHello | 'more' | 'other' {
    try {
      const frame = this.#decoder.next();
      if (frame === undefined) return 'more';
      if (frame.type !== protocol.types.hello) return 'other';
      const answer = parseObject(frame.payload);
      if (answer.nonce !== nonce || answer.version !== protocol.version) return 'other';
      return {
        agentVersion: textOf(answer, 'agentVersion').slice(0, 64),
        bootId: textOf(answer, 'bootId').slice(0, 64),
      };
    } catch {
      return 'other';
    }
  }

  #receive(piece: Buffer): void {
    if (this.#ended) return;
    try {
      cameInBuffer(piece.length);
      this.#decoder.push(piece);
      for (let frame = this.#decoder.next(); frame !== undefined; frame = this.#decoder.next())
        this.#dispatch(frame);
    } catch (error) {
      this.#end(CasemateError.from(error));
    }
  }

  #dispatch(frame: Frame): void {
    if (frame.stream === 0) {
      if (frame.type !== protocol.types.pong) throw violation('a frame that belongs to no stream');
      this.#pings.shift()?.();
      return;
    }
    const stream = this.#streams.get(frame.stream);
    if (stream !== undefined) return stream.receive(frame);
    if (frame.stream >= this.#nextId) throw violation('a frame for a stream that was never opened');
  }

  /** Opens a stream with a request. @throws CasemateError `sandbox_ended`, `rate_limited` */
  open(method: string, params: object): GuestStream {
    if (this.#ended) throw ended();
    if (this.#streams.size >= limits.guestStreamsMax) {
      throw new CasemateError('rate_limited', 'Too many calls to this sandbox are under way at once.');
    }
    const id = this.#nextId;
    this.#nextId += 1;
    const payload = Buffer.from(JSON.stringify({ method, params }));
    if (payload.length > protocol.payloadBytesMax) {
      throw new CasemateError(
        'payload_too_large',
        'The request is larger than the guest protocol allows (64 KiB).',
      );
    }
    const stream = new GuestStream(id, {
      send: (frame) => this.send(frame),
      writable: () => this.#writable(),
      forget: (forgotten) => this.#streams.delete(forgotten),
    });
    this.#streams.set(id, stream);
    this.send({ type: protocol.types.open, stream: id, payload });
    return stream;
  }

  send(frame: { type: number; stream: number; payload: Uint8Array; end?: boolean; channel?: number }): void {
    if (this.#ended) return;
    const { writable } = this.#bytes;
    writable.cork();
    writable.write(encodeHeader(frame));
    if (frame.payload.length > 0) writable.write(frame.payload);
    writable.uncork();
    if (writable.writableLength > unwrittenBytesMax) {
      this.#end(violation('nothing, and read nothing, for too long'));
    }
  }

  /** Resolves when the byte stream takes more, at once in most cases. */
  #writable(): Promise<void> {
    const { writable } = this.#bytes;
    if (!writable.writableNeedDrain || this.#ended) return Promise.resolve();
    this.#drained ??= new Promise<void>((resolve) => {
      const done = (): void => {
        writable.off('drain', done);
        writable.off('close', done);
        this.#drained = undefined;
        resolve();
      };
      writable.on('drain', done);
      writable.on('close', done);
    });
    return this.#drained;
  }

  /** Milliseconds until the agent's PONG. @throws CasemateError */
  async ping(): Promise<number> {
    if (this.#ended) throw ended();
    if (this.#pings.length >= pingsAtOnceMax)
      throw new CasemateError('rate_limited', 'Too many pings at once.');
    const from = performance.now();
    const payload = randomBytes(8);
    const answered = new Promise<boolean>((resolve) => this.#pings.push(() => resolve(true)));
    this.send({ type: protocol.types.ping, stream: 0, payload });
    const gone = this.closed.then(() => false);
    if (!(await Promise.race([answered, gone]))) throw ended();
    return performance.now() - from;
  }

  close(): void {
    this.#end(undefined);
  }

  #end(error: CasemateError | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#bytes.close();
    for (const stream of [...this.#streams.values()]) stream.fail(error ?? ended());
    this.#streams.clear();
    this.#resolveClosed(error);
  }
}

function ended(): CasemateError {
  return new CasemateError('sandbox_ended', 'The sandbox has ended.');
}
