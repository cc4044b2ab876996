/** Sends a judged request on, streaming both ways: nothing is held whole, and the framing is written anew. */
import {
  Agent,
  type ClientRequest,
  type IncomingMessage,
  request as httpRequest,
  type ServerResponse,
} from 'node:http';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import { headersFor } from '../policy/match.ts';
import type { Exchange } from './httpServer.ts';
import { egressLimits } from './limits.ts';
import type { OpenFlow } from './openFlow.ts';
import { applySecrets } from './secrets.ts';
import { connectUpstream, UpstreamRefusal } from './upstream.ts';

/** Connections of one client connection to its one host; gone when the client is. */
export class UpstreamAgent extends Agent {
  readonly #flow: OpenFlow;

  constructor(flow: OpenFlow) {
    super({ keepAlive: true, maxSockets: 4, maxFreeSockets: 1 });
    this.#flow = flow;
  }

  override createConnection(
    _options: unknown,
    callback?: (error: Error | null, socket: Duplex) => void,
  ): undefined {
    this.#open().then(
      (socket) => callback?.(null, socket),
      (error: Error) => callback?.(error, undefined as unknown as Duplex),
    );
  }

  async #open(): Promise<Duplex> {
    const { sandbox, target, literal, protocol } = this.#flow;
    const socket = await connectUpstream(sandbox, target, literal);
    if (this.#flow.over) {
      socket.destroy();
      throw new UpstreamRefusal('upstream_unreachable', 'The connection was cut.', 'none');
    }
    if (protocol !== 'tls') return socket;
    const servername = target.host ?? '';
    const secured = connectTls({ socket, servername, ALPNProtocols: ['http/1.1'], minVersion: 'TLSv1.2' });
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => secured.destroy(new Error('timeout')), egressLimits.connectMsMax);
      secured.once('secureConnect', () => {
        clearTimeout(timer);
        secured.off('error', reject);
        resolve(secured);
      });
      secured.once('error', (error: NodeJS.ErrnoException) => {
        clearTimeout(timer);
        const hint = `TLS to ${servername} failed: ${error.code ?? 'broken'}.`;
        reject(new UpstreamRefusal('upstream_unreachable', hint, 'none'));
      });
    });
  }
}

/** Of one connection, not of the message (RFC 9110 §7.6.1). */
const hopByHop = new Set([
  ...['connection', 'keep-alive', 'proxy-connection', 'proxy-authorization', 'te', 'trailer'],
  ...['transfer-encoding', 'upgrade', 'expect', 'http2-settings'],
]);

function endToEnd(message: IncomingMessage): string[] {
  const named = (message.headers.connection ?? '')
    .toLowerCase()
    .split(',')
    .map((name) => name.trim());
  const kept: string[] = [];
  for (let at = 0; at + 1 < message.rawHeaders.length; at += 2) {
    const name = message.rawHeaders[at] ?? '';
    const lower = name.toLowerCase();
    if (hopByHop.has(lower) || (named.includes(lower) && lower !== 'host')) continue;
    kept.push(name, message.rawHeaders[at + 1] ?? '');
  }
  return kept;
}

function open(exchange: Exchange, request: IncomingMessage, more: readonly string[]): ClientRequest {
  const { flow, agent, method } = exchange;
  const place = { host: flow.target.host, encrypted: flow.protocol === 'tls' };
  const rules = headersFor(flow.sandbox.policy, flow.target, flow.protocol, exchange);
  const given = { headers: endToEnd(request), path: exchange.path };
  const { headers, path } = applySecrets(flow.sandbox.secrets, place, given, rules);
  return httpRequest({ agent, method, path, headers: [...headers, ...more], setHost: false });
}

/** @throws UpstreamRefusal, SecretRefusal, or what broke before the answer began. */
export function forwardRequest(
  exchange: Exchange,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const startedAt = Date.now();
  const chunked = request.headers['transfer-encoding'] !== undefined;
  const outgoing = open(exchange, request, chunked ? ['Transfer-Encoding', 'chunked'] : []);
  let sent = 0;
  request.on('data', (chunk: Buffer) => {
    sent += chunk.length;
  });
  response.once('close', () => {
    if (!response.writableFinished) outgoing.destroy(); // the sandbox went away
  });
  return new Promise((resolve, reject) => {
    outgoing.on('error', (error) => (response.headersSent ? response.destroy() : reject(error)));
    outgoing.on('information', ({ statusCode }) => {
      if (statusCode === 102) response.writeProcessing();
    });
    outgoing.once('response', (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.statusMessage, endToEnd(answer));
      let received = 0;
      answer.on('data', (chunk: Buffer) => {
        received += chunk.length;
      });
      answer.once('end', () => response.addTrailers(pairs(answer.rawTrailers)));
      pipeline(answer, response, () => {
        tellFlow(exchange, startedAt, { sent, received, status: answer.statusCode ?? 0 });
        resolve();
      });
    });
    pipeline(request, outgoing, () => {}); // an error shows on `outgoing`
  });
}

function pairs(raw: readonly string[]): [string, string][] {
  const made: [string, string][] = [];
  for (let at = 0; at + 1 < raw.length; at += 2) made.push([raw[at] ?? '', raw[at + 1] ?? '']);
  return made;
}

/** WebSocket and the like: after the server agreed, bytes pass both ways. */
export function forwardUpgrade(
  exchange: Exchange,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  const startedAt = Date.now();
  const upgrade = ['Connection', 'Upgrade', 'Upgrade', request.headers.upgrade ?? ''];
  const outgoing = open(exchange, request, upgrade);
  return new Promise((resolve, reject) => {
    outgoing.on('error', reject);
    socket.once('close', () => outgoing.destroy());
    outgoing.once('upgrade', (answer, upstream, first) => {
      upstream.on('error', () => socket.destroy());
      socket.write(statusLines(answer, answer.rawHeaders));
      socket.write(first);
      upstream.write(head);
      let sent = head.length;
      let received = first.length;
      socket.on('data', (chunk: Buffer) => {
        sent += chunk.length;
      });
      upstream.on('data', (chunk: Buffer) => {
        received += chunk.length;
      });
      socket.pipe(upstream);
      upstream.pipe(socket);
      socket.once('close', () => {
        upstream.destroy();
        tellFlow(exchange, startedAt, { sent, received, status: 101 });
        resolve();
      });
      upstream.once('close', () => socket.destroy());
    });
    outgoing.once('response', (answer) => {
      socket.write(statusLines(answer, [...endToEnd(answer), 'Connection', 'close']));
      pipeline(answer, socket, () => resolve());
    });
    outgoing.end();
  });
}

function statusLines(answer: IncomingMessage, headers: readonly string[]): string {
  const lines = [`HTTP/1.1 ${answer.statusCode} ${answer.statusMessage}`];
  for (let at = 0; at + 1 < headers.length; at += 2) lines.push(`${headers[at]}: ${headers[at + 1]}`);
  return `${lines.join('\r\n')}\r\n\r\n`;
}

function tellFlow(
  exchange: Exchange,
  startedAt: number,
  result: { sent: number; received: number; status: number },
): void {
  const { flow, rule, method, path } = exchange;
  flow.sandbox.emit({
    kind: 'flow',
    sandboxId: flow.sandbox.id,
    at: new Date().toISOString(),
    host: flow.name,
    port: flow.target.port,
    protocol: flow.protocol,
    inspected: true,
    rule,
    bytesSent: result.sent,
    bytesReceived: result.received,
    durationMs: Date.now() - startedAt,
    method,
    path: path.split('?', 1)[0] ?? '',
    status: result.status,
  });
}
