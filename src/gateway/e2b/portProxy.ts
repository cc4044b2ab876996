/** HTTP and WebSockets to a server inside a sandbox, streamed both ways; its answers are hostile and only passed on. */
import {
  request as httpRequest,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type ServerResponse,
} from 'node:http';
import { type Duplex, pipeline } from 'node:stream';
import { CasemateError } from '../../base/errors.ts';
import type { Principal } from '../../control/access.ts';
import type { Core } from '../../control/core.ts';
import { type Address, hostOf } from './address.ts';
import { headerOf } from './auth.ts';
import { closedPortRefusal, isGone, notFoundRefusal, Refusal } from './http.ts';
import { labels } from './views.ts';

export interface PortOptions {
  /** Whether ports of a sandbox may be visited by everybody where its creator did not say otherwise. */
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
  const { principal, maskedHost } = visitorOf(core, options, address, request);
  const { port, done } = await connect(core, principal, address);
  port.once('close', done);
  port.on('error', () => port.destroy()); // there may be nobody else who listens when it fails
  response.once('close', () => port.destroy());
  const inner = httpRequest({
    createConnection: () => port,
    method: request.method ?? 'GET',
    path: request.url ?? '/',
    headers: { ...forwarded(request), host: maskedHost ?? hostOf(request), connection: 'close' },
    setDefaultHeaders: false,
    setHost: false,
  });
  await new Promise<void>((resolve, reject) => {
    inner.on('error', (error) => reject(badAnswer(address, error)));
    inner.once('response', (answer) => {
      response.writeHead(answer.statusCode ?? 502, returned(answer));
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
  port.write(`${request.method ?? 'GET'} ${request.url ?? '/'} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`);
  port.write(head);
  pipeline(socket, port, () => {});
  pipeline(port, socket, () => {});
}

interface Visitor {
  readonly principal: Principal;
  readonly maskedHost: string | undefined;
}

function visitorOf(core: Core, options: PortOptions, address: Address, request: IncomingMessage): Visitor {
  const { sandboxId, port } = address;
  try {
    const principal = core.holderOf(sandboxId);
    const notes = core.sandboxes.get(principal, sandboxId).labels;
    if (!options.publicPorts || notes[labels.privatePorts] !== undefined) {
      needTrafficToken(core, sandboxId, headerOf(request, trafficTokenHeader));
    }
    const maskedHost = notes[labels.maskedHost]?.replaceAll(/\$\{PORT\}/g, String(port));
    return { principal, maskedHost };
  } catch (error) {
    throw isGone(error) ? notFoundRefusal(sandboxId) : error;
  }
}

function needTrafficToken(core: Core, sandboxId: string, token: string | undefined): void {
  if (token !== undefined && core.tokens.matches('ports', sandboxId, token)) return;
  const what = token === undefined ? 'Traffic access token is missing' : 'Invalid traffic access token';
  const how = `send the sandbox's trafficAccessToken in ${trafficTokenHeader}, or start the server with --e2b-previews public`;
  throw new Refusal({ sandboxId, message: `${what}: ${how}.`, code: 403 });
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
  return Object.fromEntries(kept);
}

/** HTTP/2 knows no headers of a connection, and Node refuses to send them there. */
function returned({ headers }: IncomingMessage): OutgoingHttpHeaders {
  const perHop = ['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade'];
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !perHop.includes(name)));
}
