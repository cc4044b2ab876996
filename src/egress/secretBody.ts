/** Puts secrets into the bodies of requests; what cannot be read or cannot change its length is refused. */
import type { IncomingHttpHeaders } from 'node:http';
import { Readable, Transform, type TransformCallback } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate, createZstdDecompress } from 'node:zlib';
import { hostMatches } from '../policy/host.ts';
import { egressLimits } from './limits.ts';
import type { Secret } from './sandbox.ts';
import { type Place, SecretRefusal, valueFor } from './secrets.ts';

type Request = Readable & { readonly headers: IncomingHttpHeaders };

export interface FilledBody {
  readonly source: Readable;
  /** Its length where that has changed. */
  readonly bytes?: number;
}

/**
 * The body as it goes out. A short one is read whole, because its length stands in a header before it; a chunked one is
 * filled as it passes; a long one of fixed length, and a compressed one, passes as long as it holds no placeholder.
 * @throws SecretRefusal with a reason that names the secret; later as the error of `source`
 */
export async function bodyWithSecrets(
  secrets: readonly Secret[],
  place: Place,
  { request, body }: { readonly request: Request; readonly body: 'none' | 'chunked' | 'counted' },
): Promise<FilledBody> {
  const { headers } = request;
  if (secrets.length === 0 || body === 'none') return { source: request };
  const length = Number(headers['content-length'] ?? 0);
  const encoding = (headers['content-encoding'] ?? 'identity').trim().toLowerCase();
  if (encoding !== 'identity') return { source: looked(request, secrets, place, encoding) };
  const fill = new Fill(secrets, place, escapeFor(headers['content-type'] ?? ''));
  if (body === 'chunked') return { source: through(request, fill) };
  if (length > egressLimits.secretBodyBytesMax) return { source: through(request, fill.butNeverChange()) };
  const parts: Buffer[] = [];
  for await (const part of through(request, fill)) parts.push(part as Buffer);
  const filled = Buffer.concat(parts);
  return { source: Readable.from(filled.length === 0 ? [] : [filled]), bytes: filled.length };
}

/** A refusal leaves the request whole, so that its answer can be read: `pipeline` would take the connection down. */
export function through(request: Readable, transform: Transform): Readable {
  request.once('close', () => {
    if (!request.readableEnded) transform.destroy(new Error('the sandbox went away'));
  });
  transform.once('error', () => request.unpipe(transform).resume());
  return request.pipe(transform);
}

/** How a value stands in a body of this type. */
function escapeFor(contentType: string): (value: string) => string {
  const type = contentType.split(';', 1)[0]?.trim().toLowerCase() ?? '';
  if (type === 'application/x-www-form-urlencoded') return encodeURIComponent;
  if (type === 'application/json' || type.endsWith('+json'))
    return (value) => JSON.stringify(value).slice(1, -1);
  return (value) => value;
}

/** From so many characters on it is a placeholder that has begun; fewer are let go after a while. */
const likeCharacters = 16;
const letGoMs = 100;

/** Replaces placeholders in a stream, also those that lie in two chunks. Works on latin1, which is bytes. */
class Fill extends Transform {
  readonly #secrets: ReadonlyMap<string, Secret>;
  readonly #place: Place;
  readonly #escape: (value: string) => string;
  readonly #placeholder: RegExp;
  #held = '';
  #timer: NodeJS.Timeout | undefined;
  #mayChange = true;

  constructor(secrets: readonly Secret[], place: Place, escapeValue: (value: string) => string) {
    super();
    this.#secrets = new Map(secrets.map((secret) => [secret.placeholder, secret]));
    this.#place = place;
    this.#escape = escapeValue;
    this.#placeholder = new RegExp(secrets.map(({ placeholder }) => literally(placeholder)).join('|'), 'g');
  }

  /** For a body whose length is told already. */
  butNeverChange(): this {
    this.#mayChange = false;
    return this;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    try {
      const text = this.#held + chunk.toString('latin1');
      let after = 0;
      let filled = '';
      for (const { 0: placeholder, index } of text.matchAll(this.#placeholder)) {
        filled += text.slice(after, index) + this.#valueOf(placeholder);
        after = index + placeholder.length;
      }
      const rest = text.slice(after);
      this.#held = rest.slice(rest.length - this.#begun(rest));
      this.#letGoLater();
      done(null, Buffer.from(filled + rest.slice(0, rest.length - this.#held.length), 'latin1'));
    } catch (error) {
      done(error as Error);
    }
  }

  /** What is only a little like a placeholder may be the end of a message that somebody waits for. */
  #letGoLater(): void {
    clearTimeout(this.#timer);
    if (this.#held.length === 0 || this.#held.length >= likeCharacters) return;
    this.#timer = setTimeout(() => {
      this.push(Buffer.from(this.#held, 'latin1'));
      this.#held = '';
    }, letGoMs);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    clearTimeout(this.#timer);
    done(error);
  }

  override _flush(done: TransformCallback): void {
    clearTimeout(this.#timer);
    done(null, Buffer.from(this.#held, 'latin1'));
  }

  #valueOf(placeholder: string): string {
    const secret = this.#secrets.get(placeholder);
    const value = valueFor(this.#place, secret, secret?.name ?? '');
    if (!this.#mayChange) {
      throw new SecretRefusal(
        `The secret "${secret?.name}" does not fit into a body of more than ${egressLimits.secretBodyBytesMax} bytes with a Content-Length; send it chunked or in a header.`,
      );
    }
    return Buffer.from(this.#escape(value)).toString('latin1');
  }

  /** How many characters at the end may be the beginning of a placeholder. */
  #begun(text: string): number {
    let longest = 0;
    for (const placeholder of this.#secrets.keys()) {
      for (let length = Math.min(placeholder.length - 1, text.length); length > longest; length -= 1) {
        if (text.endsWith(placeholder.slice(0, length))) longest = length;
      }
    }
    return longest;
  }
}

function literally(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

const decompressors: Readonly<Record<string, () => Transform>> = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
  zstd: createZstdDecompress,
};

/** Lets a compressed body pass as it is while a look into it finds no placeholder. Elsewhere than at bound hosts it may hold one. */
function looked(request: Readable, secrets: readonly Secret[], place: Place, encoding: string): Readable {
  const { host } = place;
  const bound = secrets.filter(
    (secret) => host !== undefined && secret.hosts.some((pattern) => hostMatches(pattern, host)),
  );
  if (bound.length === 0) return request;
  const decompressor = decompressors[encoding]?.();
  if (decompressor === undefined) {
    throw new SecretRefusal(
      `Secrets cannot be put into a body with Content-Encoding ${JSON.stringify(encoding.slice(0, 32))}; send it as it is.`,
    );
  }
  return through(request, new Look(bound, decompressor));
}

class Look extends Transform {
  readonly #decompressor: Transform;
  #compressedBytes = 0;
  #bytes = 0;
  #failure: Error | undefined;
  #last: Buffer | undefined;

  constructor(secrets: readonly Secret[], decompressor: Transform) {
    super();
    this.#decompressor = decompressor;
    const longest = Math.max(...secrets.map(({ placeholder }) => placeholder.length));
    let held = '';
    decompressor.on('error', () => {
      // A write that met it is never called back.
      const reason = 'The compressed body cannot be read, so no secret can be put into it.';
      this.destroy(this.#failure ?? new SecretRefusal(reason));
    });
    decompressor.on('data', (chunk: Buffer) => {
      this.#bytes += chunk.length;
      const text = held + chunk.toString('latin1');
      held = text.slice(-longest);
      const found = secrets.find(({ placeholder }) => text.includes(placeholder));
      if (found !== undefined) {
        this.#failure = new SecretRefusal(
          `The secret "${found.name}" cannot be put into a compressed body; send it uncompressed.`,
        );
      }
      if (this.#bytes > egressLimits.secretBodyBytesMax + this.#compressedBytes * egressLimits.expansionMax) {
        this.#failure ??= new SecretRefusal('The compressed body expands too much to be looked into.');
      }
    });
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#compressedBytes += chunk.length;
    if (this.#failure !== undefined) return done(this.#failure);
    // One chunk stays behind until all was looked at: a body that is whole would be believed.
    const before = this.#last;
    this.#last = chunk;
    this.#decompressor.write(chunk, () => done(this.#failure ?? null, before));
  }

  override _flush(done: TransformCallback): void {
    const end = (): void => done(this.#failure ?? null, this.#failure === undefined ? this.#last : undefined);
    if (this.#failure !== undefined) return end();
    this.#decompressor.once('end', end).once('error', end).end();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#decompressor.destroy();
    done(error);
  }
}
