/** E2B's control plane: who one is, and what happened to one's sandboxes. */
import type { Static } from '@sinclair/typebox';
import * as rest from '../../../schema/e2b/rest.ts';
import type { AuditRow } from '../../store/types.ts';
import type { Call, Route } from './route.ts';

const eventsDefault = 10;

/** E2B's words for what the audit log calls otherwise. */
const types: Readonly<Record<string, string>> = {
  'sandbox.create': 'sandbox.lifecycle.created',
  'sandbox.end': 'sandbox.lifecycle.killed',
  'sandbox.timeout': 'sandbox.lifecycle.updated',
  'policy.set': 'sandbox.lifecycle.updated',
  'sandbox.pause': 'sandbox.lifecycle.paused',
  'sandbox.resume': 'sandbox.lifecycle.resumed',
  'snapshot.create': 'sandbox.lifecycle.checkpointed',
};

function eventView({ core, principal }: Call, { seq, at, action, sandboxId = '', detail }: AuditRow): object {
  const { template, createdAt } = core.sandboxes.get(principal, sandboxId);
  return {
    version: 'v1',
    id: String(seq),
    type: types[action],
    eventData: Object.keys(detail).length === 0 ? null : detail,
    sandboxBuildId: '',
    sandboxExecutionId: createdAt,
    sandboxId,
    sandboxTeamId: principal.tenantId,
    sandboxTemplateId: template,
    timestamp: at,
  };
}

async function events(call: Call): Promise<unknown> {
  const query = call.query as Static<typeof rest.EventQuery>;
  const { offset = 0, limit = eventsDefault, orderAsc = false, types: wanted } = query;
  const actions = Object.keys(types).filter(
    (action) => wanted === undefined || wanted.includes(types[action] ?? ''),
  );
  const { items } = call.core.audit(
    call.principal,
    {
      actions,
      ...(call.id === '' ? {} : { sandboxId: call.core.sandboxes.get(call.principal, call.id).id }),
    },
    { limit: offset + limit, ...(orderAsc ? { order: 'oldest first' } : {}) },
  );
  return items.slice(offset).map((row) => eventView(call, row));
}

/** A tenant is E2B's team; its key is known to who asks. */
async function teams({ principal }: Call): Promise<unknown> {
  const { tenantId } = principal;
  return [{ teamID: tenantId, name: tenantId, apiKey: '', isDefault: true }];
}

export const eventRoutes: readonly Route[] = [
  { method: 'GET', path: '/teams', status: 200, handle: teams },
  { method: 'GET', path: '/events/sandboxes', query: rest.EventQuery, status: 200, handle: events },
  { method: 'GET', path: '/events/sandboxes/:id', query: rest.EventQuery, status: 200, handle: events },
];
