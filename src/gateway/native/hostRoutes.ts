/** Routes of what sandboxes are made from and who may use them: templates, runtimes, pools, keys, audit. */
import type { Static } from '@sinclair/typebox';
import { PassThrough } from 'node:stream';
import * as api from '../../../schema/api.ts';
import { CasemateError } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
import type { Call, Route } from './route.ts';
import { keyView } from './views.ts';

const templateParams = { template: api.TemplateName };

/** Progress as it comes, one JSON object a line; the last is `done` or `error`. */
async function buildTemplate({ core, principal, params, reply }: Call): Promise<unknown> {
  const lines = new PassThrough();
  const send = (line: object): void => void lines.write(`${JSON.stringify(line)}\n`);
  const work = core.buildTemplate(principal, params.template ?? '', (progress) =>
    send({ type: 'progress', ...progress }),
  );
  work
    .then(
      (template) => send({ type: 'done', template }),
      (thrown: unknown) => send({ type: 'error', ...CasemateError.from(thrown).toBody() }),
    )
    .finally(() => lines.end());
  reply.type('application/x-ndjson');
  return lines;
}

export const hostRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/templates',
    summary: 'List templates',
    status: 200,
    answer: api.TemplateList,
    handle: async ({ core, principal }) => {
      const own = core.images.list(principal).map(({ name, digest, ready, bytes, builtAt }) => ({
        name,
        digest,
        ready,
        bytes,
        ...(builtAt === undefined ? {} : { builtAt }),
      }));
      const shipped = (await core.templates()).map(({ start: _start, ...shown }) => shown);
      return { items: [...shipped, ...own] };
    },
  },
  {
    method: 'POST',
    path: '/v1/templates/{template}/build',
    summary: 'Build a template, unless its definition is unchanged; progress streams',
    params: templateParams,
    status: 200,
    answer: 'application/x-ndjson',
    handle: buildTemplate,
  },
  {
    method: 'DELETE',
    path: '/v1/templates/{template}',
    summary: 'Remove a template of one’s own with all versions, or a built one that is shipped',
    params: templateParams,
    status: 204,
    handle: ({ core, principal, params }) => core.removeTemplate(principal, params.template ?? ''),
  },
  {
    method: 'GET',
    path: '/v1/runtimes',
    summary: 'List runtimes, what each can do, and why one is missing',
    status: 200,
    answer: api.RuntimeList,
    handle: async ({ core }) => ({ items: await core.runtimes() }),
  },
  {
    method: 'GET',
    path: '/v1/pools',
    summary: 'List warm pools',
    status: 200,
    answer: api.PoolList,
    handle: async ({ core, principal }) => ({ items: core.pools(principal) }),
  },
  {
    method: 'PUT',
    path: '/v1/pools/{template}',
    summary: 'Set the size of a warm pool',
    params: { template: api.TemplateReference },
    body: api.SetPool,
    status: 200,
    answer: api.Pool,
    handle: ({ core, principal, params, body }) => {
      const { runtime, size } = body as Static<typeof api.SetPool>;
      return core.setPool(principal, params.template ?? '', runtime ?? 'gvisor', size);
    },
  },
  {
    method: 'GET',
    path: '/v1/keys',
    summary: 'List API keys, without their secrets',
    status: 200,
    answer: api.KeyList,
    handle: async ({ core, principal }) => ({ items: core.listKeys(principal).map(keyView) }),
  },
  {
    method: 'POST',
    path: '/v1/keys',
    summary: 'Create an API key; its text is in this answer and nowhere else',
    body: api.CreateKey,
    status: 201,
    answer: api.CreatedKey,
    handle: async ({ core, principal, body }) => {
      const { key, ...row } = core.createKey(principal, body as Static<typeof api.CreateKey>);
      return { ...keyView(row), key };
    },
  },
  {
    method: 'DELETE',
    path: '/v1/keys/{keyId}',
    summary: 'Remove an API key',
    params: { keyId: api.KeyId },
    status: 204,
    handle: async ({ core, principal, params }) => core.removeKey(principal, params.keyId ?? ''),
  },
  {
    method: 'GET',
    path: '/v1/audit',
    summary: 'Query the audit log, newest first',
    query: api.AuditQuery,
    status: 200,
    answer: api.AuditPage,
    handle: async ({ core, principal, query }) => {
      const { limit, cursor, ...filter } = query as Static<typeof api.AuditQuery>;
      return core.audit(principal, filter, {
        limit: limit ?? limits.pageItemsMax,
        ...(cursor === undefined ? {} : { cursor }),
      });
    },
  },
  {
    method: 'GET',
    path: '/v1/audit/chain',
    summary: 'Check that no event of the audit log was changed or taken out',
    status: 200,
    answer: api.AuditChain,
    handle: ({ core, principal }) => core.verifyAudit(principal),
  },
];
