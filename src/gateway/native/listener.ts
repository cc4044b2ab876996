/** One port for HTTP/1.1, HTTP/2 in the clear and TLS: the first bytes of a connection say which it is. */
import { createServer as createHttp1, type RequestListener, type Server as Http1Server } from 'node:http';
import {
  createSecureServer,
  createServer as createHttp2,
  type Http2SecureServer,
  type Http2Server,
  type ServerHttp2Session,
} from 'node:http2';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';

/** What every HTTP/2 connection starts with (RFC 9113, section 3.4). */
const http2Preface = 'PRI * HTTP/2.0';
/** The type of a TLS record that carries a handshake. */
const tlsHandshake = 0x16;
const firstBytesMsMax = 20_000;
const connectionsMax = 10_000;

/** A certificate with its chain, and its key, in PEM. */
export interface TlsPair {
  readonly cert: Buffer;
  readonly key: Buffer;
}

export class Listener {
  readonly http1: Http1Server;
  /** Undefined without a certificate. */
  readonly secure: Http2SecureServer | undefined;
  readonly #http2: Http2Server;
  readonly #port: Server;
  readonly #sockets = new Set<Socket>();
  readonly #sessions = new Set<ServerHttp2Session>();

  constructor(handler: RequestListener, tls?: TlsPair) {
    // Uploads and streams may take as long as they need; only their beginning may not.
    // A client that was told of 65 s may be late by some when its machine is busy: the close comes well after that, or a
    // request and the close would meet on the way.
    const times = {
      requestTimeout: 0,
      headersTimeout: 20_000,
      keepAliveTimeout: 65_000,
      keepAliveTimeoutBuffer: 15_000,
    };
    this.http1 = createHttp1(times, handler);
    const settings = { maxConcurrentStreams: 256, initialWindowSize: 1024 * 1024 };
    this.#http2 = createHttp2({ settings }, (request, response) =>
      handler(request as never, response as never),
    );
    this.secure =
      tls === undefined
        ? undefined
        : createSecureServer({ ...tls, settings, allowHTTP1: true }, (request, response) =>
            handler(request as never, response as never),
          );
    // The times of HTTP/1.1 over TLS are those of the server in the clear.
    Object.assign(this.secure ?? {}, times);
    for (const server of [this.#http2, this.secure]) {
      server?.on('session', (session) => {
        session.setLocalWindowSize(4 * 1024 * 1024);
        this.#sessions.add(session);
        session.once('close', () => this.#sessions.delete(session));
      });
    }
    // They never listen themselves; this starts their watch over slow headers and idle connections all the same.
    this.http1.emit('listening');
    this.secure?.emit('listening');
    this.#port = createServer({ noDelay: true }, (socket) => this.#sort(socket));
    this.#port.maxConnections = connectionsMax;
  }

  #sort(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    const onError = (): void => void socket.destroy();
    socket.on('error', onError);
    socket.setTimeout(firstBytesMsMax, onError);
    let first: Buffer = Buffer.alloc(0);
    const onData = (piece: Buffer): void => {
      first = Buffer.concat([first, piece]);
      const isHttp2 =
        first.toString('latin1', 0, http2Preface.length) === http2Preface.slice(0, first.length);
      if (isHttp2 && first.length < http2Preface.length) return; // "P" may still become "PUT"
      socket.pause();
      socket.off('data', onData);
      socket.setTimeout(0);
      socket.off('timeout', onError);
      if (this.secure !== undefined && first[0] === tlsHandshake) {
        socket.unshift(first);
        this.secure.emit('connection', socket);
        return;
      }
      (isHttp2 ? this.#http2 : this.http1).emit('connection', socket);
      socket.unshift(first);
      socket.resume();
    };
    socket.on('data', onData);
  }

  /** @returns the port, which is another one than asked for where 0 was. */
  listen(port: number, host: string): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#port.once('error', reject);
      this.#port.listen({ port, host, backlog: 1024 }, () =>
        resolve((this.#port.address() as AddressInfo).port),
      );
    });
  }

  /** Takes no more connections and gives those that are there a moment to end. */
  async close(graceMs: number): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#port.close(() => resolve()));
    this.http1.closeIdleConnections();
    for (const session of this.#sessions) session.close();
    const timer = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy();
    }, graceMs);
    await closed;
    clearTimeout(timer);
  }
}
