/** The world's server for HTTP/2: pages with what arrived, streams that answer while they are sent, gRPC. */
import { createSecureServer, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import type { SecureContext } from 'node:tls';

export interface Http2Options {
  readonly address: string;
  readonly contextOf: (name: string, done: (error: Error | null, context?: SecureContext) => void) => void;
  readonly tell: (seen: Record<string, unknown>) => void;
}

export function serveHttp2({ address, contextOf, tell }: Http2Options): void {
  const server = createSecureServer({ SNICallback: contextOf });
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {});
    const { ':authority': host, ':method': method, ':path': url, authorization, cookie, te } = headers;
    tell({ kind: 'http2', host, method, url, authorization, cookie, te, key: headers['x-key'] });
    if (headers['content-type']?.startsWith('application/grpc')) return grpc(stream, headers);
    page(stream, headers);
  });
  server.listen(443, address);
}

function page(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
  let bytes = 0;
  stream.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  stream.on('end', () => {
    const size = Number(/^\/bytes\/(\d+)$/.exec(headers[':path'] ?? '')?.[1] ?? 0);
    stream.respond({ ':status': 200, 'set-cookie': ['a=1', 'b=2'] });
    const text = `served h2 ${headers[':authority']} ${headers[':method']} ${headers[':path']} ${bytes}\n`;
    stream.end(size > 0 ? Buffer.alloc(size, 120) : text);
  });
}

/** Sends every message back as it comes; `Fail` answers with nothing but an error. */
function grpc(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
  const head = { ':status': 200, 'content-type': 'application/grpc' };
  if (headers[':path']?.endsWith('/Fail')) {
    stream.respond({ ...head, 'grpc-status': '5', 'grpc-message': 'none there' }, { endStream: true });
    return;
  }
  stream.respond(head, { waitForTrailers: true });
  stream.once('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0', 'x-sum': 'all' }));
  stream.pipe(stream);
}
