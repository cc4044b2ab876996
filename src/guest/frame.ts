/** Frames of the guest protocol on the wire: writing them, and reading them out of arbitrary hostile bytes. */
import { crc32 } from 'node:zlib';
import { CasemateError } from '../base/errors.ts';
import { protocol } from './protocol.gen.ts';

export interface Frame {
  readonly type: number;
  readonly end: boolean;
  readonly channel: number;
  readonly stream: number;
  readonly payload: Buffer;
}

const empty = Buffer.alloc(0);
export const marker = Buffer.from(protocol.marker, 'latin1');

/** The header of a frame; the payload follows it as it is. */
export function encodeHeader(frame: {
  type: number;
  stream: number;
  payload: Uint8Array;
  end?: boolean;
  channel?: number;
}): Buffer {
  const header = Buffer.allocUnsafe(protocol.headerBytes);
  header.writeUInt16BE(protocol.magic, 0);
  header[2] = frame.type;
  header[3] = (frame.end === true ? protocol.flagEnd : 0) | ((frame.channel ?? 0) << 4);
  header.writeUInt32BE(frame.stream, 4);
  header.writeUInt32BE(frame.payload.length, 8);
  header.writeUInt32BE(crc32(frame.payload, crc32(header.subarray(0, 12))), 12);
  return header;
}

/** What opens every attach: a frame's worth of zeros and the marker. */
export function resyncPreamble(): Buffer {
  return Buffer.concat([Buffer.alloc(protocol.resyncPaddingBytes), marker]);
}

/** Cuts a byte stream into frames. Bytes may come in any pieces. */
export class FrameDecoder {
  /** Pieces that arrived and are not used up; the first one from `#offset` on. */
  #pieces: Buffer[] = [];
  #offset = 0;
  #available = 0;

  push(piece: Buffer): void {
    if (piece.length === 0) return;
    this.#pieces.push(piece);
    this.#available += piece.length;
  }

  /**
   * The next whole frame, undefined until more bytes come. Its payload shares memory with the pieces.
   * @throws CasemateError `guest_protocol` on anything that is not a frame.
   */
  next(): Frame | undefined {
    if (this.#available < protocol.headerBytes) return undefined;
    const header = this.#peek(protocol.headerBytes);
    if (header.readUInt16BE(0) !== protocol.magic) throw violation('a frame without its magic');
    const length = header.readUInt32BE(8);
    if (length > protocol.payloadBytesMax) throw violation('a frame that is too long');
    if (this.#available < protocol.headerBytes + length) return undefined;
    const whole = this.#take(protocol.headerBytes + length);
    const payload = length === 0 ? empty : whole.subarray(protocol.headerBytes);
    if (crc32(payload, crc32(whole.subarray(0, 12))) !== whole.readUInt32BE(12))
      throw violation('a frame with a wrong CRC');
    const flags = whole[3] ?? 0;
    return {
      type: whole[2] ?? 0,
      end: (flags & protocol.flagEnd) !== 0,
      channel: flags >> 4,
      stream: whole.readUInt32BE(4),
      payload,
    };
  }

  /** Skips to behind the next marker; false when there is none in what has come so far. */
  skipToMarker(): boolean {
    const all = this.#take(this.#available);
    const at = all.indexOf(marker);
    const rest =
      at >= 0 ? all.subarray(at + marker.length) : all.subarray(Math.max(0, all.length - marker.length + 1));
    this.push(rest);
    return at >= 0;
  }

  #peek(length: number): Buffer {
    const first = this.#pieces[0] ?? empty;
    if (first.length - this.#offset >= length) return first.subarray(this.#offset, this.#offset + length);
    return this.#join().subarray(0, length);
  }

  #take(length: number): Buffer {
    let first = this.#pieces[0] ?? empty;
    if (first.length - this.#offset < length) first = this.#join();
    const taken = first.subarray(this.#offset, this.#offset + length);
    this.#offset += length;
    this.#available -= length;
    if (this.#offset === first.length) {
      this.#pieces.shift();
      this.#offset = 0;
    }
    return taken;
  }

  /** Makes the pieces one; called for a frame that lies across pieces, which holds less than two reads' worth. */
  #join(): Buffer {
    const [first = empty, ...others] = this.#pieces;
    const joined = Buffer.concat([first.subarray(this.#offset), ...others]);
    this.#pieces = [joined];
    this.#offset = 0;
    return joined;
  }
}

/** The guest broke the protocol: the connection ends, and the sandbox with it. */
export function violation(what: string): CasemateError {
  return new CasemateError('guest_protocol', `The guest sent ${what}.`);
}
