/** Who may do what: one place that knows tenants and scopes. */
import { createHash } from 'node:crypto';
import { CasemateError } from '../base/errors.ts';
import { sandboxIdPattern } from '../base/ids.ts';
import type { KeyRow, SandboxRow, SnapshotRow, Store, VolumeRow } from '../store/types.ts';

/** Who is asking. */
export interface Principal {
  readonly tenantId: string;
  readonly keyId: string;
  /** `admin`, `tenant` or `sandbox:<id>`. */
  readonly scope: string;
}

export function hashSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}

/** Any protocol's prefix before the 40 hex digits is accepted: the digits are the key. */
export function secretOf(keyText: string): string | undefined {
  return /^[a-z0-9]+_([0-9a-f]{40})$/.exec(keyText)?.[1];
}

/** @throws CasemateError `unauthenticated` */
export function authenticate(store: Store, keyText: string | undefined): Principal {
  const secret = keyText === undefined ? undefined : secretOf(keyText);
  const key: KeyRow | undefined =
    secret === undefined ? undefined : store.keys.findBySecret(hashSecret(secret));
  if (key === undefined) throw new CasemateError('unauthenticated', 'This call needs a valid API key.');
  return { tenantId: key.tenantId, keyId: key.id, scope: key.scope };
}

/** The sandbox that a key confines its holder to. */
export function confinedTo(principal: Principal): string | undefined {
  return principal.scope.startsWith('sandbox:') ? principal.scope.slice('sandbox:'.length) : undefined;
}

/** @throws CasemateError `not_found` for another tenant's sandbox, and for one that the key is not for. */
export function sandboxFor(store: Store, principal: Principal, id: string): SandboxRow {
  const row = store.sandboxes.find(id);
  const confined = confinedTo(principal);
  if (
    row === undefined ||
    row.tenantId !== principal.tenantId ||
    (confined !== undefined && confined !== id)
  ) {
    throw new CasemateError('not_found', `There is no sandbox ${id}.`);
  }
  return row;
}

/** By id or by name. @throws CasemateError `not_found`, for another tenant's too. */
export function snapshotFor(store: Store, principal: Principal, idOrName: string): SnapshotRow {
  const byId = sandboxIdPattern.test(idOrName) ? store.snapshots.find(idOrName) : undefined;
  const row = byId ?? store.snapshots.findByName(principal.tenantId, idOrName);
  if (row !== undefined && row.tenantId === principal.tenantId) return row;
  throw new CasemateError('not_found', `There is no snapshot ${idOrName}.`);
}

/** By id or by name. @throws CasemateError `not_found`, for another tenant's too. */
export function volumeFor(store: Store, principal: Principal, idOrName: string): VolumeRow {
  const byName = store.volumes.findByName(principal.tenantId, idOrName);
  const row = byName ?? store.volumes.find(idOrName);
  if (row !== undefined && row.tenantId === principal.tenantId) return row;
  throw new CasemateError('not_found', `There is no volume ${idOrName}.`);
}

/** @throws CasemateError `forbidden` unless the key covers its whole tenant. */
export function needTenant(principal: Principal): void {
  if (principal.scope === 'admin' || principal.scope === 'tenant') return;
  throw new CasemateError('forbidden', 'This key is for one sandbox only.');
}

/** @throws CasemateError `forbidden` */
export function needAdmin(principal: Principal): void {
  if (principal.scope !== 'admin')
    throw new CasemateError('forbidden', 'This call needs a key with the scope admin.');
}
