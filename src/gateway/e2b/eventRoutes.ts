/** E2B's control plane: who one is, what happened to one's sandboxes, and who is told of it. */
import type { Static } from '@sinclair/typebox';
import * as webhooks from '../../../schema/e2b/webhooks.ts';
import * as rest from '../../../schema/e2b/rest.ts';
import type { AuditRow, SandboxRow } from '../../store/types.ts';
import type { DeliveryRow, WebhookRow } from '../../store/webhookTypes.ts';
import { actionsOf, eventTypes, eventView } from './events.ts';
import type { Call, Route } from './route.ts';

const eventsDefault = 10;
const format = 'e2b';

async function events(call: Call): Promise<unknown> {
  const query = call.query as Static<typeof rest.EventQuery>;
  const { offset = 0, limit = eventsDefault, orderAsc = false, types } = query;
  const { core, principal, id } = call;
  const { items } = core.audit(
    principal,
    {
      actions: actionsOf(types),
      ...(id === '' ? {} : { sandboxId: core.sandboxes.get(principal, id).id }),
    },
    { limit: offset + limit, ...(orderAsc ? { order: 'oldest first' } : {}) },
  );
  return items.slice(offset).map((row) => ({ version: 'v1', ...eventView(row, sandboxOf(call, row)) }));
}

function sandboxOf({ core, principal }: Call, { sandboxId }: AuditRow): SandboxRow | undefined {
  return sandboxId === undefined ? undefined : core.sandboxes.get(principal, sandboxId);
}

/** A tenant is E2B's team; its key is known to who asks. */
async function teams({ principal }: Call): Promise<unknown> {
  const { tenantId } = principal;
  return [{ teamID: tenantId, name: tenantId, apiKey: '', isDefault: true }];
}

function webhookView({
  id,
  tenantId,
  name,
  url,
  enabled,
  actions,
  createdAt,
  updatedAt,
}: WebhookRow): object {
  const told = [...new Set(actions.map((action) => eventTypes[action]))];
  return { id, teamId: tenantId, name, url, enabled, events: told, createdAt, updatedAt };
}

function deliveryView({ id, webhookId, event, state, createdAt, dueAt, attempts }: DeliveryRow): object {
  const last = attempts.at(-1);
  return {
    id,
    webhookId,
    eventId: String(event.seq),
    eventType: eventTypes[event.action],
    sandboxId: event.sandboxId ?? null,
    status: state,
    createdAt,
    nextAttemptAt: dueAt ?? null,
    responseStatus: last?.status ?? null,
    error: last?.error ?? null,
    attempts: attempts.map(({ at, durationMs, status, error }) => ({
      timestamp: at,
      durationMs,
      responseStatus: status ?? null,
      error: error ?? null,
    })),
  };
}

async function createWebhook({ core, principal, body }: Call): Promise<unknown> {
  const {
    name,
    url,
    enabled = true,
    events: types,
    signatureSecret,
  } = body as Static<typeof webhooks.NewWebhook>;
  const request = { name, url, enabled, actions: actionsOf(types), secret: signatureSecret };
  return webhookView(core.webhooks.create(principal, format, request));
}

async function changeWebhook({ core, principal, id, body }: Call): Promise<unknown> {
  const { events: types, signatureSecret, ...same } = body as Static<typeof webhooks.WebhookChange>;
  return webhookView(
    core.webhooks.change(principal, id, {
      ...same,
      ...(types === undefined ? {} : { actions: actionsOf(types) }),
      ...(signatureSecret === undefined ? {} : { secret: signatureSecret }),
    }),
  );
}

async function deliveries({ core, principal, id, query }: Call): Promise<unknown> {
  const { offset = 0, limit = eventsDefault, status } = query as Static<typeof webhooks.DeliveryQuery>;
  return core.webhooks
    .deliveries(principal, id)
    .filter(({ state }) => status === undefined || state === status)
    .slice(offset, offset + limit)
    .map(deliveryView);
}

async function stats({ core, principal, id }: Call): Promise<unknown> {
  const rows = core.webhooks.deliveries(principal, id);
  const count = (state: DeliveryRow['state']): number => rows.filter((row) => row.state === state).length;
  return {
    total: rows.length,
    delivered: count('delivered'),
    failed: count('failed'),
    pending: count('pending'),
    attempts: rows.reduce((sum, row) => sum + row.attempts.length, 0),
  };
}

const one = '/events/webhooks/:id';
export const eventRoutes: readonly Route[] = [
  { method: 'GET', path: '/teams', status: 200, handle: teams },
  { method: 'GET', path: '/events/sandboxes', query: rest.EventQuery, status: 200, handle: events },
  { method: 'GET', path: '/events/sandboxes/:id', query: rest.EventQuery, status: 200, handle: events },
  {
    method: 'GET',
    path: '/events/webhooks',
    status: 200,
    handle: async ({ core, principal }) => core.webhooks.list(principal).map(webhookView),
  },
  { method: 'POST', path: '/events/webhooks', body: webhooks.NewWebhook, status: 201, handle: createWebhook },
  {
    method: 'GET',
    path: one,
    status: 200,
    handle: async ({ core, principal, id }) => webhookView(core.webhooks.get(principal, id)),
  },
  { method: 'PATCH', path: one, body: webhooks.WebhookChange, status: 200, handle: changeWebhook },
  {
    method: 'DELETE',
    path: one,
    status: 204,
    handle: async ({ core, principal, id }) => core.webhooks.remove(principal, id),
  },
  {
    method: 'GET',
    path: `${one}/deliveries`,
    query: webhooks.DeliveryQuery,
    status: 200,
    handle: deliveries,
  },
  { method: 'GET', path: `${one}/stats`, status: 200, handle: stats },
];
