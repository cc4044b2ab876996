/** What happened to sandboxes, in E2B's words: its types of events, and how one looks. */
import { createHash } from 'node:crypto';
import type { WebhookFormat } from '../../control/webhooks.ts';
import type { SandboxRow } from '../../store/types.ts';
import type { WebhookEvent } from '../../store/webhookTypes.ts';

/** E2B's words for what the audit log calls otherwise. */
export const eventTypes: Readonly<Record<string, string>> = {
  'sandbox.create': 'sandbox.lifecycle.created',
  'sandbox.end': 'sandbox.lifecycle.killed',
  'sandbox.timeout': 'sandbox.lifecycle.updated',
  'policy.set': 'sandbox.lifecycle.updated',
  'sandbox.pause': 'sandbox.lifecycle.paused',
  'sandbox.resume': 'sandbox.lifecycle.resumed',
  'snapshot.create': 'sandbox.lifecycle.checkpointed',
};

/** Actions of the audit log behind E2B's types; all of them where none is named. */
export function actionsOf(types: readonly string[] | undefined): string[] {
  return Object.keys(eventTypes).filter((action) => types?.includes(eventTypes[action] ?? '') ?? true);
}

const endings: ReadonlySet<string> = new Set(['sandbox.end', 'sandbox.pause']);

/** With the sandbox that it happened to; a paused or ended one tells how long it ran. */
export function eventView(
  { seq, at, tenantId, action, sandboxId = '', detail }: WebhookEvent,
  sandbox: SandboxRow | undefined,
): Record<string, unknown> {
  const started = sandbox?.startedAt ?? sandbox?.createdAt ?? at;
  const execution = {
    started_at: started,
    vcpu_count: Math.max(1, Math.ceil(sandbox?.limits.cpus ?? 1)),
    memory_mb: sandbox?.limits.memoryMib ?? 0,
    execution_time: Math.max(0, Date.parse(at) - Date.parse(started)),
  };
  const data = {
    ...detail,
    ...(sandbox === undefined ? {} : { sandbox_metadata: sandbox.metadata }),
    ...(endings.has(action) ? { execution } : {}),
  };
  return {
    id: String(seq),
    type: eventTypes[action],
    eventData: Object.keys(data).length === 0 ? null : data,
    sandboxBuildId: sandbox?.templateVersionId ?? '',
    sandboxExecutionId: sandbox?.createdAt ?? '',
    sandboxId,
    sandboxTeamId: tenantId,
    sandboxTemplateId: sandbox?.template ?? '',
    timestamp: at,
  };
}

/** Signed as E2B's documentation says: the SHA-256 of the secret and the body, which is sent as it was signed. */
export const e2bWebhook: WebhookFormat = ({ webhook, deliveryId, event, sandbox, secret }) => {
  const view = eventView(event, sandbox);
  // The newer form of the payload has its data under a name of the older style as well.
  const body = JSON.stringify({ version: 'v2', ...view, event_data: view.eventData });
  const signature = createHash('sha256').update(`${secret}${body}`).digest('base64url');
  return {
    headers: {
      'content-type': 'application/json',
      'e2b-webhook-id': webhook.id,
      'e2b-delivery-id': deliveryId,
      'e2b-signature-version': 'v1',
      'e2b-signature': signature,
    },
    body,
  };
};
