/** Limits of the bodies of requests and answers: refused by their length, or as soon as too much has come. */
import type { IncomingHttpHeaders } from 'node:http';
import { type Readable, Transform, type TransformCallback } from 'node:stream';
import type { BodyLimits } from '../policy/match.ts';
import { through } from './secretBody.ts';

type Direction = 'request' | 'response';

export class BodyRefusal extends Error {
  readonly code: 'request_too_large' | 'response_too_large' | 'protocol_not_allowed';

  constructor(code: BodyRefusal['code'], hint: string) {
    super(hint);
    this.code = code;
  }
}

function tooLarge(direction: Direction, bytesMax: number): BodyRefusal {
  const whose = direction === 'request' ? "A request's" : "An answer's";
  return new BodyRefusal(`${direction}_too_large`, `${whose} body may have ${bytesMax} bytes here.`);
}

/** @throws BodyRefusal where a Content-Length tells that the body is too long. */
export function refuseLength(direction: Direction, length: unknown, bytesMax: number): void {
  if (Number(length ?? 0) > bytesMax) throw tooLarge(direction, bytesMax);
}

/** A WebSocket has no body that could be limited. @throws BodyRefusal */
export function refuseUpgrade({ requestBytesMax, responseBytesMax }: BodyLimits): void {
  if (Math.min(requestBytesMax, responseBytesMax) === Number.POSITIVE_INFINITY) return;
  throw new BodyRefusal('protocol_not_allowed', 'The rule limits bodies, and a WebSocket has none to limit.');
}

/** Passes what comes until it is too much. */
export class AtMost extends Transform {
  readonly #direction: Direction;
  readonly #bytesMax: number;
  #bytes = 0;

  constructor(direction: Direction, bytesMax: number) {
    super();
    this.#direction = direction;
    this.#bytesMax = bytesMax;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#bytes += chunk.length;
    if (this.#bytes > this.#bytesMax) return done(tooLarge(this.#direction, this.#bytesMax));
    done(null, chunk);
  }
}

type Request = Readable & { readonly headers: IncomingHttpHeaders };

/**
 * The request as it may be read; one of unknown length ends with an error, which `refused` is told of.
 * @throws BodyRefusal where its length is known to be too long
 */
export function limitedBody(
  request: Request,
  body: 'none' | 'chunked' | 'counted',
  { requestBytesMax }: BodyLimits,
  refused: (error: Error) => void,
): Request {
  const { headers } = request;
  if (body === 'none' || requestBytesMax === Number.POSITIVE_INFINITY) return request;
  if (body === 'counted') {
    refuseLength('request', headers['content-length'], requestBytesMax);
    return request;
  }
  const limited = through(request, new AtMost('request', requestBytesMax)).once('error', refused);
  return Object.assign(limited, { headers });
}
