/** Reads a TLS ClientHello out of hostile bytes: the name that is asked for, and everything odd refused. */
import { isIP } from 'node:net';
import { canonicalHost } from '../policy/host.ts';

export interface ClientHello {
  /** Canonical. */
  readonly serverName: string;
  readonly alpn: readonly string[];
  /** How many bytes of the stream it took. */
  readonly bytes: number;
}

export type HelloResult =
  | { readonly state: 'more' }
  | { readonly state: 'refused'; readonly reason: string }
  | { readonly state: 'hello'; readonly hello: ClientHello };

/** Post-quantum key shares make hellos of 2 KiB; more than this is nobody's. */
export const helloBytesMax = 16 * 1024;
const recordBytesMax = 16 * 1024;
/** Splitting a hello over more records than this serves nobody but who wants to slip through or burn time. */
const recordsMax = 8;
const contentHandshake = 22;
const contentChangeCipherSpec = 20;
const extensionServerName = 0;
const extensionAlpn = 16;
const extensionEch = 0xfe0d;
const extensionEsni = 0xffce;

class Refusal extends Error {}

/**
 * Reads the hello at the start of `stream`. `second` is the one after a HelloRetryRequest: a change_cipher_spec may
 * stand before it. Never throws.
 */
export function readClientHello(stream: Buffer, options: { second?: boolean } = {}): HelloResult {
  try {
    const message = assemble(stream, options.second === true);
    if (message === undefined) return { state: 'more' };
    return { state: 'hello', hello: { ...parseHello(message.body), bytes: message.end } };
  } catch (error) {
    if (error instanceof Refusal) return { state: 'refused', reason: error.message };
    return { state: 'refused', reason: 'the ClientHello is malformed' }; // a read behind the end
  }
}

/** Joins records until the handshake message is whole; it must end where a record ends. */
function assemble(stream: Buffer, second: boolean): { body: Buffer; end: number } | undefined {
  const parts: Buffer[] = [];
  let have = 0;
  let at = 0;
  while (at + 5 <= stream.length) {
    const type = stream[at];
    const length = stream.readUInt16BE(at + 3);
    if (second && type === contentChangeCipherSpec && have === 0 && length === 1) {
      if (at + 6 > stream.length) return undefined;
      at += 6;
      continue;
    }
    if (type !== contentHandshake) throw new Refusal('this is no TLS');
    if (stream[at + 1] !== 3 || length === 0 || length > recordBytesMax)
      throw new Refusal('the TLS record is odd');
    const part = stream.subarray(at + 5, Math.min(at + 5 + length, stream.length));
    parts.push(part);
    have += part.length;
    if (parts.length > recordsMax) throw new Refusal('the ClientHello is split over too many records');
    if (have > helloBytesMax) throw new Refusal('the ClientHello is too long');
    at += 5 + length;
    const all = Buffer.concat(parts);
    if (all.length >= 1 && all[0] !== 1) throw new Refusal('the first TLS message is no ClientHello');
    const wanted = all.length < 4 ? undefined : 4 + all.readUIntBE(1, 3);
    if (wanted !== undefined && wanted > helloBytesMax) throw new Refusal('the ClientHello is too long');
    if (at > stream.length) return undefined;
    if (wanted === undefined || all.length < wanted) continue;
    if (all.length > wanted) throw new Refusal('something follows the ClientHello in its record');
    return { body: all.subarray(4), end: at };
  }
  if (
    stream.length > 0 &&
    stream[0] !== contentHandshake &&
    !(second && stream[0] === contentChangeCipherSpec)
  ) {
    throw new Refusal('this is no TLS');
  }
  return undefined;
}

/** A cursor that throws behind the end. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  number(size: 1 | 2): number {
    const value = this.#bytes.readUIntBE(this.#at, size);
    this.#at += size;
    return value;
  }

  take(length: number): Buffer {
    if (length > this.left) throw new RangeError('behind the end');
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  vector(size: 1 | 2): Reader {
    return new Reader(this.take(this.number(size)));
  }

  rest(): Buffer {
    return this.take(this.left);
  }
}

function parseHello(body: Buffer): { serverName: string; alpn: string[] } {
  const hello = new Reader(body);
  hello.take(2 + 32); // version, random
  hello.vector(1); // session id
  hello.vector(2); // cipher suites
  hello.vector(1); // compression
  const extensions = hello.left === 0 ? new Reader(Buffer.alloc(0)) : hello.vector(2);
  if (hello.left !== 0) throw new Refusal('something follows the extensions');
  const seen = new Set<number>();
  let serverName: string | undefined;
  let alpn: string[] = [];
  while (extensions.left > 0) {
    const type = extensions.number(2);
    const data = extensions.vector(2);
    if (seen.has(type)) throw new Refusal('an extension stands twice');
    seen.add(type);
    if (type === extensionEch || type === extensionEsni)
      throw new Refusal('encrypted ClientHello (ECH) is not allowed');
    if (type === extensionServerName) serverName = readServerName(data);
    if (type === extensionAlpn) alpn = readAlpn(data);
  }
  if (serverName === undefined) throw new Refusal('the server name (SNI) is missing');
  return { serverName, alpn };
}

function readServerName(data: Reader): string {
  const list = data.vector(2);
  if (data.left !== 0 || list.number(1) !== 0) throw new Refusal('the server name (SNI) is odd');
  const text = list.vector(2).rest().toString('latin1');
  if (list.left !== 0) throw new Refusal('there is more than one server name (SNI)');
  if (isIP(text) !== 0) throw new Refusal('the server name (SNI) is an address');
  const name = canonicalHost(text);
  if (name === undefined || text.endsWith('.')) throw new Refusal('the server name (SNI) is no host name');
  return name;
}

function readAlpn(data: Reader): string[] {
  const list = data.vector(2);
  const names: string[] = [];
  while (list.left > 0) names.push(list.vector(1).rest().toString('latin1'));
  return names;
}

const retryRandom = Buffer.from('cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c', 'hex');

/** Whether a server's first bytes are a HelloRetryRequest; undefined while there are too few to tell. */
export function isHelloRetry(stream: Buffer): boolean | undefined {
  if (stream.length > 0 && stream[0] !== contentHandshake) return false;
  if (stream.length > 5 && stream[5] !== 2) return false;
  return stream.length < 43 ? undefined : stream.subarray(11, 43).equals(retryRandom);
}

/** Fatal alerts as they stand on the wire before any key is agreed. */
export const tlsAlerts = {
  accessDenied: Buffer.from([21, 3, 1, 0, 2, 2, 49]),
  unrecognizedName: Buffer.from([21, 3, 1, 0, 2, 2, 112]),
  internalError: Buffer.from([21, 3, 1, 0, 2, 2, 80]),
} as const;
