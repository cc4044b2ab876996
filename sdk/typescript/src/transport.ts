/** How requests reach a server: fetch and nothing else, so that it runs in Node and in Bun. */
import { CasemateError, errorFromWire } from './errors.ts';

/** Where the server is and who asks. Read from `CASEMATE_URL` and `CASEMATE_API_KEY` where left out. */
export interface ConnectionOptions {
  readonly url?: string;
  readonly apiKey?: string;
}

const defaultUrl = 'http://127.0.0.1:7070';

/** What fetch takes as a body. */
export type RequestBody = string | Uint8Array | Blob | ReadableStream<Uint8Array>;

export interface RequestOptions {
  readonly query?: Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;
  readonly json?: unknown;
  readonly body?: RequestBody;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
}

function environment(name: string): string | undefined {
  return typeof process === 'undefined' ? undefined : process.env[name];
}

/** The server, or something between, closed the connection before it answered. */
class ClosedConnection extends CasemateError {}

export class Transport {
  readonly url: string;
  readonly apiKey: string;

  /** @throws CasemateError `unauthenticated` where there is no key to be found. */
  constructor(options: ConnectionOptions = {}) {
    this.url = (options.url ?? environment('CASEMATE_URL') ?? defaultUrl).replace(/\/+$/, '');
    const apiKey = options.apiKey ?? environment('CASEMATE_API_KEY');
    if (apiKey === undefined || apiKey === '') {
      throw new CasemateError('unauthenticated', 'There is no API key.', {
        hint: 'Pass apiKey or set CASEMATE_API_KEY; `casemate serve` prints where the first key lies.',
      });
    }
    this.apiKey = apiKey;
  }

  /** The raw answer, checked for errors. @throws CasemateError */
  async request(method: string, path: string, options: RequestOptions = {}): Promise<Response> {
    const headers: Record<string, string> = { authorization: `Bearer ${this.apiKey}`, ...options.headers };
    // A redirect would carry the key to another host.
    const init: RequestInit & { duplex?: 'half' } = {
      method,
      headers,
      redirect: 'error',
      ...withoutIdleTimeout(),
    };
    if (options.signal !== undefined) init.signal = options.signal;
    if (options.json !== undefined) {
      headers['content-type'] = 'application/json';
      init.body = JSON.stringify(options.json);
    } else if (options.body !== undefined) {
      headers['content-type'] = 'application/octet-stream';
      init.body = options.body as RequestInit['body'] & {};
      if (options.body instanceof ReadableStream) init.duplex = 'half';
    }
    const url = `${this.url}${path}${queryText(options.query)}`;
    const response = await this.#fetch(url, init).catch((error: unknown) => {
      // A connection that was kept open may be closed just when it is used again. Asking twice changes nothing here.
      if (!(error instanceof ClosedConnection) || !['GET', 'DELETE'].includes(method)) throw error;
      return this.#fetch(url, init);
    });
    if (!response.ok) throw errorFromWire(await response.json().catch(() => undefined), response.status);
    return response;
  }

  async #fetch(url: string, init: RequestInit): Promise<Response> {
    try {
      return await fetch(url, init);
    } catch (error) {
      if (init.signal?.aborted === true) throw init.signal.reason;
      const cause = error instanceof Error && error.cause instanceof Error ? error.cause : undefined;
      const Failure = /other side closed|ECONNRESET/.test(cause?.message ?? '')
        ? ClosedConnection
        : CasemateError;
      const message = `${this.url} does not answer${cause === undefined ? '' : `: ${cause.message}`}.`;
      throw new Failure('node_unavailable', message, {
        hint: 'Start the server with `casemate serve`, or point CASEMATE_URL to one.',
      });
    }
  }

  /** A JSON answer. */
  async json<Answer>(method: string, path: string, options: RequestOptions = {}): Promise<Answer> {
    const response = await this.request(method, path, options);
    try {
      return (await response.json()) as Answer;
    } catch {
      options.signal?.throwIfAborted();
      throw new CasemateError('internal', `${method} ${path} was not answered with JSON.`, {
        hint: 'Does the address belong to a Casemate server of a version that fits?',
      });
    }
  }

  /** An answer without a body. */
  async done(method: string, path: string, options: RequestOptions = {}): Promise<void> {
    const response = await this.request(method, path, options);
    await response.arrayBuffer(); // an unread body would keep the connection from being used again
  }
}

function queryText(query: RequestOptions['query']): string {
  const pairs = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value === undefined) continue;
    for (const one of Array.isArray(value) ? value : [value]) pairs.append(name, String(one));
  }
  const text = pairs.toString();
  return text === '' ? '' : `?${text}`;
}

/** One JSON object a line, as they arrive. */
export async function* jsonLines<Line>(response: Response): AsyncGenerator<Line> {
  if (response.body === null) return;
  const decoder = new TextDecoder();
  let rest = '';
  for await (const piece of response.body) {
    rest += decoder.decode(piece, { stream: true });
    const lines = rest.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line !== '') yield JSON.parse(line) as Line;
  }
}

let idleTimeoutOff: RequestInit | undefined;

/**
 * A program may print nothing for hours, but fetch gives up on an answer that is silent for five minutes. Bun has an
 * option for that; Node takes only a dispatcher, whose class is reached through the global one.
 */
function withoutIdleTimeout(): RequestInit {
  if (idleTimeoutOff !== undefined) return idleTimeoutOff;
  if ('Bun' in globalThis) {
    idleTimeoutOff = { timeout: false } as RequestInit;
    return idleTimeoutOff;
  }
  void globalThis.Response; // loads Node's fetch, which then sets the symbol below
  const dispatcher = (globalThis as Record<symbol, unknown>)[Symbol.for('undici.globalDispatcher.1')];
  const Agent = dispatcher?.constructor as (new (options: object) => object) | undefined;
  // Where the program has set another dispatcher (a proxy), that one stays in force.
  const isPlain = Agent?.name === 'Agent';
  idleTimeoutOff = (
    isPlain ? { dispatcher: new Agent({ bodyTimeout: 0, headersTimeout: 0 }) } : {}
  ) as RequestInit;
  return idleTimeoutOff;
}
