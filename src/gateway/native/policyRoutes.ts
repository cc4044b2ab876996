/** Routes of egress policies that stand above single sandboxes: of a tenant, and of a template in it. */
import type { Static } from '@sinclair/typebox';
import { EgressPolicy, Name, SandboxId } from '../../../schema/api.ts';
import * as api from '../../../schema/secrets.ts';
import type { PolicyPlace } from '../../control/policies.ts';
import type { Call, Route } from './route.ts';

function placeOf({ params, query }: Call): PolicyPlace {
  return { ...params, ...(query as Static<typeof api.PolicyQuery>) };
}

function routesOf(path: string, whose: string, params?: Route['params']): Route[] {
  const common = {
    path,
    query: api.PolicyQuery,
    ...(params === undefined ? {} : { params }),
  };
  return [
    {
      ...common,
      method: 'GET',
      summary: `Tell the policy of ${whose}; null narrows nothing`,
      status: 200,
      answer: api.PolicyAnswer,
      handle: async (call) => ({ policy: call.core.policies.get(call.principal, placeOf(call)) ?? null }),
    },
    {
      ...common,
      method: 'PUT',
      summary: `Narrow what all sandboxes of ${whose} may reach, those that run too`,
      body: EgressPolicy,
      status: 200,
      answer: api.PolicyAnswer,
      handle: async (call) => ({
        policy: await call.core.policies.set(
          call.principal,
          placeOf(call),
          call.body as Static<typeof EgressPolicy>,
        ),
      }),
    },
    {
      ...common,
      method: 'DELETE',
      summary: `Remove the policy of ${whose}: it narrows nothing any more`,
      status: 204,
      handle: (call) => call.core.policies.remove(call.principal, placeOf(call)),
    },
  ];
}

export const policyRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/sandboxes/{sandboxId}/learned',
    summary: 'Tell the smallest policy that allows what a sandbox was denied; it is not set',
    params: { sandboxId: SandboxId },
    status: 200,
    answer: api.LearnedAnswer,
    handle: async ({ core, principal, params }) => core.learned(principal, params.sandboxId ?? ''),
  },
  ...routesOf('/v1/policies/tenant', 'a tenant'),
  ...routesOf('/v1/policies/templates/{template}', 'a template in a tenant', { template: Name }),
];
