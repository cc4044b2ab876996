/** Stands in the gate's network namespace, opens listening sockets there, hands them to the proxy and reads nothing. */
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
import { serviceAddress } from './pins.ts';

/** What the proxy asks for; the answer is the same with the socket. */
export interface OpenRequest {
  readonly kind: 'tcp' | 'udp';
  readonly port: number;
  /** Of UDP: a datagram does not tell which address it was sent to, so each is listened on by itself. */
  readonly address?: string;
}

const backlog = 1024;

function answer(
  request: OpenRequest,
  handle: ReturnType<typeof createServer> | ReturnType<typeof createSocket>,
): void {
  // The proxy holds its own copy then. A connection that came in between is dropped: its client tries again.
  process.send?.(request, handle, {}, () => handle.close());
}

function failed(request: OpenRequest, error: Error): void {
  process.send?.({ ...request, error: error.message });
}

function open(request: OpenRequest): void {
  if (request.kind === 'udp') {
    const socket = createSocket('udp4');
    socket.once('error', (error) => failed(request, error));
    socket.bind(request.port, request.address ?? serviceAddress, () => answer(request, socket));
    return;
  }
  const server = createServer((client) => client.destroy());
  server.once('error', (error) => failed(request, error));
  server.listen({ port: request.port, host: '0.0.0.0', backlog }, () => answer(request, server));
}

const [uid, gid] = process.argv.slice(2).map(Number);
if (uid === undefined || gid === undefined) process.exit(2);
process.setgroups?.([]);
process.setgid?.(gid);
process.setuid?.(uid);
process.on('message', (message) => open(message as OpenRequest));
process.on('disconnect', () => process.exit(0)); // listeners end with the proxy: the kernel refuses then
