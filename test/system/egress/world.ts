/** The outside world of the egress tests, in a namespace of its own: a name server, HTTP, HTTPS, an echo on other ports. */
import { createSocket } from 'node:dgram';
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { createServer as createTcpServer } from 'node:net';
import { join } from 'node:path';
import { type SecureContext, TLSSocket } from 'node:tls';
import { WebSocketServer } from 'ws';
import { createAuthority } from '../../../src/egress/authority.ts';
import { readQuery, recordTypes, writeAnswer } from '../../../src/egress/dnsMessage.ts';
import { serveHttp2 } from './worldHttp2.ts';
import { serveSites } from './worldSites.ts';

/** One line a happening on stdout: that is how tests see what arrived. */
function tell(seen: Record<string, unknown>): void {
  process.stdout.write(`${JSON.stringify(seen)}\n`);
}

const [stateDir = ''] = process.argv.slice(2);
const authority = await createAuthority(stateDir, 'world');
let turns = 0;

/** Which of the world's servers a name leads to by how it begins. */
const serverOf = (name: string): string => {
  if (/^(h2|grpc)/.test(name)) return '5.5.1.2';
  return /^(git|pypi|npm)\./.test(name) ? '5.5.1.3' : '5.5.1.1';
};
/** Names that lead elsewhere. */
const zone: Readonly<Record<string, () => string>> = {
  'metadata.test': () => '169.254.169.254',
  'loopback.test': () => '127.0.0.1',
  'private.test': () => '10.77.0.1',
  'silent.test': () => '5.5.200.1', // nobody answers there
  'proxy-host.test': () => '5.5.0.1',
  'rebind.test': () => {
    turns += 1;
    return turns % 2 === 1 ? '5.5.1.1' : '127.0.0.1';
  },
};
const zone6: Readonly<Record<string, string>> = {
  'mapped.test': '00000000000000000000ffffa9fea9fe',
  'nat64.test': '0064ff9b0000000000000000a9fea9fe',
  'metadata6.test': 'fd000ec2000000000000000000000254',
};

const names = createSocket('udp4');
names.on('message', (bytes, from) => {
  const query = readQuery(bytes);
  if (query === undefined || !('name' in query)) return;
  const name = query.name.toLowerCase();
  const reply = (address?: Buffer): void =>
    names.send(
      writeAnswer(query, 'ok', address && { bytes: address, ttlSeconds: 0 }),
      from.port,
      from.address,
    );
  const six = zone6[name];
  if (six !== undefined && query.type === recordTypes.aaaa) {
    const answer = writeAnswer(query, 'ok', { bytes: Buffer.from(six, 'hex'), ttlSeconds: 0 });
    answer.writeUInt16BE(recordTypes.aaaa, 12 + query.question.length + 2);
    return names.send(answer, from.port, from.address);
  }
  if (query.type !== recordTypes.a || six !== undefined) return reply();
  tell({ kind: 'dns', name });
  reply(Buffer.from((zone[name]?.() ?? serverOf(name)).split('.').map(Number)));
});
names.bind(53, '5.5.0.2');

function serve(request: IncomingMessage, response: ServerResponse): void {
  let bytes = 0;
  const { host, authorization, upgrade, 'x-key': key } = request.headers;
  const sni = request.socket instanceof TLSSocket ? request.socket.servername : undefined;
  tell({ kind: 'http', host, sni, method: request.method, url: request.url, authorization, key, upgrade });
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  request.on('end', () => {
    const size = Number(/^\/bytes\/(\d+)$/.exec(request.url ?? '')?.[1] ?? 0);
    response.setHeader('x-bytes', bytes);
    if (request.url === '/pieces') return pieces(response);
    if (request.url === '/slow') return void setTimeout(() => response.end('slow\n'), 60_000);
    response.end(
      size > 0 ? Buffer.alloc(size, 120) : `served ${host} ${request.method} ${request.url} ${bytes}\n`,
    );
  });
}

/** A body of 100 000 bytes whose length is not told. */
function pieces(response: ServerResponse): void {
  for (let count = 0; count < 10; count += 1) response.write(Buffer.alloc(10_000, 120));
  response.end();
}

const plain = createHttpServer(serve).listen(80, '0.0.0.0');
const contextOf = (name: string, done: (error: Error | null, context?: SecureContext) => void): void => {
  authority.contextFor(name).then(
    (context) => done(null, context),
    (error: Error) => done(error),
  );
};
const secured = createHttpsServer({ SNICallback: contextOf }, serve).listen(443, '5.5.1.1');
serveHttp2({ address: '5.5.1.2', contextOf, tell });
serveSites({ address: '5.5.1.3', directory: join(stateDir, 'sites'), contextOf });
// Clients bring a key for another curve: this one makes them say hello again.
createHttpsServer({ SNICallback: contextOf, ecdhCurve: 'P-384' }, serve).listen(8443, '0.0.0.0');
for (const server of [plain, secured]) {
  const sockets = new WebSocketServer({ server });
  sockets.on('connection', (socket) => socket.on('message', (data) => socket.send(`echo ${data}`)));
}
for (const port of [25, 5432, 8080]) {
  createTcpServer((socket) => {
    tell({ kind: 'tcp', port });
    socket.on('error', () => socket.destroy());
    socket.pipe(socket);
  }).listen(port, '0.0.0.0');
}
// One socket for each address: an answer has to come from where it was asked.
for (const address of ['5.5.1.1', '5.5.1.9', '10.77.0.1']) {
  for (const port of [443, 5005]) {
    const datagrams = createSocket('udp4');
    datagrams.on('message', (bytes, from) => {
      tell({ kind: 'udp', address, port, bytes: bytes.length });
      datagrams.send(bytes, from.port, from.address);
    });
    datagrams.bind(port, address);
  }
}
setTimeout(() => tell({ kind: 'ready', certificate: authority.certificate }), 200);
