/** The program of `outside.ts`: answers on 80 and 443 and prints a JSON line for each request. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createSecure } from 'node:https';
import type { SecureContext } from 'node:tls';
import { createAuthority } from '../../../src/egress/authority.ts';

const authority = await createAuthority(process.argv[2] ?? '', 'outside');

function serve(request: IncomingMessage, response: ServerResponse): void {
  const parts: Buffer[] = [];
  request.on('data', (part: Buffer) => parts.push(part));
  request.on('end', () => {
    const { method, url, headers } = request;
    const body = Buffer.concat(parts).toString();
    process.stdout.write(`${JSON.stringify({ host: headers.host, method, url, headers, body })}\n`);
    response.end('served\n');
  });
}

function contextOf(name: string, done: (error: Error | null, context?: SecureContext) => void): void {
  authority.contextFor(name).then(
    (context) => done(null, context),
    (error: Error) => done(error),
  );
}

createServer(serve).listen(80, '0.0.0.0');
createSecure({ SNICallback: contextOf }, serve).listen(443, '0.0.0.0', () => {
  process.stdout.write(`${JSON.stringify({ certificate: authority.certificate })}\n`);
});
