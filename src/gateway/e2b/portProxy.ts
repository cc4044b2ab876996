/** HTTP and WebSockets to a server inside a sandbox, streamed both ways; its answers are hostile and only passed on. */
import {
  request as httpRequest,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type ServerResponse,
} from 'node:http';
import { type Duplex, pipeline } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { CasemateError } from '../../base/errors.ts';
import type { Principal } from '../../control/access.ts';
import type { Core } from '../../control/core.ts';
import type { SandboxRow } from '../../store/types.ts';
import { hostOf } from '../domain.ts';
import { previewCookie, previewTokenOf, withoutPreviewCookie, withoutPreviewToken } from '../previewToken.ts';
import type { Address } from './address.ts';
import { headerOf } from './auth.ts';
import { closedPortRefusal, isGone, notFoundRefusal, Refusal } from './http.ts';
import { labels } from './views.ts';

export interface PortOptions {
  /** Whether ports of a sandbox that E2B's clients made may be visited by everybody where they did not say otherwise. */
  readonly publicPorts: boolean;
}

export const trafficTokenHeader = 'e2b-traffic-access-token';
/** Of one hop, or ours alone: a key that a client sends by mistake stays here. */
const notForwarded = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'host',
  'x-api-key',
  'e2b-sandbox-id',
  'e2b-sandbox-port',
  trafficTokenHeader,
]);

/** @throws Refusal */
export async function proxyRequest(
  core: Core,
  options: PortOptions,
  address: Address,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { principal, maskedHost, cookie } = visitorOf(core, options, address, request);
  const { port, done } = await connect(core, principal, address);
  port.once('close', done);
  port.on('error', () => port.destroy()); // there may be nobody else who listens when it fails
  response.once('close', () => port.destroy());
  const inner = httpRequest({
    createConnection: () => port,
    method: request.method ?? 'GET',
    path: withoutPreviewToken(request.url ?? '/'),
    headers: { ...forwarded(request), host: maskedHost ?? hostOf(request), connection: 'close' },
    setDefaultHeaders: false,
    setHost: false,
  });
  await new Promise<void>((resolve, reject) => {
    inner.on('error', (error) => reject(badAnswer(address, error)));
    inner.once('response', (answer) => {
      response.writeHead(answer.statusCode ?? 502, returned(answer, cookie));
      pipeline(answer, response, () => resolve());
    });
    pipeline(request, inner, () => {});
  });
}

function badAnswer({ sandboxId, port }: Address, error: Error): Refusal {
  const message = `The server on this port gave no answer that is HTTP (${error.message}).`;
  return new Refusal({ sandboxId, port, message, code: 502 });
}

/** Passes an upgrade on as it is, and from then on bytes. @throws Refusal */
export async function proxyUpgrade(
  core: Core,
  options: PortOptions,
  address: Address,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  const { principal, maskedHost } = visitorOf(core, options, address, request);
  const { port, done } = await connect(core, principal, address);
  port.once('close', done);
  port.on('error', () => port.destroy()); // there may be nobody else who listens when it fails
  const headers: OutgoingHttpHeaders = {
    ...forwarded(request),
    host: maskedHost ?? hostOf(request),
    connection: 'Upgrade',
    upgrade: request.headers.upgrade,
  };
  const lines = Object.entries(headers).flatMap(([name, value]) =>
    [value ?? []].flat().map((one) => `${name}: ${one}`),
  );
  const path = withoutPreviewToken(request.url ?? '/');
  port.write(`${request.method ?? 'GET'} ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`);
  port.write(head);
  pipeline(socket, port, () => {});
  pipeline(port, socket, () => {});
}

interface Visitor {
  readonly principal: Principal;
  readonly maskedHost: string | undefined;
  /** For the browser to keep, where it came by a signed URL. */
  readonly cookie: string | undefined;
}

function visitorOf(core: Core, options: PortOptions, address: Address, request: IncomingMessage): Visitor {
  const { sandboxId, port } = address;
  try {
    const principal = core.holderOf(sandboxId);
    const row = core.sandboxes.get(principal, sandboxId);
    const maskedHost = row.labels[labels.maskedHost]?.replaceAll(/\$\{PORT\}/g, String(port));
    return { principal, maskedHost, cookie: admit(core, options, { row, port }, request) };
  } catch (error) {
    throw isGone(error) ? notFoundRefusal(sandboxId) : error;
  }
}

/** A cookie where the visitor came by a signed URL and is to stay. @throws Refusal for whoever may not visit the port. */
function admit(
  core: Core,
  options: PortOptions,
  { row, port }: { readonly row: SandboxRow; readonly port: number },
  request: IncomingMessage,
): string | undefined {
  const signed = previewTokenOf(request);
  const leftMs = signed && core.previews.leftMs(row.id, port, signed.token);
  if (signed !== undefined && leftMs !== undefined) {
    return signed.from === 'query' ? previewCookie(signed.token, leftMs, isSecure(request)) : undefined;
  }
  if (core.previews.isPublic(row, port)) return undefined;
  if (options.publicPorts && row.labels[labels.privatePorts] === 'no') return undefined;
  const token = headerOf(request, trafficTokenHeader);
  if (token !== undefined && core.tokens.matches('ports', row.id, token)) return undefined;
  const refuse = (message: string): Refusal => new Refusal({ sandboxId: row.id, message, code: 403 });
  if (token !== undefined) throw refuse(`Invalid traffic access token: ${how}.`);
  if (signed !== undefined) throw refuse('This preview URL has run out, or is for another port or sandbox.');
  throw refuse(`Traffic access token is missing: ${how}.`);
}

const how = `open a signed URL (casemate preview), send the sandbox's trafficAccessToken in ${trafficTokenHeader}, or start the server with --e2b-previews public`;

function isSecure({ headers, socket }: IncomingMessage): boolean {
  return headers[':scheme'] === 'https' || (socket as Partial<TLSSocket>).encrypted === true;
}

async function connect(
  core: Core,
  principal: Principal,
  { sandboxId, port }: Address,
): Promise<{ port: Duplex; done: () => void }> {
  try {
    return await core.connectPort(principal, sandboxId, port);
  } catch (error) {
    if (isGone(error)) throw notFoundRefusal(sandboxId);
    if (error instanceof CasemateError && error.code === 'port_unreachable')
      throw closedPortRefusal(sandboxId, port);
    throw error;
  }
}

function forwarded({ headers }: IncomingMessage): OutgoingHttpHeaders {
  const named = String(headers.connection ?? '')
    .toLowerCase()
    .split(/ *, */);
  const kept = Object.entries(headers).filter(
    ([name]) => !name.startsWith(':') && !notForwarded.has(name) && !named.includes(name),
  );
  const { cookie: _cookie, ...rest } = Object.fromEntries(kept);
  const cookie = withoutPreviewCookie(headers);
  const { referer } = headers; // of the page whose URL was signed
  return {
    ...rest,
    ...(referer === undefined ? {} : { referer: withoutPreviewToken(referer) }),
    ...(cookie === undefined ? {} : { cookie }),
  };
}

/** HTTP/2 knows no headers of a connection, and Node refuses to send them there. */
function returned({ headers }: IncomingMessage, cookie: string | undefined): OutgoingHttpHeaders {
  const perHop = ['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade'];
  const kept = Object.fromEntries(Object.entries(headers).filter(([name]) => !perHop.includes(name)));
  if (cookie === undefined) return kept;
  return { ...kept, 'set-cookie': [...(headers['set-cookie'] ?? []), cookie] };
}
