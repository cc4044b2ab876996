/** Writes audit events: who did what to which sandbox. Never a secret's value, never what a file holds. */
import type { Store } from '../store/types.ts';
import type { Principal } from './access.ts';

export type AuditAction =
  | 'auth.denied'
  | 'sandbox.create'
  | 'sandbox.timeout'
  | 'sandbox.kill'
  | 'sandbox.end'
  | 'limit.hit'
  | 'network.denied'
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
  | 'file.watch'
  | 'port.connect'
  | 'template.build'
  | 'template.remove'
  | 'pool.set'
  | 'key.create'
  | 'key.remove';

export class Recorder {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  /** Something that a key's holder did. */
  did(principal: Principal, action: AuditAction, sandboxId?: string, detail: Record<string, unknown> = {}): void {
    this.#append(principal.tenantId, `key:${principal.keyId}`, action, sandboxId, detail);
  }

  /** Something that happened by itself: a limit, an end, a refusal. */
  happened(tenantId: string, action: AuditAction, sandboxId?: string, detail: Record<string, unknown> = {}): void {
    this.#append(tenantId, 'casemate', action, sandboxId, detail);
  }

  #append(
    tenantId: string,
    actor: string,
    action: AuditAction,
    sandboxId: string | undefined,
    detail: Record<string, unknown>,
  ): void {
    this.#store.audit.append({ tenantId, actor, action, detail, ...(sandboxId === undefined ? {} : { sandboxId }) });
  }
}
