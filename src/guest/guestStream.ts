/** One stream of the guest protocol at the host: messages, data with credit both ways, and the end. */
import { CasemateError } from '../base/errors.ts';
import { limits } from '../base/limits.ts';
import { type Frame, violation } from './frame.ts';
import { protocol } from './protocol.gen.ts';
import { asObject, errorOf, type JsonObject, parseObject } from './validate.ts';

/** What the stream needs of its connection. */
export interface FrameSink {
  send(frame: { type: number; stream: number; payload: Uint8Array; end?: boolean; channel?: number }): void;
  /** Resolves when the byte stream takes more. */
  writable(): Promise<void>;
  forget(stream: number): void;
}

export interface DataChunk {
  readonly channel: number;
  readonly data: Buffer;
}

const nothing = new Uint8Array(0);
/** Credit is given back in pieces of at least this, not per frame. */
const grantBytes = protocol.windowBytes / 4;

export class GuestStream {
  readonly #id: number;
  readonly #sink: FrameSink;
  readonly #messages: JsonObject[] = [];
  readonly #chunks: DataChunk[] = [];
  #bufferedBytes = 0;
  #ungrantedBytes = 0;
  #receivable: number = protocol.windowBytes;
  #sendable: number = protocol.windowBytes;
  #dataEnded = false;
  #closed = false;
  #result: JsonObject = {};
  #error: CasemateError | undefined;
  #wakers: (() => void)[] = [];

  constructor(id: number, sink: FrameSink) {
    this.#id = id;
    this.#sink = sink;
  }

  /** Takes a frame of the guest. @throws CasemateError `guest_protocol` */
  receive(frame: Frame): void {
    switch (frame.type) {
      case protocol.types.data:
        this.#receiveData(frame);
        break;
      case protocol.types.message:
        if (this.#messages.length >= limits.guestMessagesQueuedMax) throw violation('too many messages');
        this.#messages.push(parseObject(frame.payload));
        break;
      case protocol.types.window:
        if (frame.payload.length !== 4) throw violation('a WINDOW without its number');
        this.#sendable += frame.payload.readUInt32BE(0);
        if (this.#sendable > 2 ** 31) throw violation('more credit than makes sense');
        break;
      case protocol.types.close: {
        const body = frame.payload.length === 0 ? {} : parseObject(frame.payload);
        if (body.error === undefined) this.#result = body.result === undefined ? {} : asObject(body.result);
        else this.#error = errorOf(body.error);
        this.#end();
        break;
      }
      default:
        throw violation('a frame that only a host may send');
    }
    this.#wake();
  }

  #receiveData(frame: Frame): void {
    this.#receivable -= frame.payload.length;
    if (this.#receivable < 0) throw violation('more data than it had credit for');
    if (frame.payload.length > 0) {
      this.#chunks.push({ channel: frame.channel, data: frame.payload });
      this.#bufferedBytes += frame.payload.length;
    }
    this.#dataEnded ||= frame.end;
  }

  /** The connection is gone, or the caller gives up. */
  fail(error: CasemateError): void {
    if (this.#closed) return;
    this.#error = error;
    this.#end();
    this.#wake();
  }

  #end(): void {
    this.#closed = true;
    this.#sink.forget(this.#id);
  }

  #wake(): void {
    const wakers = this.#wakers;
    this.#wakers = [];
    for (const waker of wakers) waker();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#wakers.push(resolve));
  }

  /** The next message; undefined when the stream ended without an error. @throws CasemateError */
  async message(): Promise<JsonObject | undefined> {
    for (;;) {
      const message = this.#messages.shift();
      if (message !== undefined) return message;
      if (this.#error !== undefined) throw this.#error;
      if (this.#closed) return undefined;
      await this.#change();
    }
  }

  /** The answer that closes the stream. @throws CasemateError */
  async result(): Promise<JsonObject> {
    while (!this.#closed) await this.#change();
    if (this.#error !== undefined) throw this.#error;
    return this.#result;
  }

  /**
   * The next data, or the next message behind it, or undefined at the end.
   * @throws CasemateError once everything that came before the error was taken.
   */
  async next(): Promise<DataChunk | undefined> {
    for (;;) {
      this.#grant();
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) {
        this.#bufferedBytes -= chunk.data.length;
        this.#ungrantedBytes += chunk.data.length;
        return chunk;
      }
      if (this.#error !== undefined) throw this.#error;
      if (this.#dataEnded || this.#closed) return undefined;
      await this.#change();
    }
  }

  /** Gives credit back for what the consumer has taken, when it is worth a frame. */
  #grant(atLeast = grantBytes): void {
    if (this.#ungrantedBytes < atLeast || this.#ungrantedBytes === 0 || this.#closed) return;
    const payload = Buffer.allocUnsafe(4);
    payload.writeUInt32BE(this.#ungrantedBytes);
    this.#receivable += this.#ungrantedBytes;
    this.#ungrantedBytes = 0;
    this.#sink.send({ type: protocol.types.window, stream: this.#id, payload });
  }

  /** Sends data at the pace of the guest's credit and of the byte stream. @throws CasemateError */
  async write(data: Uint8Array): Promise<void> {
    for (let offset = 0; offset < data.length; ) {
      while (this.#sendable === 0 && !this.#closed) await this.#change();
      if (this.#closed)
        throw this.#error ?? new CasemateError('canceled', 'The guest ended the transfer early.');
      const size = Math.min(data.length - offset, this.#sendable, protocol.payloadBytesMax);
      this.#sendable -= size;
      const payload = data.subarray(offset, offset + size);
      this.#sink.send({ type: protocol.types.data, stream: this.#id, payload });
      offset += size;
      await this.#sink.writable();
    }
  }

  /** Says that no more data follows. */
  end(): void {
    if (this.#closed) return;
    this.#sink.send({ type: protocol.types.data, stream: this.#id, payload: nothing, end: true });
  }

  /** Cancels: tells the guest what was consumed, so that it keeps the rest for the next reader. */
  cancel(): void {
    if (this.#closed) return;
    this.#grant(1);
    this.#sink.send({ type: protocol.types.close, stream: this.#id, payload: nothing });
    this.#error ??= new CasemateError('canceled', 'The caller let go of the stream.');
    this.#end();
    this.#wake();
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** True while data waits for the consumer. */
  get hasData(): boolean {
    return this.#bufferedBytes > 0;
  }
}
