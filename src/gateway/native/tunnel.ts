/** TCP to a port of a sandbox over a WebSocket: binary messages are the bytes. */
import type { EventEmitter } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream';
import { createWebSocketStream, WebSocketServer } from 'ws';
import { CasemateError } from '../../base/errors.ts';
import type { Core } from '../../control/core.ts';
import type { WireProtocol } from '../protocol.ts';
import { bearerOf } from './auth.ts';

const tunnelPath = /^\/v1\/sandboxes\/([a-z0-9]{20})\/ports\/(\d{1,5})\/tunnel$/;
const messageBytesMax = 1024 * 1024;

/** Takes upgrades of an HTTP/1.1 server; what is neither another protocol's nor a tunnel is refused in words. */
export function serveTunnels(server: EventEmitter, core: Core, protocols: readonly WireProtocol[]): void {
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: messageBytesMax,
    perMessageDeflate: false,
  });
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => socket.destroy());
    const other = protocols.find((protocol) => protocol.takes(request));
    if (other !== undefined) return other.upgrade(request, socket, head);
    void open(core, request).then(
      ({ port, done }) =>
        sockets.handleUpgrade(request, socket, head, (webSocket) => {
          const client = createWebSocketStream(webSocket);
          pipeline(client, port, () => {});
          pipeline(port, client, () => {});
          port.once('close', () => {
            done();
            webSocket.close();
          });
        }),
      (thrown: unknown) => refuse(socket, CasemateError.from(thrown)),
    );
  });
}

async function open(core: Core, request: IncomingMessage): Promise<{ port: Duplex; done: () => void }> {
  const path = (request.url ?? '').split('?')[0] ?? '';
  const match = tunnelPath.exec(path);
  const principal = core.authenticate(bearerOf(request.headers.authorization));
  if (match?.[1] === undefined)
    throw new CasemateError('not_found', 'Only tunnels to ports take an upgrade.');
  const port = Number(match[2]);
  if (port < 1 || port > 65_535) throw new CasemateError('invalid_request', 'Ports are 1 to 65535.');
  return core.connectPort(principal, match[1], port);
}

function refuse(socket: Duplex, error: CasemateError): void {
  const body = JSON.stringify(error.toBody());
  socket.end(
    `HTTP/1.1 ${error.status} Refused\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}
