/** E2B's control plane over HTTP: validates, authenticates, calls the core. */
import { Ajv, type ValidateFunction } from 'ajv';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { CasemateError } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import type { Core } from '../../control/core.ts';
import { errorOf } from '../native/errors.ts';
import { domainOf } from '../domain.ts';
import { apiKeyOf } from './auth.ts';
import { buildRoutes } from './buildRoutes.ts';
import { bodyOf } from './errors.ts';
import { eventRoutes } from './eventRoutes.ts';
import { pauseRoutes } from './pauseRoutes.ts';
import type { PortOptions } from './portProxy.ts';
import type { InternetCeiling } from './network.ts';
import type { Route } from './route.ts';
import { sandboxRoutes } from './sandboxRoutes.ts';
import { secretRoutes } from './secretRoutes.ts';
import { snapshotRoutes } from './snapshotRoutes.ts';
import { templateRoutes } from './templateRoutes.ts';
import { volumeRoutes } from './volumeRoutes.ts';

const routes: readonly Route[] = [
  ...sandboxRoutes,
  ...pauseRoutes,
  ...snapshotRoutes,
  ...templateRoutes,
  ...buildRoutes,
  ...eventRoutes,
  ...secretRoutes,
  ...volumeRoutes,
];
/** Ids of builds carry what was asked for. */
const pathPartCharactersMax = 1024;

export interface RestOptions extends PortOptions {
  readonly log: Log;
  /** What a sandbox gets that asks for the internet. */
  readonly internet: InternetCeiling;
  /** The server's own, where it was told one. */
  readonly domain?: string;
}

export async function createRest(core: Core, options: RestOptions): Promise<FastifyInstance> {
  const fastify = Fastify({
    logger: false,
    bodyLimit: limits.jsonBodyBytesMax,
    routerOptions: { maxParamLength: pathPartCharactersMax },
    frameworkErrors: (thrown, _request, reply) => answer(errorOf(thrown), reply as FastifyReply),
  });
  fastify.removeContentTypeParser('application/json');
  fastify.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, text, done) => {
    try {
      done(null, text === '' ? undefined : JSON.parse(String(text)));
    } catch {
      done(new CasemateError('invalid_request', 'The body is not JSON.'));
    }
  });
  const exact = new Ajv({ strict: false });
  const fromText = new Ajv({ strict: false, coerceTypes: 'array' });
  fastify.setValidatorCompiler(
    ({ schema, httpPart }): ValidateFunction =>
      (httpPart === 'querystring' ? fromText : exact).compile(schema as object),
  );
  fastify.setErrorHandler((thrown, request, reply) => {
    const error = errorOf(thrown);
    if (error.code === 'internal')
      options.log.error('internal', { reason: String(error.cause ?? error.stack) });
    if (error.code === 'unauthenticated')
      core.recordAuthDenied(`${request.method} ${request.routeOptions.url ?? ''}`);
    return answer(error, reply);
  });
  fastify.setNotFoundHandler((_request, reply) =>
    answer(new CasemateError('not_found', 'There is no such route.'), reply),
  );
  // What is no JSON is passed on as it comes; only uploads have a use for it.
  fastify.addContentTypeParser('*', (_request, payload, done) => done(null, payload));
  for (const route of routes) addRoute(fastify, core, options, route);
  await fastify.ready();
  // What is loaded late is loaded now, while the program's files can be read.
  await fastify.inject({ method: 'POST', url: '/v2/sandboxes', payload: {} });
  return fastify;
}

function answer(error: CasemateError, reply: FastifyReply): FastifyReply {
  const body = bodyOf(error);
  if (error.retryable) reply.header('retry-after', '1');
  return reply.code(body.code).type('application/json').send(body);
}

function addRoute(fastify: FastifyInstance, core: Core, options: RestOptions, route: Route): void {
  const { body, query } = route;
  const admit = route.admit ?? ((_, { raw }: FastifyRequest) => core.authenticate(apiKeyOf(raw)));
  fastify.route({
    method: route.method,
    url: route.path,
    exposeHeadRoute: false,
    schema: {
      ...(body === undefined ? {} : { body }),
      ...(query === undefined ? {} : { querystring: query }),
    },
    preValidation: async (request) => {
      admit(core, request);
      request.body ??= {};
    },
    handler: async (request: FastifyRequest, reply: FastifyReply) => {
      const result = await route.handle({
        core,
        principal: admit(core, request),
        id: (request.params as { id?: string }).id ?? '',
        query: request.query,
        body: request.body,
        request,
        reply,
        domain: domainOf(request.raw, options.domain),
        publicPorts: options.publicPorts,
        internet: options.internet,
      });
      if (reply.statusCode === 200) reply.code(route.status); // unless the handler knew better
      return result === undefined ? reply.send() : result;
    },
  });
}
