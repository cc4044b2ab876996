/** The read-only page inside of a sandbox that tells a program its policy and what was denied last, with hints. */
import { createServer } from 'node:http';
import type { Socket } from 'node:net';
import { egressLimits } from './limits.ts';
import type { SandboxEgress } from './sandbox.ts';

const owners = new WeakMap<object, SandboxEgress>();

const server = createServer({
  headersTimeout: egressLimits.helloMsMax,
  requestTimeout: egressLimits.helloMsMax,
});
server.timeout = egressLimits.helloMsMax;
server.on('request', (request, response) => {
  const sandbox = owners.get(request.socket);
  if (sandbox === undefined) return void request.socket.destroy();
  const known = request.method === 'GET' && request.url === '/';
  const body = `${JSON.stringify(known ? pageOf(sandbox) : { hint: 'GET / tells the policy and the last denials.' }, null, 1)}\n`;
  response.writeHead(known ? 200 : 404, { 'content-type': 'application/json', connection: 'close' });
  response.end(body);
});
server.on('clientError', (_error, socket) => socket.destroy());

export function servePage(sandbox: SandboxEgress, socket: Socket): void {
  owners.set(socket, sandbox);
  server.emit('connection', socket);
}

/** Rules as text: no secrets, no headers. */
function pageOf(sandbox: SandboxEgress): object {
  const { levels, budgets } = sandbox.policy;
  return {
    about: 'What this sandbox may reach. Everything else is denied; every level has to allow.',
    levels: levels.map(({ name, allow, deny }) => ({
      name,
      allow: allow.map(({ text }) => text),
      deny: deny.map(({ text }) => text),
    })),
    budgets,
    bytesUsed: sandbox.bytesUsed(),
    denials: sandbox.lastDenials().map(({ at, code, host, port, method, path, rule, hint }) => ({
      at,
      code,
      host,
      port,
      method,
      path,
      rule,
      hint,
    })),
  };
}
