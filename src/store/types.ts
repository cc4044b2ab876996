/** What control stores, behind interfaces that SQLite fills today; synchronous, because a row has to be there at once. */

import type { WebhookStore } from './webhookTypes.ts';
import type { EgressPolicy } from '../../schema/policy.ts';
import type { BuildFileStore } from './buildFiles.ts';
import type { TemplateStore } from './templateTypes.ts';

export interface KeyRow {
  readonly id: string;
  readonly tenantId: string;
  readonly name: string;
  /** `admin`, `tenant` or `sandbox:<id>`. */
  readonly scope: string;
  readonly createdAt: string;
}

export type SandboxState = 'starting' | 'running' | 'pausing' | 'paused' | 'resuming' | 'ending' | 'ended';

export type EndReason =
  | 'killed'
  | 'time_limit'
  | 'idle'
  | 'memory_limit'
  | 'process_limit'
  | 'kernel_panic'
  | 'exited'
  | 'protocol'
  | 'failed'
  | 'lost';

/** A volume that a sandbox has. */
export interface SandboxVolume {
  readonly volumeId: string;
  /** The volume's name when it was attached. */
  readonly name: string;
  /** Where it is inside. */
  readonly path: string;
  readonly readOnly: boolean;
  readonly subpath?: string;
  /** How the node and the agent call it. */
  readonly slot: number;
}

export interface SandboxRow {
  readonly id: string;
  readonly tenantId: string;
  readonly workspaceId?: string;
  readonly functionId?: string;
  readonly template: string;
  /** Of a tenant's template: the version that it was started from. */
  readonly templateVersionId?: string;
  readonly runtime: string;
  readonly isolation: string;
  readonly acceleration?: string;
  readonly state: SandboxState;
  readonly endReason?: EndReason;
  readonly createdAt: string;
  readonly startedAt?: string;
  readonly endsAt: string;
  readonly endedAt?: string;
  readonly idleTimeoutMs?: number;
  /** The time limit as it was asked for; a resumed sandbox gets it anew. */
  readonly timeoutMs: number;
  /** What the time limit and idleness do. */
  readonly onTimeout: 'kill' | 'pause';
  /** Whether that pause keeps programs, or only files. */
  readonly pauseKeepsMemory?: boolean;
  /** Whether a call to a paused sandbox resumes it. */
  readonly autoResume: boolean;
  /** What it may reach; nothing without. An administrator's may open private addresses. */
  readonly egress?: { readonly policy: EgressPolicy; readonly administrator: boolean };
  readonly volumes?: readonly SandboxVolume[];
  /** Secrets that it was created with, by name; it holds placeholders. */
  readonly secrets?: readonly string[];
  /** Whether names that no rule allows get addresses that lead nowhere. */
  readonly learns?: boolean;
  /** Ports that everybody may visit. */
  readonly publicPorts?: readonly number[];
  /** The named snapshot that it was started from. */
  readonly snapshotId?: string;
  /** Where a paused one lies. */
  readonly pauseId?: string;
  readonly pausedAt?: string;
  /** That pause has kept no program. */
  readonly pausedFilesOnly?: boolean;
  readonly metadata: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly limits: {
    readonly cpus: number;
    readonly memoryMib: number;
    readonly diskMib: number;
    readonly pids: number;
  };
  readonly user: string;
  readonly hostname: string;
  readonly source?: 'warm' | 'cold';
}

/** Whose something is: a tenant's, or a workspace's or function's in it. */
export interface Scope {
  readonly tenantId: string;
  readonly workspaceId?: string;
  readonly functionId?: string;
}

/** What is known of a secret without its value. */
export interface SecretRow extends Scope {
  readonly id: string;
  /** Unique in its scope. */
  readonly name: string;
  /** Host patterns of the policy language: where its value may go. None: where the header rules of a policy set it. */
  readonly hosts: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
  /** The variable in which programs find the placeholder. */
  readonly env: string;
  /** Counts the values that it had. */
  readonly version: number;
  readonly createdAt: string;
  readonly updatedAt: string;
}

/** An egress policy that stands above those of single sandboxes. */
export interface PolicyRow {
  readonly tenantId: string;
  readonly level: 'tenant' | 'workspace' | 'function' | 'template';
  /** The tenant's id, the template's name, … */
  readonly subject: string;
  readonly policy: EgressPolicy;
  /** Whether an administrator wrote it: then nobody else changes it. */
  readonly administrator: boolean;
  readonly updatedAt: string;
}

export interface PolicyStore {
  put(row: PolicyRow): void;
  find(tenantId: string, level: PolicyRow['level'], subject: string): PolicyRow | undefined;
  remove(tenantId: string, level: PolicyRow['level'], subject: string): void;
}

/** A value that only the holder of the key can open. */
export interface SealedValue {
  readonly keyId: string;
  readonly bytes: Uint8Array;
}

export interface SecretStore {
  /** Replaces the row with the same id, its value included. */
  put(row: SecretRow, sealed: SealedValue): void;
  /** Of exactly this scope. */
  find(scope: Scope, name: string): SecretRow | undefined;
  list(scope: Scope): readonly SecretRow[];
  sealedOf(id: string): SealedValue | undefined;
  remove(id: string): void;
}

export interface SnapshotRow {
  readonly id: string;
  readonly tenantId: string;
  /** Unique in its tenant. */
  readonly name?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly createdAt: string;
  readonly expiresAt?: string;
  /** The sandbox that it was taken of, and the snapshot that this one had been started from. */
  readonly sandboxId: string;
  readonly parentId?: string;
  readonly template: string;
  readonly templateVersionId?: string;
  readonly runtime: string;
  readonly limits: SandboxRow['limits'];
  readonly user: string;
  readonly bytes: number;
  /** What its sandbox had: those that start from it have the same. Their content is not in the snapshot. */
  readonly volumes?: readonly SandboxVolume[];
}

export interface VolumeRow {
  readonly id: string;
  readonly tenantId: string;
  /** Unique in its tenant. */
  readonly name: string;
  /** `archiving` is a copy that a backup is read from, `restoring` one that a backup is read into. */
  readonly state: 'creating' | 'ready' | 'archiving' | 'restoring' | 'removing';
  readonly quotaMib: number;
  readonly quotaInodes: number;
  /** Nobody writes to it. */
  readonly readOnly: boolean;
  /** The volume that it was copied from. */
  readonly fromId?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly createdAt: string;
}

export interface VolumeStore {
  insert(row: VolumeRow): void;
  update(row: VolumeRow): void;
  find(id: string): VolumeRow | undefined;
  findByName(tenantId: string, name: string): VolumeRow | undefined;
  /** By name; without a tenant those of all of them. */
  list(tenantId?: string): readonly VolumeRow[];
  remove(id: string): void;
}

export interface SnapshotStore {
  insert(row: SnapshotRow): void;
  find(id: string): SnapshotRow | undefined;
  findByName(tenantId: string, name: string): SnapshotRow | undefined;
  list(filter: SnapshotFilter, page: PageRequest): Page<SnapshotRow>;
  /** Those whose time was over at `before`. */
  expired(before: string): readonly SnapshotRow[];
  /** Ids of all tenants'. */
  ids(): readonly string[];
  /** Versions of templates that all tenants' were taken on. */
  templateVersionIds(): readonly string[];
  remove(id: string): void;
}

export interface SnapshotFilter {
  readonly tenantId: string;
  /** Only those that were taken of this sandbox. */
  readonly sandboxId?: string;
  readonly idOrName?: string;
}

export interface SandboxFilter {
  readonly tenantId: string;
  readonly template?: string;
  /** Only those created later than this. */
  readonly createdAfter?: string;
  readonly states?: readonly SandboxState[];
  readonly id?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
}

export interface Page<Item> {
  readonly items: readonly Item[];
  readonly nextCursor?: string;
}

export interface PageRequest {
  readonly limit: number;
  readonly cursor?: string;
  /** The newest first by default; only of sandboxes and of the audit log. */
  readonly order?: 'oldest first';
}

export interface AuditRow {
  readonly seq: number;
  readonly at: string;
  readonly tenantId: string;
  readonly actor: string;
  readonly action: string;
  readonly sandboxId?: string;
  readonly detail: Readonly<Record<string, unknown>>;
  /** SHA-256 over the hash before and this row: a row that is changed or taken out breaks the chain. */
  readonly hash: string;
}

export interface AuditFilter {
  readonly tenantId: string;
  /** Any of these. */
  readonly actions?: readonly string[];
  readonly sandboxId?: string;
  readonly action?: string;
}

export interface TenantStore {
  ensure(id: string): void;
  exists(id: string): boolean;
}

export interface KeyStore {
  count(): number;
  insert(key: KeyRow, secretSha256: string): void;
  findBySecret(secretSha256: string): KeyRow | undefined;
  /** Keys of one tenant, or of all of them. */
  list(tenantId?: string): readonly KeyRow[];
  find(id: string): KeyRow | undefined;
  remove(id: string): void;
}

export interface SandboxStore {
  insert(row: SandboxRow): void;
  update(row: SandboxRow): void;
  find(id: string): SandboxRow | undefined;
  list(filter: SandboxFilter, page: PageRequest): Page<SandboxRow>;
  /** Rows of all tenants in one of these states. */
  inStates(states: readonly SandboxState[]): readonly SandboxRow[];
}

export interface IdempotencyRow {
  readonly bodySha256: string;
  readonly sandboxId?: string;
}

export interface IdempotencyStore {
  find(tenantId: string, key: string): IdempotencyRow | undefined;
  put(tenantId: string, key: string, row: IdempotencyRow): void;
  remove(tenantId: string, key: string): void;
  /** Forgets keys whose create was never finished, and those older than `before`. */
  sweep(before: string): void;
}

export interface AuditStore {
  /** @returns where it stands in the log, and when. */
  append(event: Omit<AuditRow, 'seq' | 'hash' | 'at'>): { readonly seq: number; readonly at: string };
  list(filter: AuditFilter, page: PageRequest): Page<AuditRow>;
  /** Goes through the whole chain, oldest first. */
  verify(): Promise<AuditChain>;
}

/** What a look at the whole audit log found. */
export interface AuditChain {
  /** How many events follow from each other, from the first on. */
  readonly events: number;
  /** The hash of the last of them: kept elsewhere, it shows later that nothing was cut off. */
  readonly lastHash: string;
  /** The `seq` of the first event whose hash does not follow from the one before. */
  readonly brokenAt?: number;
}

export interface PoolRow {
  readonly template: string;
  readonly runtime: string;
  readonly size: number;
}

export interface PoolStore {
  put(tenantId: string, row: PoolRow): void;
  list(): readonly PoolRow[];
}

export interface Store {
  readonly tenants: TenantStore;
  readonly keys: KeyStore;
  readonly sandboxes: SandboxStore;
  readonly idempotency: IdempotencyStore;
  readonly audit: AuditStore;
  readonly pools: PoolStore;
  readonly snapshots: SnapshotStore;
  readonly templates: TemplateStore;
  readonly volumes: VolumeStore;
  readonly secrets: SecretStore;
  readonly policies: PolicyStore;
  readonly webhooks: WebhookStore;
  readonly buildFiles: BuildFileStore;
  /** Bytes of the database itself. */
  bytes(): number;
  close(): void;
}
