/** Reads requests of a sandbox, on plain HTTP and inside terminated TLS: judges each one, forwards or explains. */
import { createServer, type IncomingMessage, STATUS_CODES } from 'node:http';
import { constants, createServer as createHttp2Server, type ServerHttp2Session } from 'node:http2';
import type { Duplex } from 'node:stream';
import type { Verdict } from '../policy/match.ts';
import {
  type AnyRequest,
  type AnyResponse,
  type Exchange,
  isHttp2,
  judge,
  type Refused,
  readLine,
  refusalOf,
  statusOf,
  tell,
} from './exchange.ts';
import { forwardRequest, forwardUpgrade } from './httpForward.ts';
import { egressLimits } from './limits.ts';
import type { OpenFlow } from './openFlow.ts';

interface Connection {
  readonly flow: OpenFlow;
  readonly underWay: Set<Exchange>;
  /** A budget that was used up when it connected: every request gets this answer. */
  readonly refusal: Refused | undefined;
}

/** By socket, or by session of HTTP/2; one server object reads all connections. */
const connections = new WeakMap<object, Connection>();

const server = createServer({
  maxHeaderSize: egressLimits.headerBytesMax,
  requestTimeout: 0, // an upload may take its time; the flow's own idle limit ends what stands still
  headersTimeout: egressLimits.helloMsMax,
  keepAliveTimeout: 60_000,
  connectionsCheckingInterval: 2000,
  insecureHTTPParser: false,
  // Behind an upgrade to HTTP/2 (h2c) requests would pass that nobody judges: WebSocket alone, all else stays HTTP/1.1.
  shouldUpgradeCallback: (request) => /^websocket$/i.test(request.headers.upgrade ?? ''),
});
server.timeout = egressLimits.idleMsMax;
server.emit('listening'); // it never listens itself, and would not look at its time limits otherwise
server.on('request', (request, response) => void onRequest(request, response));
server.on('checkContinue', (request, response) => void onRequest(request, response));
server.on('upgrade', (request, socket, head) => void onUpgrade(request, socket, head));
server.on('connect', (request, socket) => {
  const connection = connections.get(request.socket);
  if (connection !== undefined) explainRaw(connection.flow, socket, request, noProxy);
});
server.on('clientError', (_error, socket) => {
  if (socket.writable)
    socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
  else socket.destroy();
});

/** No push, no extended CONNECT; streams that are reset in a flood end the connection (Node's own limit). */
const http2Server = createHttp2Server({
  settings: {
    maxConcurrentStreams: egressLimits.streamsMax,
    maxHeaderListSize: egressLimits.headerBytesMax,
    initialWindowSize: egressLimits.streamWindowBytes,
  },
  maxSessionMemory: egressLimits.sessionMemoryMib,
});
http2Server.setTimeout(egressLimits.idleMsMax);
http2Server.on('request', (request, response) => void onRequest(request, response));
http2Server.on('checkContinue', (request, response) => void onRequest(request, response));
http2Server.on('connect', (request, response) => {
  const connection = connections.get(request.stream.session ?? request);
  if (connection === undefined) return void request.stream.close();
  explain(connection.flow, request, response, noProxy);
});
http2Server.on('sessionError', (_error, session) => session.destroy());

const noProxy: Refused = {
  allowed: false,
  code: 'protocol_not_allowed',
  rule: 'HTTP rules',
  hint: 'There is no proxy to CONNECT through: connect to the host itself.',
};

/** Takes over a connection that the policy has let in (or whose every request it will refuse). */
export function serveHttp(socket: Duplex, flow: OpenFlow, refusal?: Refused): void {
  connections.set(socket, connectionOf(flow, refusal));
  server.emit('connection', socket);
}

/** The same for a connection that has agreed on HTTP/2. */
export function serveHttp2(socket: Duplex, flow: OpenFlow): void {
  const remember = (session: ServerHttp2Session): void =>
    void connections.set(session, connectionOf(flow, undefined));
  // Node says so itself only for sockets that its own TLS server accepted; a session would wait for it for ever.
  Object.assign(socket, { secureConnecting: false });
  http2Server.once('session', remember);
  http2Server.emit('connection', socket); // makes the session before it returns
  http2Server.off('session', remember);
}

function connectionOf(flow: OpenFlow, refusal: Refused | undefined): Connection {
  const underWay = new Set<Exchange>();
  flow.compliance = () => [...underWay].every((exchange) => judge(flow, exchange).allowed);
  return { flow, underWay, refusal };
}

/** What is to be done with a request, or why it is refused. */
function admitted(connection: Connection, request: AnyRequest): Exchange | Refused {
  const { flow } = connection;
  const line = connection.refusal ?? readLine(flow, request);
  if ('allowed' in line) return line;
  const verdict: Verdict = judge(flow, line);
  return verdict.allowed ? { flow, ...line, rule: verdict.rule } : verdict;
}

async function onRequest(request: AnyRequest, response: AnyResponse): Promise<void> {
  const connection = connections.get(isHttp2(request) ? (request.stream.session ?? request) : request.socket);
  if (connection === undefined) return void request.destroy();
  const { flow, underWay } = connection;
  const exchange = admitted(connection, request);
  if ('allowed' in exchange) return explain(flow, request, response, exchange);
  underWay.add(exchange);
  response.once('close', () => underWay.delete(exchange));
  try {
    if (request.headers.expect !== undefined) response.writeContinue();
    await forwardRequest(exchange, request, response);
  } catch (error) {
    explain(flow, request, response, refusalOf(error));
  }
}

async function onUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
  const connection = connections.get(request.socket);
  if (connection === undefined) return void socket.destroy();
  const { flow, underWay } = connection;
  socket.on('error', () => socket.destroy());
  const exchange = admitted(connection, request);
  if ('allowed' in exchange) return explainRaw(flow, socket, request, exchange);
  underWay.add(exchange);
  socket.once('close', () => underWay.delete(exchange));
  try {
    await forwardUpgrade(exchange, request, socket, head);
  } catch (error) {
    explainRaw(flow, socket, request, refusalOf(error));
  }
}

function explain(flow: OpenFlow, request: AnyRequest, response: AnyResponse, verdict: Refused): void {
  const body = tell(flow, request, verdict);
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
  if ('stream' in response) {
    const { stream } = response;
    if (stream.headersSent) return void stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    if (stream.destroyed) return;
    stream.respond({ ':status': statusOf(verdict), ...headers });
    stream.end(body, () => stream.close(constants.NGHTTP2_NO_ERROR)); // the rest of a refused body is not read
    return;
  }
  if (response.headersSent) return void response.destroy();
  response.writeHead(statusOf(verdict), { ...headers, connection: 'close' }); // the same
  response.end(body);
}

function explainRaw(flow: OpenFlow, socket: Duplex, request: IncomingMessage, verdict: Refused): void {
  const body = tell(flow, request, verdict);
  const status = statusOf(verdict);
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}
