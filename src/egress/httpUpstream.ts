/** One sandbox's connections to one host for requests: kept for the next request, HTTP/2 where both sides want it. */
import { Agent, type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
  constants,
} from 'node:http2';
import type { Duplex, Readable, Writable } from 'node:stream';
import { connect as connectTls, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls';
import type { Policy } from '../policy/policy.ts';
import { asObject, endToEnd, joinCookies } from './httpHeaders.ts';
import { egressLimits } from './limits.ts';
import type { OpenFlow } from './openFlow.ts';
import type { SandboxEgress } from './sandbox.ts';
import { connectUpstream, UpstreamRefusal } from './upstream.ts';

export interface Sending {
  readonly method: string;
  readonly path: string;
  /** From end to end, with a Host. */
  readonly headers: readonly string[];
  readonly body: 'none' | 'chunked' | 'counted';
  /** Whether the client speaks HTTP/2: then the host may. */
  readonly http2: boolean;
}

export interface Answer {
  readonly status: number;
  readonly message: string;
  readonly headers: readonly string[];
  /** It has neither body nor trailers, and its headers said so. */
  readonly over: boolean;
  readonly body: Readable;
  /** Known once the body has ended. */
  trailers(): readonly string[];
}

export interface Sent {
  /** Where the request's body goes; undefined where it has none. */
  readonly body: Writable | undefined;
  readonly answer: Promise<Answer>;
  destroy(): void;
}

let shared: SecureContext | undefined;

/** One for all connections: making it reads every authority that this machine trusts. */
function trust(): SecureContext {
  shared ??= createSecureContext({ minVersion: 'TLSv1.2' });
  return shared;
}

type Place = Pick<OpenFlow, 'sandbox' | 'target' | 'literal' | 'protocol'>;

const kept = new WeakMap<SandboxEgress, Map<string, HttpUpstream>>();

/** Connections that were made under an earlier policy are not used again. */
export function upstreamFor(place: Place): HttpUpstream {
  const { sandbox, target, literal, protocol } = place;
  const all = kept.get(sandbox) ?? new Map<string, HttpUpstream>();
  kept.set(sandbox, all);
  const key = [protocol, target.host ?? literal, target.port].join(' ');
  const known = all.get(key);
  if (known?.policy === sandbox.policy) return known;
  known?.retire();
  all.delete(key);
  if (all.size >= egressLimits.hostsKept) {
    const [oldest] = all;
    oldest?.[1].retire();
    all.delete(oldest?.[0] ?? '');
  }
  const made = new HttpUpstream(place);
  all.set(key, made);
  return made;
}

export class HttpUpstream {
  readonly policy: Policy;
  readonly #place: Place;
  readonly agent: Agent;
  #session: Promise<ClientHttp2Session | undefined> | undefined;
  /** Opened ahead of the request that will take it. */
  #ahead: Promise<Duplex> | undefined;
  #ticket: Buffer | undefined;

  constructor(place: Place) {
    this.#place = place;
    this.policy = place.sandbox.policy;
    this.agent = new UpstreamAgent(() => this.#take());
  }

  /** Begins to connect while the client's own handshake runs. What fails is told to the request that needs it. */
  prepare(http2: boolean): void {
    if (http2) void this.#http2().catch(() => {});
    else if (this.#ahead === undefined && Object.keys(this.agent.freeSockets).length === 0)
      this.#stash(this.#open(false));
  }

  /** @throws UpstreamRefusal; what fails later fails `answer`. */
  async send(sending: Sending): Promise<Sent> {
    const session = sending.http2 ? await this.#http2() : undefined;
    return session === undefined ? sendHttp1(this.agent, sending) : sendHttp2(session, sending);
  }

  /** What is under way goes on; nothing new begins. */
  retire(): void {
    this.agent.maxFreeSockets = 0;
    for (const sockets of Object.values(this.agent.freeSockets))
      for (const socket of sockets ?? []) socket.destroy();
    void this.#session?.then(
      (session) => session?.close(),
      () => {},
    );
    void this.#ahead?.then(
      (socket) => socket.destroy(),
      () => {},
    );
  }

  #stash(opening: Promise<Duplex>): void {
    this.#ahead = opening;
    opening.then(
      (socket) => {
        const old = (): void => {
          if (this.#ahead !== opening) return;
          this.#ahead = undefined;
          socket.destroy();
        };
        setTimeout(old, egressLimits.upstreamIdleMs).unref();
        socket.once('close', old);
      },
      () => {
        if (this.#ahead === opening) this.#ahead = undefined;
      },
    );
  }

  #take(): Promise<Duplex> {
    const ahead = this.#ahead;
    this.#ahead = undefined;
    return ahead ?? this.#open(false);
  }

  /** Undefined where the host does not speak HTTP/2. */
  async #http2(): Promise<ClientHttp2Session | undefined> {
    const known = await this.#session?.catch(() => undefined);
    if (this.#session !== undefined && known !== undefined && !known.closed && !known.destroyed) return known;
    if (this.#session !== undefined && known === undefined) return undefined;
    this.#session = this.#openHttp2();
    this.#session.catch(() => {
      this.#session = undefined;
    });
    return this.#session;
  }

  async #openHttp2(): Promise<ClientHttp2Session | undefined> {
    if (this.#place.protocol !== 'tls') return undefined;
    const socket = (await this.#open(true)) as TLSSocket;
    if (socket.alpnProtocol !== 'h2') {
      this.#stash(Promise.resolve(socket));
      return undefined;
    }
    const session = connectHttp2(`https://${this.#place.target.host}`, {
      createConnection: () => socket,
      settings: { enablePush: false, initialWindowSize: egressLimits.streamWindowBytes },
      maxSessionMemory: egressLimits.sessionMemoryMib,
    });
    session.on('error', () => session.destroy());
    session.setTimeout(egressLimits.upstreamIdleMs, () => {
      if (streams.get(session) === 0) session.close();
    });
    streams.set(session, 0);
    return session;
  }

  async #open(http2: boolean): Promise<Duplex> {
    const { sandbox, target, literal, protocol } = this.#place;
    const socket = await connectUpstream(sandbox, target, literal);
    if (protocol !== 'tls') return socket;
    const servername = target.host ?? '';
    const secured = connectTls({
      socket,
      servername,
      ALPNProtocols: http2 ? ['h2', 'http/1.1'] : ['http/1.1'],
      secureContext: trust(),
      ...(this.#ticket === undefined ? {} : { session: this.#ticket }),
    });
    secured.on('session', (ticket) => {
      this.#ticket = ticket;
    });
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => secured.destroy(new Error('timeout')), egressLimits.connectMsMax);
      secured.once('secureConnect', () => {
        clearTimeout(timer);
        secured.off('error', reject);
        secured.on('error', () => secured.destroy());
        resolve(secured);
      });
      secured.once('error', (error: NodeJS.ErrnoException) => {
        clearTimeout(timer);
        this.#ticket = undefined;
        const hint = `TLS to ${servername} failed: ${error.code ?? 'broken'}.`;
        reject(new UpstreamRefusal('upstream_unreachable', hint, 'none'));
      });
    });
  }
}

/** Streams under way, by session. */
const streams = new WeakMap<ClientHttp2Session, number>();

class UpstreamAgent extends Agent {
  readonly #take: () => Promise<Duplex>;

  constructor(take: () => Promise<Duplex>) {
    super({
      keepAlive: true,
      maxSockets: egressLimits.upstreamSocketsMax,
      maxFreeSockets: egressLimits.upstreamSocketsKept,
      timeout: egressLimits.upstreamIdleMs, // of those that nobody uses; servers close theirs a little later
    });
    this.#take = take;
  }

  override createConnection(
    _options: unknown,
    callback?: (error: Error | null, socket: Duplex) => void,
  ): undefined {
    this.#take().then(
      (socket) => callback?.(null, socket),
      (error: Error) => callback?.(error, undefined as unknown as Duplex),
    );
  }
}

function sendHttp1(agent: Agent, sending: Sending, again = false): Sent {
  const { method, path, body } = sending;
  const framing = body === 'chunked' ? ['Transfer-Encoding', 'chunked'] : [];
  const headers = [...joinCookies(sending.headers), ...framing];
  const outgoing = httpRequest({ agent, method, path, headers, setHost: false });
  if (body === 'none') outgoing.end();
  const answer = answerOf(outgoing).catch((error: unknown) => {
    // The host closed a kept connection at the moment when it was used again.
    if (again || body !== 'none' || !outgoing.reusedSocket || method === 'POST') throw error;
    return sendHttp1(agent, sending, true).answer;
  });
  answer.catch(() => {}); // told to whoever waits for it
  return { body: body === 'none' ? undefined : outgoing, answer, destroy: () => outgoing.destroy() };
}

function answerOf(outgoing: ClientRequest): Promise<Answer> {
  return new Promise((resolve, reject) => {
    outgoing.on('error', reject);
    outgoing.once('response', (message: IncomingMessage) =>
      resolve({
        status: message.statusCode ?? 502,
        message: message.statusMessage ?? '',
        headers: endToEnd(message.rawHeaders),
        over: false,
        body: message,
        trailers: () => message.rawTrailers,
      }),
    );
  });
}

function sendHttp2(session: ClientHttp2Session, sending: Sending): Sent {
  const { method, path, headers, body } = sending;
  const { host: authority, ...rest } = asObject(headers);
  const stream = session.request(
    {
      ':method': method,
      ':scheme': 'https',
      ':path': path,
      ':authority': String(authority),
      te: 'trailers',
      ...rest,
    },
    { endStream: body === 'none' },
  );
  streams.set(session, (streams.get(session) ?? 0) + 1);
  stream.once('close', () => streams.set(session, (streams.get(session) ?? 1) - 1));
  const answer = answerOfStream(stream);
  answer.catch(() => {}); // told to whoever waits for it
  return {
    body: body === 'none' ? undefined : stream,
    answer,
    destroy: () => stream.close(constants.NGHTTP2_CANCEL),
  };
}

function answerOfStream(stream: ClientHttp2Stream): Promise<Answer> {
  let trailers: readonly string[] = [];
  const raw = (values: unknown): string[] => (Array.isArray(values) ? values.map(String) : []);
  stream.on('trailers', (_headers, _flags, rawTrailers: unknown) => {
    trailers = endToEnd(raw(rawTrailers));
  });
  return new Promise((resolve, reject) => {
    stream.on('error', reject);
    stream.once('close', () => reject(Object.assign(new Error('closed'), { code: 'ECONNRESET' })));
    stream.once('response', (headers, flags, rawHeaders: unknown) =>
      resolve({
        status: headers[':status'] ?? 502,
        message: '',
        headers: endToEnd(raw(rawHeaders)),
        over: (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0,
        body: stream,
        trailers: () => trailers,
      }),
    );
  });
}
