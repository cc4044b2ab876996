/** The E2B protocol: control plane, agent and ports of sandboxes, told apart by host, headers and path. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { CasemateError } from '../../base/errors.ts';
import type { Core } from '../../control/core.ts';
import type { WireProtocol } from '../protocol.ts';
import { addressOf, agentPort, isSignedFile, speaksE2b } from './address.ts';
import { Agent } from './agent.ts';
import { bodyOf } from './errors.ts';
import { e2bWebhook } from './events.ts';
import { notFoundRefusal, Refusal, sendJson } from './http.ts';
import { proxyRequest, proxyUpgrade } from './portProxy.ts';
import { createRest, type RestOptions } from './rest.ts';

export async function createE2bProtocol(core: Core, options: RestOptions): Promise<WireProtocol> {
  core.webhooks.speak('e2b', e2bWebhook);
  const rest = await createRest(core, options);
  const agent = new Agent(core);

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const address = addressOf(request);
    if (address === undefined) {
      if (!isSignedFile(request.url ?? '')) return rest.routing(request, response);
      const signer = agent.signer(request);
      if (signer === undefined) throw new CasemateError('unauthenticated', 'invalid signature');
      return agent.handle(signer, request, response);
    }
    if (address.port === agentPort) return agent.handle(address.sandboxId, request, response);
    return proxyRequest(core, options, address, request, response);
  }

  async function upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const address = addressOf(request);
    if (address === undefined || address.port === agentPort) throw notFoundRefusal(address?.sandboxId ?? '');
    await proxyUpgrade(core, options, address, request, socket, head);
  }

  return {
    takes: speaksE2b,
    handle: (request, response) => {
      handle(request, response).catch((thrown: unknown) => {
        const isDenied = thrown instanceof CasemateError && thrown.code === 'unauthenticated';
        if (isDenied) core.recordAuthDenied('agent of a sandbox');
        if (!(thrown instanceof CasemateError) && !(thrown instanceof Refusal)) {
          options.log.error('internal', { reason: String(thrown instanceof Error ? thrown.stack : thrown) });
        }
        const { code, ...body } = refusalOf(thrown);
        request.resume(); // a client that still sends reads no answer
        sendJson(response, code, { ...body, code });
      });
    },
    upgrade: (request, socket, head) => {
      socket.on('error', () => socket.destroy());
      upgrade(request, socket, head).catch((thrown: unknown) => {
        const refusal = refusalOf(thrown);
        const body = JSON.stringify(refusal);
        socket.end(
          `HTTP/1.1 ${refusal.code} Refused\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
        );
      });
    },
  };
}

function refusalOf(thrown: unknown): Refusal['body'] {
  return thrown instanceof Refusal ? thrown.body : { ...bodyOf(CasemateError.from(thrown)) };
}
