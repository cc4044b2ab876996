/**
 * What control keeps: one repository per aggregate. SQLite fills it in this process.
 *
 * The methods are synchronous on purpose: a sandbox's row has to be on disk inside the node's `onTaken`, before anything
 * of the tenant touches the sandbox, and an insert takes less time than a turn of the event loop. A store that is
 * reached over a network takes the same methods as promises; that change is made where `onTaken` is.
 *
 * Every row carries its tenant. Nothing here checks who asks: control's `Access` does, in one place.
 */

export type SandboxState = 'starting' | 'running' | 'paused' | 'ending' | 'ended';
export type EndReason =
  | 'killed'
  | 'time_limit'
  | 'idle'
  | 'memory_limit'
  | 'disk_limit'
  | 'exited'
  | 'protocol'
  | 'failed'
  | 'lost';
export type Isolation = 'application-kernel' | 'virtual-machine' | 'none';

/** Times are milliseconds since 1970. */
export interface SandboxRow {
  readonly id: string;
  readonly tenantId: string;
  readonly workspaceId: string | null;
  readonly functionId: string | null;
  readonly template: string;
  readonly runtime: string;
  readonly isolation: Isolation | null;
  readonly source: 'warm' | 'cold' | null;
  readonly state: SandboxState;
  readonly endReason: EndReason | null;
  readonly createdAt: number;
  readonly startedAt: number | null;
  readonly endsAt: number;
  readonly endedAt: number | null;
  readonly idleTimeoutMs: number | null;
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
}

/** What changes when a sandbox goes from one state to the next. */
export type SandboxChange = Partial<
  Pick<SandboxRow, 'isolation' | 'source' | 'endReason' | 'startedAt' | 'endsAt' | 'endedAt'>
>;

export interface SandboxFilter {
  /** Absent for an admin, who sees all. */
  readonly tenantId?: string;
  /** Only this one; for keys of one sandbox. */
  readonly id?: string;
  readonly states: readonly SandboxState[];
  readonly metadata: readonly (readonly [key: string, value: string])[];
  readonly labels: readonly (readonly [key: string, value: string])[];
  /** Only rows older than this one. */
  readonly before?: { readonly createdAt: number; readonly id: string };
  readonly limit: number;
}

export interface SandboxRepository {
  insert(row: SandboxRow): void;
  get(id: string): SandboxRow | undefined;
  /** Newest first. */
  list(filter: SandboxFilter): SandboxRow[];
  notEnded(): SandboxRow[];
  /** Changes state and fields in one step, only where the state is one of `from`. @returns whether it did. */
  move(id: string, from: readonly SandboxState[], to: SandboxState, change: SandboxChange): boolean;
  setEndsAt(id: string, endsAt: number): void;
}

export interface TenantRepository {
  ensure(id: string, createdAt: number): void;
}

export interface KeyRow {
  readonly id: string;
  readonly tenantId: string;
  readonly name: string;
  /** `admin`, `tenant` or `sandbox:<id>`. */
  readonly scope: string;
  readonly secretHash: string;
  readonly createdAt: number;
}

export interface KeyRepository {
  insert(row: KeyRow): void;
  get(id: string): KeyRow | undefined;
  byHash(secretHash: string): KeyRow | undefined;
  list(tenantId: string | undefined): KeyRow[];
  countAdmins(): number;
  remove(id: string): void;
}

export interface IdempotencyRow {
  readonly tenantId: string;
  readonly key: string;
  readonly bodyHash: string;
  readonly sandboxId: string;
  readonly createdAt: number;
}

export interface IdempotencyRepository {
  insert(row: IdempotencyRow): void;
  get(tenantId: string, key: string): IdempotencyRow | undefined;
  releaseSandbox(sandboxId: string): void;
  removeOlderThan(createdAt: number): void;
}

export interface PoolRow {
  readonly template: string;
  readonly runtime: string;
  readonly tenantId: string;
  readonly size: number;
}

export interface PoolRepository {
  set(row: PoolRow): void;
  list(): PoolRow[];
}

export interface AuditRow {
  readonly seq: number;
  readonly at: number;
  readonly tenantId: string;
  readonly actor: string;
  readonly action: string;
  readonly sandboxId: string | null;
  /** Canonical JSON. */
  readonly detail: string;
  readonly hash: string;
}

export interface AuditFilter {
  readonly tenantId?: string;
  readonly sandboxId?: string;
  readonly action?: string;
  readonly beforeSeq?: number;
  readonly limit: number;
}

/** Append-only: there is no method that changes or removes. */
export interface AuditRepository {
  append(row: AuditRow): void;
  last(): AuditRow | undefined;
  /** Newest first. */
  list(filter: AuditFilter): AuditRow[];
  /** Oldest first, all of it; for checking the chain. */
  all(): IterableIterator<AuditRow>;
}

export interface Store {
  readonly tenants: TenantRepository;
  readonly keys: KeyRepository;
  readonly sandboxes: SandboxRepository;
  readonly idempotency: IdempotencyRepository;
  readonly pools: PoolRepository;
  readonly audit: AuditRepository;
  /** All of `work` or nothing of it; may be nested. */
  transaction<Result>(work: () => Result): Result;
  close(): void;
}
