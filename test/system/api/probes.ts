/**
 * Checks that hold for every route, generated from the OpenAPI document that the server answers: bad input gives a 4xx
 * with a stable code, and another tenant's sandbox does not exist. They run against fakes and against a real server.
 */
import { limits } from '../../../src/base/limits.ts';
import {
  type ApiDocument,
  faultOf,
  jsonBody,
  loadDocument,
  type Operation,
  type Schema,
} from './document.ts';

interface Probe {
  readonly what: string;
  readonly url: string;
  readonly init?: RequestInit;
  /** `null` sends no key. */
  readonly key?: string | null;
  readonly codes: readonly string[];
}

const refused = ['invalid_request'];
const wrongIds = ['NOPE', 'a', '..%2F..%2Fetc', 'a'.repeat(300), '%00', "1'%20OR%201=1"];
const hugeBody = 'x'.repeat(limits.jsonBodyBytesMax + 1);

/** @returns what went wrong, one line each; empty when every route refuses all of it. */
export async function probeBadInput(options: {
  baseUrl: string;
  key: string;
}): Promise<{ probes: number; faults: string[] }> {
  const document = await loadDocument(options.baseUrl);
  return send(
    options,
    document.operations.flatMap((operation) =>
      probesOf(document, operation).map((probe) => ({ operation, probe })),
    ),
  );
}

/** @param foreignSandboxId a sandbox of another tenant than the key's. */
export async function probeTenants(options: {
  baseUrl: string;
  key: string;
  foreignSandboxId: string;
}): Promise<{ probes: number; faults: string[] }> {
  const document = await loadDocument(options.baseUrl);
  const ofSandboxes = document.operations.filter(({ path }) => path.includes('{sandboxId}'));
  return send(
    options,
    ofSandboxes.map((operation) => ({
      operation,
      probe: {
        what: "another tenant's sandbox",
        url: document.url(operation, { sandboxId: options.foreignSandboxId }),
        init: document.body(operation),
        codes: ['not_found'],
      },
    })),
  );
}

async function send(
  { baseUrl, key }: { baseUrl: string; key: string },
  work: readonly { operation: Operation; probe: Probe }[],
): Promise<{ probes: number; faults: string[] }> {
  const faults: string[] = [];
  for (const { operation, probe } of work) {
    const sentKey = probe.key === undefined ? key : probe.key;
    const headers = new Headers(probe.init?.headers);
    if (sentKey !== null) headers.set('authorization', `Bearer ${sentKey}`);
    const response = await fetch(`${baseUrl}${probe.url}`, {
      ...probe.init,
      method: operation.method,
      headers,
    });
    const fault = await faultOf(response, probe.codes);
    if (fault !== undefined)
      faults.push(`${operation.method} ${operation.path} with ${probe.what}: ${fault}`);
  }
  return { probes: work.length, faults };
}

function probesOf(document: ApiDocument, operation: Operation): Probe[] {
  const good = document.url(operation);
  const body = document.body(operation);
  const keyProbes: Probe[] = [
    { what: 'no key', url: good, init: body, key: null, codes: ['unauthenticated'] },
    {
      what: 'a wrong key',
      url: good,
      init: body,
      key: `casemate_${'0'.repeat(40)}`,
      codes: ['unauthenticated'],
    },
    { what: 'a malformed key', url: good, init: body, key: 'casemate_xyz', codes: ['unauthenticated'] },
  ];
  return [
    ...(operation.keyless ? [] : keyProbes),
    {
      what: 'an unknown query parameter',
      url: document.url(operation, {}, { nope: '1' }),
      init: body,
      codes: refused,
    },
    ...pathProbes(document, operation, body),
    ...queryProbes(document, operation, body),
    ...bodyProbes(document, operation, good),
  ];
}

function pathProbes(document: ApiDocument, operation: Operation, init: RequestInit): Probe[] {
  const isBackup = operation.method.toUpperCase() === 'PUT' && operation.path.endsWith('/backup');
  return operation.parameters
    .filter((parameter) => parameter.in === 'path')
    .flatMap(({ name }) =>
      wrongIds
        .filter((id) => !(id === 'a' && ['template', 'tag', 'alias', 'secret'].includes(name))) // which is a name that those may have
        .map((id) => ({
          what: `${name} = ${id.slice(0, 20)}`,
          url: document.url(operation, { [name]: id }),
          init,
          codes: [
            'invalid_request',
            'not_found',
            ...(isBackup && /^\w{1,63}$/.test(id) ? ['backup_damaged'] : []),
          ], // a volume's name, no backup
        })),
    );
}

function queryProbes(document: ApiDocument, operation: Operation, init: RequestInit): Probe[] {
  return operation.parameters
    .filter((parameter) => parameter.in === 'query')
    .flatMap(({ name, schema }) =>
      wrongTexts(schema).map((text) => ({
        what: `query ${name} = ${text.slice(0, 20)}`,
        url: document.url(operation, {}, { [name]: text }),
        init,
        codes: refused,
      })),
    );
}

/** Texts that no parameter of this schema takes. */
function wrongTexts(schema: Schema): string[] {
  if (schema.type === 'boolean') return ['maybe', '1', ''];
  if (schema.type === 'integer') return ['abc', '-1', '1.5', '99999999999', ''];
  return ['', '\u0000', 'x'.repeat(5000)];
}

function bodyProbes(document: ApiDocument, operation: Operation, url: string): Probe[] {
  const probe = (what: string, init: RequestInit, codes = refused): Probe => ({ what, url, init, codes });
  const text = (body: string): RequestInit => ({ body, headers: { 'content-type': 'application/json' } });
  if (operation.method === 'GET') return [];
  if (operation.bytes) {
    return [probe('a JSON body', jsonBody({}), ['unsupported_media_type'])];
  }
  const probes = [
    probe('an unknown field', jsonBody({ ...(document.sample(operation.json) as object), nope: 1 })),
    probe('a huge body', text(`{"nope": "${hugeBody}"}`), ['payload_too_large']),
    probe('broken JSON', text('{"a": ')),
    probe('a prototype', text('{"__proto__": {"a": 1}}')),
    probe('raw bytes', { body: 'x', headers: { 'content-type': 'application/octet-stream' } }, [
      'unsupported_media_type',
    ]),
    probe('a form', { body: 'a=b', headers: { 'content-type': 'application/x-www-form-urlencoded' } }, [
      'unsupported_media_type',
    ]),
    ...[[], 'text', 7, true].map((value) => probe(`the body ${JSON.stringify(value)}`, jsonBody(value))),
  ];
  const fields = Object.entries(operation.json?.properties ?? {});
  for (const [name, schema] of fields) {
    for (const value of wrongValues(document.resolve(schema) ?? {})) {
      const whole = { ...(document.sample(operation.json) as object), [name]: value };
      probes.push(probe(`${name} = ${JSON.stringify(value).slice(0, 40)}`, jsonBody(whole)));
    }
  }
  for (const name of operation.json?.required ?? []) {
    const { [name]: _, ...rest } = document.sample(operation.json) as Record<string, unknown>;
    probes.push(probe(`${name} left out`, jsonBody(rest)));
  }
  return probes;
}

/** Values that no field of this schema takes. */
function wrongValues(schema: Schema): unknown[] {
  const other = [null, 7.5, 'text', true, [], { nope: 1 }];
  switch (schema.type) {
    case 'integer':
      return [...other, -1, 1e20];
    case 'number':
      return [...other.filter((value) => value !== 7.5), -1, 1e20];
    case 'boolean':
      return other.filter((value) => value !== true);
    case 'array':
      return [
        ...other.filter((value) => schema.minItems !== undefined || !Array.isArray(value)),
        [7],
        Array.from({ length: 10_000 }, () => 'x'),
      ];
    case 'object':
      return [...other.filter((value) => value === null || typeof value !== 'object'), { a: 7 }];
    default:
      return [...other.filter((value) => value !== 'text'), '', 'nul\u0000byte'];
  }
}
