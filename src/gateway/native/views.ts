/** How rows and guest values look on the wire. */
import type { Static } from '@sinclair/typebox';
import type * as api from '../../../schema/api.ts';
import type { Secret } from '../../../schema/secrets.ts';
import type { Volume } from '../../../schema/volumes.ts';
import type { VolumeDescription } from '../../control/volumes.ts';
import type { FileEntry, GuestExec } from '../../guest/types.ts';
import type { KeyRow, SandboxRow, SandboxVolume, SecretRow, SnapshotRow } from '../../store/types.ts';

/** Without the tenant, the scopes, and where a paused one lies: a client sees only its own. */
export function sandboxView(row: SandboxRow): Static<typeof api.Sandbox> {
  const {
    tenantId: _tenant,
    workspaceId: _workspace,
    functionId: _function,
    pauseId: _pause,
    templateVersionId: _version,
    egress,
    volumes,
    secrets,
    ...shown
  } = row;
  return {
    ...shown,
    ...(egress === undefined ? {} : { policy: egress.policy }),
    ...(volumes === undefined ? {} : { volumes: volumes.map(withoutSlot) }),
    ...(secrets === undefined ? {} : { secrets: [...secrets] }),
  };
}

export function snapshotView(row: SnapshotRow): Static<typeof api.Snapshot> {
  const { tenantId: _tenant, templateVersionId: _version, volumes, ...shown } = row;
  return { ...shown, ...(volumes === undefined ? {} : { volumes: volumes.map(withoutSlot) }) };
}

/** How the node calls it is nobody's business. */
function withoutSlot({ slot: _slot, ...shown }: SandboxVolume): Omit<SandboxVolume, 'slot'> {
  return shown;
}

export function volumeView({
  tenantId: _tenant,
  sandboxes,
  ...shown
}: VolumeDescription): Static<typeof Volume> {
  return { ...shown, sandboxes: [...sandboxes] };
}

export function fileView({ modifiedUnixMs, ...entry }: FileEntry): Static<typeof api.FileEntry> {
  return { ...entry, modifiedAt: timeOf(modifiedUnixMs) };
}

export function execView({ startedUnixMs, argv, ...exec }: GuestExec): Static<typeof api.Exec> {
  return { ...exec, argv: [...argv], startedAt: timeOf(startedUnixMs) };
}

export function keyView({ id, tenantId, name, scope, createdAt }: KeyRow): Static<typeof api.Key> {
  return { id, tenantId, name, scope, createdAt };
}

export function secretView({
  name,
  hosts,
  env,
  version,
  createdAt,
  updatedAt,
}: SecretRow): Static<typeof Secret> {
  return { name, hosts: [...hosts], env, version, createdAt, updatedAt };
}

/** A guest may claim any time; what no calendar holds is shown as the epoch. */
function timeOf(unixMs: number): string {
  const date = new Date(unixMs);
  return Number.isNaN(date.getTime()) ? new Date(0).toISOString() : date.toISOString();
}
