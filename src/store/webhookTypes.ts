/** Webhooks: addresses that are told what happens to a tenant's sandboxes, and what became of each telling. */
import type { SealedValue } from './types.ts';

export interface WebhookRow {
  readonly id: string;
  readonly tenantId: string;
  readonly name: string;
  readonly url: string;
  readonly enabled: boolean;
  /** Actions of the audit log that it is told of. */
  readonly actions: readonly string[];
  /** In which of the formats that gateways bring. */
  readonly format: string;
  /** Whether its address may be one that is not public: an administrator made it. */
  readonly anyAddress: boolean;
  readonly createdAt: string;
  readonly updatedAt: string;
}

/** What a webhook tells. */
export interface WebhookEvent {
  /** Of the audit log's row. */
  readonly seq: number;
  readonly at: string;
  readonly tenantId: string;
  readonly action: string;
  readonly sandboxId?: string;
  readonly detail: Readonly<Record<string, unknown>>;
}

export interface DeliveryAttempt {
  readonly at: string;
  readonly durationMs: number;
  /** What the address answered; none where it did not. */
  readonly status?: number;
  readonly error?: string;
}

export interface DeliveryRow {
  readonly id: string;
  readonly webhookId: string;
  readonly event: WebhookEvent;
  readonly state: 'pending' | 'delivered' | 'failed';
  readonly createdAt: string;
  /** Of a pending one: when it is tried (again). */
  readonly dueAt?: string;
  readonly attempts: readonly DeliveryAttempt[];
}

export interface WebhookStore {
  put(row: WebhookRow, secret: SealedValue): void;
  find(id: string): WebhookRow | undefined;
  /** Of one tenant, the oldest first. */
  list(tenantId: string): readonly WebhookRow[];
  secretOf(id: string): SealedValue | undefined;
  /** With its deliveries. */
  remove(id: string): void;
  putDelivery(row: DeliveryRow): void;
  /** The newest first. */
  deliveries(webhookId: string, limit: number): readonly DeliveryRow[];
  /** The next ones that are due before then, the oldest first. */
  due(before: string, limit: number): readonly DeliveryRow[];
  /** When the next one is due. */
  nextDueAt(): string | undefined;
  /** Forgets the oldest of a webhook's that are over. */
  trim(webhookId: string, kept: number): void;
}
