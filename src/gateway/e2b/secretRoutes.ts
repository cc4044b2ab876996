/** E2B's control plane: secrets, which go where the header rules of a sandbox's network set them, and nowhere else. */
import type { Static } from '@sinclair/typebox';
import * as rest from '../../../schema/e2b/store.ts';
import { CasemateError } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
import type { SecretRow } from '../../store/types.ts';
import type { Call, Route } from './route.ts';

function view({ id, name, version, labels = {}, createdAt, updatedAt }: SecretRow): object {
  return { secretID: id, name, currentVersion: version, metadata: labels, createdAt, updatedAt };
}

/** By id or by name. @throws CasemateError `not_found` */
function secretOf({ core, principal, id }: Call): SecretRow {
  const found = core.secrets.list(principal).find((row) => row.id === id || row.name === id);
  if (found !== undefined) return found;
  throw new CasemateError('not_found', `Secret ${id.slice(0, 100)} not found`);
}

async function create(call: Call): Promise<unknown> {
  const { core, principal } = call;
  const { name, value, metadata } = call.body as Static<typeof rest.NewSecret>;
  if (core.secrets.list(principal).some((row) => row.name === name))
    throw new CasemateError('conflict', `There is a secret ${name} already.`);
  const labels = metadata == null ? {} : { labels: metadata };
  return view(await core.secrets.set(principal, name, { value, hosts: [], ...labels }));
}

/** A new version of the value; what it may be used for stays. */
async function update(call: Call): Promise<unknown> {
  const { value, metadata } = call.body as Static<typeof rest.SecretVersion>;
  const { name, hosts, labels: before } = secretOf(call);
  const labels = metadata ?? before;
  const request = { value, hosts, ...(labels === undefined ? {} : { labels }) };
  return view(await call.core.secrets.set(call.principal, name, request));
}

/** A page goes on behind the name that the one before ended with. */
async function list({ core, principal, query, reply }: Call): Promise<unknown> {
  const { limit = limits.pageItemsMax, nextToken = '' } = query as Static<typeof rest.StoreQuery>;
  const after = Buffer.from(nextToken, 'base64url').toString();
  const left = core.secrets.list(principal).filter(({ name }) => name > after);
  const page = left.slice(0, limit);
  const last = page.at(-1);
  if (left.length > page.length && last !== undefined)
    reply.header('x-next-token', Buffer.from(last.name).toString('base64url'));
  return page.map(view);
}

export const secretRoutes: readonly Route[] = [
  { method: 'GET', path: '/secrets', query: rest.StoreQuery, status: 200, handle: list },
  { method: 'POST', path: '/secrets', body: rest.NewSecret, status: 201, handle: create },
  { method: 'GET', path: '/secrets/:id', status: 200, handle: async (call) => view(secretOf(call)) },
  { method: 'POST', path: '/secrets/:id', body: rest.SecretVersion, status: 200, handle: update },
  {
    method: 'DELETE',
    path: '/secrets/:id',
    status: 204,
    handle: async (call) => call.core.secrets.remove(call.principal, secretOf(call).name),
  },
];
