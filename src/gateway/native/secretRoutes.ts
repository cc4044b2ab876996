/** Routes of secrets: set, listed and removed; no route answers a value. */
import type { Static } from '@sinclair/typebox';
import * as api from '../../../schema/secrets.ts';
import type { Route } from './route.ts';
import { secretView } from './views.ts';

const params = { secret: api.SecretName };

export const secretRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/secrets',
    summary: 'List secrets, without their values',
    status: 200,
    answer: api.SecretList,
    handle: async ({ core, principal }) => ({ items: core.secrets.list(principal).map(secretView) }),
  },
  {
    method: 'GET',
    path: '/v1/secrets/{secret}',
    summary: 'Tell of a secret, without its value',
    params,
    status: 200,
    answer: api.Secret,
    handle: async ({ core, principal, params: { secret = '' } }) =>
      secretView(core.secrets.get(principal, secret)),
  },
  {
    method: 'PUT',
    path: '/v1/secrets/{secret}',
    summary: 'Make a secret or give it a new value, which running sandboxes have when this answers',
    params,
    body: api.SetSecret,
    status: 200,
    answer: api.Secret,
    handle: async ({ core, principal, params: { secret = '' }, body }) =>
      secretView(await core.secrets.set(principal, secret, body as Static<typeof api.SetSecret>)),
  },
  {
    method: 'DELETE',
    path: '/v1/secrets/{secret}',
    summary: 'Remove a secret; running sandboxes lose it',
    params,
    status: 204,
    handle: ({ core, principal, params: { secret = '' } }) => core.secrets.remove(principal, secret),
  },
];
