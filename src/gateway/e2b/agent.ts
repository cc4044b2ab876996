/** What answers in place of E2B's agent on port 49983 of a sandbox: RPC services, files, health, metrics. */
import { createContextValues } from '@connectrpc/connect';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Filesystem } from '../../../schema/e2b/filesystem_pb.js';
import { Process } from '../../../schema/e2b/process_pb.js';
import { CasemateError } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
import type { Principal } from '../../control/access.ts';
import type { Core } from '../../control/core.ts';
import { agentHolder, headerOf, signatureHolder, type SignedRequest, signerOf, userOf } from './auth.ts';
import { admitted, type AgentCall, agentCallKey } from './call.ts';
import { isUnknownUser } from './errors.ts';
import { Feeds } from './feed.ts';
import { readFile, writeFiles } from './fileRoutes.ts';
import { filesystemService } from './filesystemService.ts';
import { isGone, notFoundRefusal, pathOf, queryOf, sendJson } from './http.ts';
import { processService } from './processService.ts';
import { processorsOf } from './views.ts';
import { Watchers } from './watchers.ts';

export class Agent {
  readonly #core: Core;
  readonly #rpc: (request: IncomingMessage, response: ServerResponse) => void;

  constructor(core: Core) {
    this.#core = core;
    this.#rpc = connectNodeAdapter({
      readMaxBytes: 64 * limits.jsonBodyBytesMax,
      grpc: false,
      grpcWeb: false,
      routes: (router) =>
        router
          .service(Process, processService(new Feeds()))
          .service(Filesystem, filesystemService(new Watchers())),
      contextValues: (request) =>
        createContextValues().set(agentCallKey, admitted.get(request as IncomingMessage)),
      fallback: (_request, response) => {
        sendJson(response as ServerResponse, 404, { code: 404, message: 'There is no such route.' });
      },
    });
  }

  /** @throws CasemateError or Refusal, before anything was answered */
  async handle(sandboxId: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.setHeader('access-control-allow-origin', '*');
    if (request.method === 'OPTIONS') return preflight(request, response);
    await this.#needRunning(sandboxId);
    const path = pathOf(request);
    if (path === '/health') return void response.writeHead(204).end();
    const principal = this.#admit(sandboxId, request, path);
    const user = path === '/files' ? queryOf(request).get('username') : userOf(request.headers.authorization);
    const call: AgentCall = {
      core: this.#core,
      principal,
      sandboxId,
      user: user === null || user === '' ? undefined : user,
      isSigned: headerOf(request, 'x-access-token') === undefined,
    };
    try {
      await this.#route(call, path, request, response);
    } catch (error) {
      if (isGone(error)) throw notFoundRefusal(sandboxId);
      if (error instanceof CasemateError && isUnknownUser(error)) {
        throw new CasemateError('unauthenticated', error.message);
      }
      throw error;
    }
  }

  async #needRunning(sandboxId: string): Promise<void> {
    try {
      (await this.#core.sandboxes.use(this.#core.holderOf(sandboxId), sandboxId)).done();
    } catch (error) {
      throw isGone(error) ? notFoundRefusal(sandboxId) : error;
    }
  }

  /** Files may be reached with a signature in place of the token that it was made with. */
  #admit(sandboxId: string, request: IncomingMessage, path: string): Principal {
    const token = headerOf(request, 'x-access-token');
    if (path === '/files' && token === undefined) {
      return signatureHolder(this.#core, sandboxId, signedRequest(request));
    }
    return agentHolder(this.#core, sandboxId, token);
  }

  /** The sandbox of a signed URL that does not name it. */
  signer(request: IncomingMessage): string | undefined {
    return signerOf(this.#core, signedRequest(request));
  }

  async #route(
    call: AgentCall,
    path: string,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    if (path === '/files' && request.method === 'GET') return readFile(call, request, response);
    if (path === '/files' && request.method === 'POST') return writeFiles(call, request, response);
    if (path === '/metrics' && request.method === 'GET') return sendMetrics(call, response);
    admitted.set(request, call);
    const deadline = headerOf(request, 'connect-timeout-ms');
    // Older clients write whole milliseconds as "500.0", which Connect refuses.
    if (deadline !== undefined) request.headers['connect-timeout-ms'] = deadline.replace(/\.\d*$/, '');
    this.#rpc(request, response);
  }
}

function signedRequest(request: IncomingMessage): SignedRequest {
  const query = queryOf(request);
  return {
    path: query.get('path') ?? '',
    operation: request.method === 'GET' ? 'read' : 'write',
    username: query.get('username') ?? '',
    signature: query.get('signature') ?? undefined,
    expiration: query.get('signature_expiration') ?? undefined,
  };
}

function preflight(request: IncomingMessage, response: ServerResponse): void {
  response.setHeader('access-control-allow-methods', 'GET, POST, OPTIONS');
  response.setHeader(
    'access-control-allow-headers',
    request.headers['access-control-request-headers'] ?? '*',
  );
  response.writeHead(204).end();
}

async function sendMetrics(call: AgentCall, response: ServerResponse): Promise<void> {
  const { limits: given } = call.core.sandboxes.get(call.principal, call.sandboxId);
  const now = await call.core.metrics(call.principal, call.sandboxId);
  const mebibyte = 1024 * 1024;
  sendJson(response, 200, {
    ts: Math.floor(Date.parse(now.at) / 1000),
    cpu_count: processorsOf(given),
    // Over the whole life of the sandbox: this route has one look only.
    cpu_used_pct: Math.round((now.cpuMicroseconds / 10 / Math.max(1, now.uptimeMs)) * 100) / 100,
    mem_total: now.memoryLimitBytes,
    mem_used: now.memoryBytes,
    mem_cache: 0,
    mem_total_mib: Math.floor(now.memoryLimitBytes / mebibyte),
    mem_used_mib: Math.floor(now.memoryBytes / mebibyte),
    disk_used: now.diskBytes,
    disk_total: now.diskLimitBytes,
  });
}
