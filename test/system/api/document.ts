/** Reads a server's OpenAPI document and makes requests of it, for tests that hold for every route. */
import { errorTable, isErrorCode } from '../../../src/base/errors.ts';

export interface Schema {
  readonly $ref?: string;
  readonly type?: string;
  readonly enum?: readonly string[];
  readonly pattern?: string;
  readonly minimum?: number;
  readonly minItems?: number;
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly oneOf?: readonly { readonly required: readonly string[] }[];
}

export interface Operation {
  readonly method: string;
  readonly path: string;
  readonly parameters: readonly {
    readonly in: string;
    readonly name: string;
    readonly required?: boolean;
    readonly schema: Schema;
  }[];
  /** Schema of a JSON body. */
  readonly json: Schema | undefined;
  readonly bytes: boolean;
  readonly keyless: boolean;
}

interface RawOperation {
  readonly parameters?: Operation['parameters'];
  readonly security?: readonly unknown[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema?: Schema }>> };
}

/** A well-formed id that nothing has. */
export const unknownId = '00000000000000000000';

export class ApiDocument {
  readonly operations: readonly Operation[];
  readonly #schemas: Readonly<Record<string, Schema>>;

  constructor(document: {
    paths: Record<string, Record<string, RawOperation>>;
    components: { schemas: Record<string, Schema> };
  }) {
    this.#schemas = document.components.schemas;
    this.operations = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({
        method: method.toUpperCase(),
        path,
        parameters: operation.parameters ?? [],
        json: this.resolve(operation.requestBody?.content['application/json']?.schema),
        bytes: operation.requestBody?.content['application/octet-stream'] !== undefined,
        keyless: operation.security?.length === 0,
      })),
    );
  }

  resolve(schema: Schema | undefined): Schema | undefined {
    const name = schema?.$ref?.split('/').at(-1);
    return name === undefined ? schema : this.#schemas[name];
  }

  /** A value that the schema takes. */
  sample(schema: Schema | undefined, name = ''): unknown {
    const resolved = this.resolve(schema) ?? {};
    if (resolved.enum !== undefined) return resolved.enum[0];
    if (resolved.type === 'integer' || resolved.type === 'number') return resolved.minimum ?? 1;
    if (resolved.type === 'boolean') return true;
    if (resolved.type === 'array') return [this.sample(resolved.items, name)];
    if (resolved.type !== 'object') return sampleText(name, resolved);
    const wanted = [...(resolved.required ?? []), ...(resolved.oneOf?.[0]?.required ?? [])];
    return Object.fromEntries(
      wanted.map((field) => [field, this.sample(resolved.properties?.[field], field)]),
    );
  }

  /** Path and query that the route takes; `ids` replaces path parameters, `query` adds to the required ones. */
  url(operation: Operation, ids: Record<string, string> = {}, query: Record<string, string> = {}): string {
    let path = operation.path;
    const search = new URLSearchParams();
    for (const parameter of operation.parameters) {
      const value = String(this.sample(parameter.schema, parameter.name));
      if (parameter.in === 'path') path = path.replace(`{${parameter.name}}`, ids[parameter.name] ?? value);
      else if (parameter.in === 'query' && parameter.required === true) search.set(parameter.name, value);
    }
    for (const [name, value] of Object.entries(query)) search.set(name, value);
    return search.size === 0 ? path : `${path}?${search}`;
  }

  /** Body and content type that the route takes. */
  body(operation: Operation): RequestInit {
    if (operation.bytes) return { body: 'bytes', headers: { 'content-type': 'application/octet-stream' } };
    if (operation.json === undefined) return {};
    return jsonBody(this.sample(operation.json));
  }
}

export function jsonBody(value: unknown): RequestInit {
  return { body: JSON.stringify(value), headers: { 'content-type': 'application/json' } };
}

function sampleText(name: string, schema: Schema): string {
  if (/Id$/.test(name)) return unknownId;
  if (name === 'scope') return 'tenant';
  if (name === 'port') return '3000';
  if (name === 'template') return 'no-such-template'; // what a probe might build or remove is nobody's
  if (['path', 'from', 'to', 'cwd'].includes(name)) return '/tmp/casemate-probe';
  return schema.pattern?.includes('=') === true ? 'a=b' : 'a';
}

export async function loadDocument(baseUrl: string): Promise<ApiDocument> {
  const response = await fetch(`${baseUrl}/openapi.json`);
  return new ApiDocument((await response.json()) as ConstructorParameters<typeof ApiDocument>[0]);
}

/** What is wrong with an error answer; undefined where its code is one of the table and everything fits it. */
export async function faultOf(response: Response, wanted?: readonly string[]): Promise<string | undefined> {
  const text = await response.text();
  if (response.status < 400 || response.status >= 500)
    return `answered ${response.status} ${text.slice(0, 100)}`;
  let error: { code?: unknown; message?: unknown; hint?: unknown; requestId?: unknown } | undefined;
  try {
    error = (JSON.parse(text) as { error?: typeof error }).error;
  } catch {
    return `answered ${response.status} without JSON: ${text.slice(0, 100)}`;
  }
  const code = String(error?.code);
  if (!isErrorCode(code)) return `has no code of the table: ${text.slice(0, 100)}`;
  if (errorTable[code].status !== response.status) return `answered ${response.status} with ${code}`;
  if (
    ![error?.message, error?.hint, error?.requestId].every((part) => typeof part === 'string' && part !== '')
  ) {
    return `lacks message, hint or requestId: ${text.slice(0, 100)}`;
  }
  if (wanted !== undefined && !wanted.includes(code))
    return `answered ${code} (${String(error?.message)}), not ${wanted.join(' or ')}`;
  return undefined;
}
