/** The proxy's end of the control socket. Its peer is Casemate's own server, which runs as the same user. */
import { createServer, type Server, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { CasemateError } from '../base/errors.ts';
import { sandboxIdPattern } from '../base/ids.ts';
import { egressLimits } from './limits.ts';
import type { EgressAnswer, EgressRequest } from './protocol.ts';
import type { EgressProxy } from './proxy.ts';

/** Events wait for a slow reader up to this; then they are lost, and never the connection. */
const eventsBytesQueuedMax = 8 * 1024 * 1024;
/** Events of so long go together: each write wakes the server, which costs as much as the connection it tells of. */
const eventsGatheredMs = 10;

export function createControlServer(proxy: EgressProxy): Server {
  const peers = new Set<Socket>();
  let lines = '';
  const send = (): void => {
    if (lines === '') return;
    for (const peer of peers) if (peer.writableLength < eventsBytesQueuedMax) peer.write(lines);
    lines = '';
  };
  proxy.events.on('event', (event) => {
    if (lines === '') setTimeout(send, eventsGatheredMs);
    lines += `${JSON.stringify({ event } satisfies EgressAnswer)}\n`;
  });
  return createServer((peer) => {
    peers.add(peer);
    peer.on('error', () => peer.destroy());
    peer.once('close', () => peers.delete(peer));
    const requests = createInterface({ input: peer, crlfDelay: Number.POSITIVE_INFINITY });
    requests.on('error', () => peer.destroy());
    requests.on('line', (line) => {
      if (line.length > egressLimits.controlLineBytesMax) return void peer.destroy();
      void answer(proxy, line).then((reply) => {
        send(); // what happened before comes before
        peer.write(`${JSON.stringify(reply)}\n`);
      });
    });
  });
}

async function answer(proxy: EgressProxy, line: string): Promise<EgressAnswer> {
  let number = 0;
  try {
    const request = JSON.parse(line) as EgressRequest;
    number = Number(request.number);
    return { number, result: await dispatch(proxy, request) };
  } catch (thrown) {
    const { code, message, hint } = CasemateError.from(thrown);
    return { number, error: { code, message, hint } };
  }
}

async function dispatch(proxy: EgressProxy, request: EgressRequest): Promise<unknown> {
  const ids = request.method === 'keepOnly' ? request.params.ids : [request.params.id];
  if (!ids.every((id) => sandboxIdPattern.test(id))) {
    throw new CasemateError('invalid_request', 'A sandbox id has 20 characters of [a-z0-9].');
  }
  switch (request.method) {
    case 'set':
      return proxy.set(request.params);
    case 'remove':
      await proxy.remove(request.params.id);
      return {};
    case 'keepOnly':
      await proxy.keepOnly(request.params.ids);
      return {};
    case 'refused':
      proxy.refused(request.params);
      return {};
  }
}
