/** Casemate's own HTTP API: validates, authenticates, calls the core, streams the answer. Holds no state. */
import { Ajv, type ValidateFunction } from 'ajv';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import type { RequestListener } from 'node:http';
import { Readable } from 'node:stream';
import { Health } from '../../../schema/api.ts';
import { CasemateError } from '../../base/errors.ts';
import { newId } from '../../base/ids.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import type { Principal } from '../../control/access.ts';
import type { Core } from '../../control/core.ts';
import { type WireProtocol, withProtocols } from '../protocol.ts';
import { bearerOf } from './auth.ts';
import { serveDocs } from './docsPage.ts';
import { errorOf } from './errors.ts';
import { fileRoutes } from './fileRoutes.ts';
import { hostRoutes } from './hostRoutes.ts';
import { Listener, type TlsPair } from './listener.ts';
import { apiVersion, openApiDocument } from './openapi.ts';
import { policyRoutes } from './policyRoutes.ts';
import { previewRoutes } from './previewRoutes.ts';
import { type Call, isSchema, type Route } from './route.ts';
import { sandboxRoutes } from './sandboxRoutes.ts';
import { snapshotRoutes } from './snapshotRoutes.ts';
import { templateRoutes } from './templateRoutes.ts';
import { secretRoutes } from './secretRoutes.ts';
import { serveTunnels } from './tunnel.ts';
import { usageRoutes } from './usageRoutes.ts';
import { volumeBackupRoutes } from './volumeBackupRoutes.ts';
import { volumeFileRoutes } from './volumeFileRoutes.ts';
import { diskRoutes } from './diskRoutes.ts';
import { volumeRoutes } from './volumeRoutes.ts';

export const routes: readonly Route[] = [
  ...sandboxRoutes,
  ...usageRoutes,
  ...snapshotRoutes,
  ...volumeRoutes,
  ...volumeBackupRoutes,
  ...volumeFileRoutes,
  ...diskRoutes,
  ...fileRoutes,
  ...hostRoutes,
  ...templateRoutes,
  ...secretRoutes,
  ...policyRoutes,
  ...previewRoutes,
];

const closeGraceMs = 2000;
const nothing = { type: 'object', additionalProperties: false };

export interface Gateway {
  /** Port 0 takes a free one. */
  listen(port: number, host: string): Promise<{ port: number }>;
  close(): Promise<void>;
}

export interface GatewayOptions {
  readonly log: Log;
  /** What else is spoken on this port. */
  readonly protocols?: readonly WireProtocol[];
  /** Serves TLS on the same port, beside what is in the clear. */
  readonly tls?: TlsPair;
  /** Below which ports of sandboxes are found. */
  readonly domain?: string;
}

export async function createGateway(core: Core, options: GatewayOptions): Promise<Gateway> {
  const { log, protocols = [] } = options;
  let listener: Listener | undefined;
  const fastify = Fastify({
    logger: false,
    bodyLimit: limits.jsonBodyBytesMax,
    genReqId: () => newId(16),
    forceCloseConnections: false,
    routerOptions: { maxParamLength: 128 },
    frameworkErrors: (thrown, request, reply) => {
      const error = errorOf(thrown);
      const answer = reply as FastifyReply;
      void answer.code(error.status).type('application/json').send(error.toBody(request.id));
    },
    serverFactory: (handler) => {
      listener = new Listener(withProtocols(protocols, handler as RequestListener), options.tls);
      return listener.http1;
    },
  });
  acceptBytes(fastify);
  validateStrictly(fastify);
  answerErrors(fastify, core, log);
  const noQuery = { schema: { querystring: nothing } };
  fastify.get('/healthz', noQuery, async () => ({ status: 'ok', version: apiVersion }));
  const health: Route = {
    method: 'GET',
    path: '/healthz',
    summary: 'Tell that the server answers',
    keyless: true,
    status: 200,
    answer: Health,
    handle: async () => undefined,
  };
  serveDocs(fastify, openApiDocument([health, ...routes]));
  for (const route of routes) addRoute(fastify, { core, domain: options.domain }, route);
  await fastify.ready();
  // One request through everything, so that what is loaded late is loaded while the program's files can be read.
  await fastify.inject({ method: 'POST', url: '/v1/nothing', payload: {} });
  if (listener === undefined) throw new Error('Fastify made no server');
  const open = listener;
  for (const server of [open.http1, open.secure]) {
    if (server !== undefined) serveTunnels(server, core, protocols);
  }
  return {
    listen: async (port, host) => ({ port: await open.listen(port, host) }),
    close: async () => {
      await open.close(closeGraceMs);
      await fastify.close();
    },
  };
}

/** Everything that is not JSON arrives as a stream, never buffered. */
function acceptBytes(fastify: FastifyInstance): void {
  fastify.addContentTypeParser('*', (_request, payload, done) => done(null, payload));
  fastify.addContentTypeParser('text/plain', (_request, payload, done) => done(null, payload));
}

/** Unknown fields are refused, nothing is converted; only a query, which is all text, is read as numbers and lists. */
function validateStrictly(fastify: FastifyInstance): void {
  const exact = new Ajv({ strict: false });
  const fromText = new Ajv({ strict: false, coerceTypes: 'array' });
  fastify.setValidatorCompiler(({ schema, httpPart }): ValidateFunction => {
    return (httpPart === 'querystring' ? fromText : exact).compile(schema as object);
  });
}

function answerErrors(fastify: FastifyInstance, core: Core, log: Log): void {
  fastify.setErrorHandler((thrown, request, reply) => {
    const error = errorOf(thrown);
    if (error.code === 'internal') log.error('internal', { requestId: request.id, reason: reasonOf(error) });
    if (error.code === 'unauthenticated' || error.code === 'forbidden') {
      core.recordAuthDenied(`${request.method} ${request.routeOptions.url ?? ''}`, principalOf(request));
    }
    if (error.retryable) reply.header('retry-after', '1');
    return reply.code(error.status).type('application/json').send(error.toBody(request.id));
  });
  fastify.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?')[0] ?? '';
    const others = routes.filter((route) => patternOf(route).test(path)).map((route) => route.method);
    const error =
      others.length > 0
        ? new CasemateError('method_not_allowed', `This route takes ${others.join(', ')}.`)
        : new CasemateError('not_found', 'There is no such route.');
    return reply.code(error.status).send(error.toBody(request.id));
  });
}

function reasonOf(error: CasemateError): string {
  return error.cause instanceof Error
    ? (error.cause.stack ?? error.cause.message)
    : String(error.cause ?? error.stack);
}

function patternOf(route: Route): RegExp {
  return new RegExp(`^${route.path.replaceAll(/\{\w+\}/g, '[^/]+')}$`);
}

/** Fastify's requests carry who asks; a map keeps that out of everybody else's sight. */
const principals = new WeakMap<FastifyRequest, Principal>();

function principalOf(request: FastifyRequest): Principal | undefined {
  return principals.get(request);
}

function addRoute(fastify: FastifyInstance, context: Pick<Call, 'core' | 'domain'>, route: Route): void {
  const { core } = context;
  const params = route.params ?? {};
  fastify.route({
    method: route.method,
    url: route.path.replaceAll(/\{(\w+)\}/g, ':$1'),
    exposeHeadRoute: false,
    schema: {
      ...(route.params === undefined
        ? {}
        : { params: { type: 'object', properties: params, required: Object.keys(params) } }),
      querystring: route.query ?? nothing,
      ...(route.body !== undefined && isSchema(route.body) ? { body: route.body } : {}),
    },
    onRequest: async (request) => {
      principals.set(request, core.authenticate(bearerOf(request.headers.authorization)));
    },
    preValidation: async (request) => {
      const isBytes = request.body instanceof Readable;
      if (route.body === 'bytes' && !isBytes && request.body !== undefined) {
        throw new CasemateError('unsupported_media_type', 'This route takes application/octet-stream.');
      }
      if (route.body !== 'bytes' && isBytes) {
        throw new CasemateError('unsupported_media_type', 'This route takes application/json.');
      }
      if (route.body === undefined && request.body !== undefined) {
        throw new CasemateError('invalid_request', 'This route takes no body.');
      }
    },
    handler: (request, reply) => handle(context, route, request, reply),
  });
}

async function handle(
  context: Pick<Call, 'core' | 'domain'>,
  route: Route,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  const principal = principalOf(request);
  if (principal === undefined) throw new CasemateError('unauthenticated', 'This call needs a valid API key.');
  const gone = new AbortController();
  reply.raw.once('close', () => gone.abort());
  reply.code(route.status);
  const answer = await route.handle({
    ...context,
    principal,
    params: request.params as Record<string, string>,
    query: request.query,
    body: request.body,
    request,
    reply,
    signal: gone.signal,
  });
  if (answer === undefined && route.status === 204) return reply.send();
  return answer;
}
