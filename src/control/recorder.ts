/** Writes audit events: who did what to which sandbox. Never a secret's value, never what a file holds. */
import type { Store } from '../store/types.ts';
import type { WebhookEvent } from '../store/webhookTypes.ts';
import type { Principal } from './access.ts';

export type AuditAction =
  | 'auth.denied'
  | 'sandbox.create'
  | 'sandbox.timeout'
  | 'sandbox.pause'
  | 'sandbox.resume'
  | 'sandbox.fork'
  | 'sandbox.kill'
  | 'snapshot.create'
  | 'snapshot.remove'
  | 'volume.create'
  | 'volume.remove'
  | 'volume.backup'
  | 'volume.restore'
  | 'sandbox.end'
  | 'limit.hit'
  | 'network.denied'
  | 'network.flow'
  | 'policy.set'
  | 'policy.remove'
  | 'secret.set'
  | 'secret.remove'
  | 'exec.start'
  | 'exec.attach'
  | 'exec.stdin'
  | 'exec.signal'
  | 'file.read'
  | 'file.write'
  | 'file.remove'
  | 'file.list'
  | 'file.stat'
  | 'file.mkdir'
  | 'file.move'
  | 'file.change'
  | 'file.archive'
  | 'file.extract'
  | 'file.watch'
  | 'port.connect'
  | 'port.sign'
  | 'port.publish'
  | 'port.unpublish'
  | 'template.build'
  | 'template.remove'
  | 'template.change'
  | 'template.tag'
  | 'template.collect'
  | 'webhook.set'
  | 'webhook.remove'
  | 'disk.clean'
  | 'pool.set'
  | 'key.create'
  | 'key.remove';

/** What nobody with a key did can come in any number: at most this many rows a minute for each of its causes. */
const uninvitedRowsMax = 60;
const windowMs = 60_000;

export class Recorder {
  readonly #store: Store;
  readonly #uninvited = new Map<string, number>();
  #windowEndsMs = 0;
  #listener: (event: WebhookEvent) => void = () => {};

  constructor(store: Store) {
    this.#store = store;
  }

  /** Who is told of everything that is written. */
  onEvent(listener: (event: WebhookEvent) => void): void {
    this.#listener = listener;
  }

  /** Something that a key's holder did. */
  did(
    principal: Principal,
    action: AuditAction,
    sandboxId?: string,
    detail: Record<string, unknown> = {},
  ): void {
    this.#append(principal.tenantId, `key:${principal.keyId}`, action, sandboxId, detail);
  }

  /** Something that happened by itself: a limit, an end, a refusal. */
  happened(
    tenantId: string,
    action: AuditAction,
    sandboxId?: string,
    detail: Record<string, unknown> = {},
  ): void {
    this.#append(tenantId, 'casemate', action, sandboxId, detail);
  }

  /** Like `happened`, for what strangers and programs in sandboxes can cause at will: bounded. */
  uninvited(
    tenantId: string,
    action: AuditAction,
    sandboxId?: string,
    detail: Record<string, unknown> = {},
  ): void {
    const now = Date.now();
    if (now > this.#windowEndsMs) {
      this.#uninvited.clear();
      this.#windowEndsMs = now + windowMs;
    }
    const cause = `${action} ${sandboxId ?? ''}`;
    const rows = (this.#uninvited.get(cause) ?? 0) + 1;
    this.#uninvited.set(cause, rows);
    if (rows <= uninvitedRowsMax)
      this.happened(tenantId, action, sandboxId, {
        ...detail,
        ...(rows === uninvitedRowsMax ? { moreFollow: true } : {}),
      });
  }

  #append(
    tenantId: string,
    actor: string,
    action: AuditAction,
    sandboxId: string | undefined,
    detail: Record<string, unknown>,
  ): void {
    const event = { tenantId, action, detail, ...(sandboxId === undefined ? {} : { sandboxId }) };
    this.#listener({ ...event, ...this.#store.audit.append({ ...event, actor }) });
  }
}
