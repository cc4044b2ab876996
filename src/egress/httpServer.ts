/** Reads requests of a sandbox, on plain HTTP and inside terminated TLS: judges each one, forwards or explains. */
import { createServer, type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { canonicalHost, printable } from '../policy/host.ts';
import { judgeRequest, type Verdict } from '../policy/match.ts';
import { forwardRequest, forwardUpgrade, UpstreamAgent } from './httpForward.ts';
import { egressLimits } from './limits.ts';
import type { OpenFlow } from './openFlow.ts';
import { SecretRefusal } from './secrets.ts';
import { UpstreamRefusal } from './upstream.ts';

export interface Exchange {
  readonly flow: OpenFlow;
  readonly agent: UpstreamAgent;
  readonly method: string;
  /** In origin form. */
  readonly path: string;
  readonly rule: string;
}

interface Connection {
  readonly flow: OpenFlow;
  readonly agent: UpstreamAgent;
  readonly underWay: Set<Exchange>;
  /** A budget that was used up when it connected: every request gets this answer. */
  readonly refusal: (Verdict & { allowed: false }) | undefined;
}

/** By socket; one server object reads all connections. */
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
  const hint = 'There is no proxy to CONNECT through: connect to the host itself.';
  const refusal = { allowed: false, code: 'protocol_not_allowed', rule: 'HTTP rules', hint } as const;
  if (connection !== undefined) explainRaw(connection.flow, socket, request, refusal);
});
server.on('clientError', (_error, socket) => {
  if (socket.writable)
    socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
  else socket.destroy();
});

/** Takes over a connection that the policy has let in (or whose every request it will refuse). */
export function serveHttp(socket: Socket, flow: OpenFlow, refusal?: Verdict & { allowed: false }): void {
  const agent = new UpstreamAgent(flow);
  const underWay = new Set<Exchange>();
  connections.set(socket, { flow, agent, underWay, refusal });
  flow.compliance = () => [...underWay].every((exchange) => judge(flow, exchange).allowed);
  flow.onCut = () => agent.destroy();
  socket.once('close', () => agent.destroy());
  server.emit('connection', socket);
}

function judge(flow: OpenFlow, request: { readonly method: string; readonly path: string }): Verdict {
  return judgeRequest(flow.sandbox.policy, flow.target, flow.protocol, request);
}

/** The request's line in origin form, or why it is refused. */
function read(
  flow: OpenFlow,
  request: IncomingMessage,
): { method: string; path: string } | (Verdict & { allowed: false }) {
  const method = request.method ?? '';
  const url = request.url ?? '';
  const mismatch = (asked: string): Verdict & { allowed: false } => ({
    allowed: false,
    code: 'host_mismatch',
    rule: 'HTTP rules',
    hint: `The connection leads to ${flow.name}, but the request asks for ${printable(asked)}.`,
  });
  const hosts = request.headersDistinct.host ?? [];
  const [host = ''] = hosts;
  if (hosts.length !== 1 || !namesPlace(flow, host)) return mismatch(hosts.join(', '));
  if (url.startsWith('/') || url === '*') return { method, path: url };
  const scheme = flow.protocol === 'tls' ? 'https://' : 'http://';
  const slash = url.indexOf('/', scheme.length);
  const authority = url.slice(scheme.length, slash < 0 ? undefined : slash);
  if (!url.startsWith(scheme) || !namesPlace(flow, authority)) return mismatch(url);
  return { method, path: slash < 0 ? '/' : url.slice(slash) };
}

function namesPlace(flow: OpenFlow, authority: string): boolean {
  const match = /^([^:]*)(?::(\d{1,5}))?$/.exec(authority);
  const usual = flow.protocol === 'tls' ? 443 : 80;
  return (
    canonicalHost(match?.[1] ?? '') === flow.target.host && Number(match?.[2] ?? usual) === flow.target.port
  );
}

async function onRequest(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const connection = connections.get(request.socket);
  if (connection === undefined) return void request.socket.destroy();
  const { flow, agent, underWay } = connection;
  const line = connection.refusal ?? read(flow, request);
  if ('allowed' in line) return explain(flow, request, response, line);
  const verdict = judge(flow, line);
  if (!verdict.allowed) return explain(flow, request, response, verdict);
  const exchange: Exchange = { flow, agent, ...line, rule: verdict.rule };
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
  const { flow, agent, underWay } = connection;
  socket.on('error', () => socket.destroy());
  const line = connection.refusal ?? read(flow, request);
  if ('allowed' in line) return explainRaw(flow, socket, request, line);
  const verdict = judge(flow, line);
  if (!verdict.allowed) return explainRaw(flow, socket, request, verdict);
  const exchange: Exchange = { flow, agent, ...line, rule: verdict.rule };
  underWay.add(exchange);
  socket.once('close', () => underWay.delete(exchange));
  try {
    await forwardUpgrade(exchange, request, socket, head);
  } catch (error) {
    explainRaw(flow, socket, request, refusalOf(error));
  }
}

function refusalOf(error: unknown): Verdict & { allowed: false } {
  const refusal = { allowed: false } as const;
  if (error instanceof UpstreamRefusal) {
    return { ...refusal, code: error.code, rule: error.rule, hint: error.message };
  }
  if (error instanceof SecretRefusal) {
    return { ...refusal, code: 'secret_refused', rule: 'secret rules', hint: error.message };
  }
  // Its text could hold a header's value.
  const code = (error as NodeJS.ErrnoException).code ?? 'broken';
  return {
    ...refusal,
    code: 'upstream_unreachable',
    rule: 'none',
    hint: `The request failed upstream: ${code}.`,
  };
}

function statusOf(verdict: Verdict & { allowed: false }): number {
  if (verdict.code === 'upstream_unreachable') return 502;
  return verdict.code === 'host_mismatch' ? 421 : 403;
}

/** The same content as an event and as the body of the answer. */
function tell(flow: OpenFlow, request: IncomingMessage, verdict: Verdict & { allowed: false }): string {
  const { code, rule, hint } = verdict;
  const host = flow.name;
  flow.sandbox.deny({
    code,
    rule,
    hint,
    host,
    port: flow.target.port,
    protocol: flow.protocol === 'tls' ? 'tls' : 'http',
    method: request.method ?? '',
    path: printable((request.url ?? '').split('?', 1)[0] ?? ''),
  });
  return `${JSON.stringify({ code, host, rule, hint })}\n`;
}

function explain(
  flow: OpenFlow,
  request: IncomingMessage,
  response: ServerResponse,
  verdict: Verdict & { allowed: false },
): void {
  const body = tell(flow, request, verdict);
  if (response.headersSent) return void response.destroy();
  response.writeHead(statusOf(verdict), {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    connection: 'close', // the rest of a refused body is not read
  });
  response.end(body);
}

function explainRaw(
  flow: OpenFlow,
  socket: Duplex,
  request: IncomingMessage,
  verdict: Verdict & { allowed: false },
): void {
  const body = tell(flow, request, verdict);
  const status = statusOf(verdict);
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}
