/** docs/reference/http-api.md: every route of the OpenAPI document that the server answers. */
import { openApiDocument } from '../../src/gateway/native/openapi.ts';
import { routes } from '../../src/gateway/native/gateway.ts';
import { pageHead, table } from './markdown.ts';
import { fieldRows, type JsonSchema, typeOf } from './schemaRows.ts';

interface Operation {
  readonly summary: string;
  readonly parameters: readonly {
    readonly name: string;
    readonly in: string;
    readonly required: boolean;
    readonly description?: string;
    readonly schema: JsonSchema;
  }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: JsonSchema }>> };
  readonly responses: Readonly<
    Record<string, { readonly content?: Readonly<Record<string, { readonly schema: JsonSchema }>> }>
  >;
}

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

export function httpPage(): string {
  const document = openApiDocument(routes) as unknown as Document;
  const sections = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => section(method.toUpperCase(), path, operation)),
  );
  return `${pageHead('HTTP API', 'schema/api.ts and src/gateway/native')}
The server answers the same as an OpenAPI 3.1 document at \`/openapi.json\` and as a page to try it at \`/docs\`; both, and
\`GET /healthz\`, need no key. Every other call needs \`Authorization: Bearer <key>\`. HTTP/1.1 and HTTP/2 without TLS are
served on one port.

Unknown fields are refused. Every call may fail with an error of [Errors](errors.md). \`?\` marks what may be left out.

One thing is no route of the document: \`GET /v1/sandboxes/{sandboxId}/ports/{port}/tunnel\` upgrades to a WebSocket whose
binary messages are the bytes of a TCP connection to that port inside the sandbox.

A body of the type \`application/vnd.casemate.exec-stream\` is a row of frames: one byte kind (0 event as JSON, 1 stdout,
2 stderr), four bytes length (big-endian), payload. The first event is \`started\` or \`attached\`, the last \`exited\` or \`error\`.

${sections.join('\n\n')}
`;
}

function section(method: string, path: string, operation: Operation): string {
  const { summary, parameters, requestBody, responses } = operation;
  const parts = [`## ${method} ${path}`, `${summary}.`];
  if (parameters.length > 0) {
    const rows = parameters.map(({ name, in: where, required, schema, description }) => [
      `\`${name}\`${required ? '' : ' ?'}`,
      where,
      typeOf(schema),
      description ?? schema.description ?? '',
    ]);
    parts.push(table(['Parameter', 'In', 'Type', 'What'], rows));
  }
  for (const [type, { schema }] of Object.entries(requestBody?.content ?? {}))
    parts.push(...described('Body', type, schema));
  const [status = '', answer] = Object.entries(responses).find(([code]) => code !== 'default') ?? [];
  const contents = Object.entries(answer?.content ?? {});
  if (contents.length === 0) parts.push(`Answers ${status} without a body.`);
  for (const [type, { schema }] of contents) parts.push(...described(`Answers ${status}`, type, schema));
  return parts.join('\n\n');
}

function described(what: string, type: string, schema: JsonSchema): string[] {
  const rows = fieldRows(schema);
  if (rows.length === 0) return [`${what}: \`${type}\`.`];
  const choice = schema.oneOf?.map(({ required }) => `\`${required.join(', ')}\``).join(' and ');
  return [
    `${what}: \`${type}\`${choice === undefined ? '' : `, exactly one of ${choice}`}.`,
    table(['Field', 'Type', 'What'], rows),
  ];
}
