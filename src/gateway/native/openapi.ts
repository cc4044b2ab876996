/** The OpenAPI 3.1 document, made of the schemas that validate requests. */
import type { TSchema } from '@sinclair/typebox';
import { errorTable } from '../../base/errors.ts';
import { ErrorAnswer } from '../../../schema/api.ts';
import { isSchema, type Route } from './route.ts';

export const apiVersion = '0.1.0';

export function openApiDocument(routes: readonly Route[]): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const route of routes) {
    paths[route.path] ??= {};
    const methods = paths[route.path];
    if (methods !== undefined) methods[route.method.toLowerCase()] = operation(route);
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Casemate',
      version: apiVersion,
      description: 'Sandboxes for code that nobody trusts.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    security: [{ key: [] }],
    paths,
    components: {
      securitySchemes: { key: { type: 'http', scheme: 'bearer' } },
      schemas: { Error: ErrorAnswer },
    },
  };
}

function operation(route: Route): object {
  return {
    summary: route.summary,
    operationId: operationId(route),
    ...(route.keyless === true ? { security: [] } : {}),
    parameters: parameters(route),
    ...(route.body === undefined ? {} : { requestBody: requestBody(route.body) }),
    responses: {
      [route.status]: answerOf(route),
      default: {
        description: `An error: ${Object.keys(errorTable).join(', ')}`,
        content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } },
      },
    },
  };
}

function operationId({ method, path }: Route): string {
  const words = path
    .replace('/v1/', '')
    .split(/[/{}-]+/)
    .filter((word) => word !== '');
  return [method.toLowerCase(), ...words].join('_');
}

function parameters({ params, query, headers }: Route): object[] {
  const fromPath = Object.entries(params ?? {}).map(([name, schema]) => ({
    name,
    in: 'path',
    required: true,
    schema,
  }));
  const properties = (query?.properties ?? {}) as Record<string, TSchema>;
  const needed = (query?.required ?? []) as string[];
  const fromQuery = Object.entries(properties).map(([name, schema]) => ({
    name,
    in: 'query',
    required: needed.includes(name),
    schema,
  }));
  const fromHeaders = Object.entries(headers ?? {}).map(([name, { description }]) => ({
    name,
    in: 'header',
    required: false,
    description,
    schema: { type: 'string' },
  }));
  return [...fromPath, ...fromQuery, ...fromHeaders];
}

function requestBody(body: TSchema | 'bytes'): object {
  if (body === 'bytes')
    return { content: { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } } };
  return { required: true, content: { 'application/json': { schema: body } } };
}

function answerOf({ status, answer, summary }: Route): object {
  if (answer === undefined) return { description: 'Done' };
  const content = isSchema(answer)
    ? { 'application/json': { schema: answer } }
    : { [answer]: { schema: {} } };
  return { description: status === 201 ? 'Created' : summary, content };
}
