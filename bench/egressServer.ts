/** What the egress benchmark connects to, directly or through a proxy: small and large answers over TLS, and a flow. */
import { createServer as createHttpsServer } from 'node:https';
import { createServer } from 'node:net';
import type { Writable } from 'node:stream';
import { createAuthority } from '../src/egress/authority.ts';

const [stateDir = '', address = '', httpsPort = '', flowPort = ''] = process.argv.slice(2);
const chunk = Buffer.alloc(256 * 1024, 120);
const authority = await createAuthority(stateDir, 'world');

/** Pushes until there is no room, and goes on when there is again. */
function pour(client: Writable, bytes: number): void {
  let left = bytes;
  const push = (): void => {
    while (left > 0) {
      const part = left < chunk.length ? chunk.subarray(0, left) : chunk;
      left -= part.length;
      if (!client.write(part)) return;
    }
    client.end();
  };
  client.on('drain', push);
  push();
}

const secured = createHttpsServer(
  {
    SNICallback: (name, done) =>
      authority.contextFor(name).then(
        (context) => done(null, context),
        (error: Error) => done(error),
      ),
  },
  (request, response) => {
    const bytes = Number(/^\/bytes\/(\d+)$/.exec(request.url ?? '')?.[1] ?? 2);
    response.setHeader('content-length', bytes);
    pour(response, bytes);
  },
);
secured.keepAliveTimeout = 60_000;
secured.listen(Number(httpsPort), address, 1024);
const flows = createServer({ noDelay: true }, (client) => {
  client.on('error', () => client.destroy());
  client.once('data', () => pour(client, Number.MAX_SAFE_INTEGER));
});
flows.listen(Number(flowPort), address, 1024);
