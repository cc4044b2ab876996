/** What the API answers. */

export type SandboxState = 'starting' | 'running' | 'pausing' | 'paused' | 'resuming' | 'ending' | 'ended';

/** Limits of a sandbox. */
export interface SandboxLimits {
  /** Processor time, in CPUs. */
  readonly cpus: number;
  /** MiB, including what the runtime itself uses. */
  readonly memoryMib: number;
  /** MiB of written bytes. */
  readonly diskMib: number;
  /** Host processes and threads. */
  readonly pids: number;
}

export type EgressProtocol = 'tls' | 'http' | 'tcp' | 'udp';

/** A host by name; TCP on 80 and 443 where no ports are named. */
export interface AllowHost {
  /** A name, or `*.example.com` for every name below it. */
  readonly host: string;
  readonly ports?: readonly number[];
  /** What is spoken there, told by the port by default; UDP leaves by a rule that says so alone. */
  readonly protocol?: EgressProtocol;
  /** With any of these the proxy reads requests; a sandbox trusts its own authority for that. */
  readonly methods?: readonly string[];
  readonly paths?: readonly string[];
  readonly inspect?: boolean;
  readonly headers?: readonly { readonly name: string; readonly value: string }[];
  /** Bytes of the body of one request, and of one answer. */
  readonly requestBytesMax?: number;
  readonly responseBytesMax?: number;
  /** For administrators: the name may resolve to a private address. */
  readonly allowPrivate?: boolean;
}

/** A network, for connections to an address without a name. */
export interface AllowCidr {
  readonly cidr: string;
  readonly ports: readonly number[];
  readonly protocol?: EgressProtocol;
  readonly allowPrivate?: boolean;
}

/** What a sandbox may reach; what no rule allows is denied, and a denial beats every allowance. */
export interface EgressPolicy {
  readonly allow?: readonly (
    | AllowHost
    | AllowCidr
    /** What the server's own package clients use. */
    | { readonly preset: 'pip' | 'npm' | 'apt' | 'cargo' | 'go' }
  )[];
  readonly deny?: readonly (
    | Pick<AllowHost, 'host' | 'ports' | 'protocol' | 'methods' | 'paths'>
    | { readonly cidr: string; readonly ports?: readonly number[] }
  )[];
  readonly budgets?: {
    /** Bytes both ways over the whole life. */
    readonly bytesMax?: number;
    readonly connectionsMax?: number;
    readonly connectionsPerMinuteMax?: number;
    /** Bytes both ways per host, at least 1024; more is slowed down, not refused. */
    readonly bytesPerSecondMax?: number;
  };
}

export interface SandboxInfo {
  readonly id: string;
  readonly template: string;
  readonly runtime: string;
  /** Class of isolation: `application-kernel`, `virtual-machine`. */
  readonly isolation: string;
  /** Of a virtual machine: whether the processor itself runs it (`kvm`) or a program does (`emulation`). */
  readonly acceleration?: 'kvm' | 'emulation';
  readonly state: SandboxState;
  readonly endReason?: string;
  readonly createdAt: string;
  readonly startedAt?: string;
  readonly endsAt: string;
  readonly endedAt?: string;
  readonly idleTimeoutMs?: number;
  /** The time limit as it was asked for; a resumed sandbox gets it anew. */
  readonly timeoutMs: number;
  readonly onTimeout: 'kill' | 'pause';
  readonly autoResume: boolean;
  readonly pausedAt?: string;
  /** What it may reach; nothing without. */
  readonly policy?: EgressPolicy;
  /** Whether names that no rule allows get addresses that lead nowhere. */
  readonly learns?: boolean;
  /** Names of the secrets that it was created with. */
  readonly secrets?: readonly string[];
  /** The snapshot that it was started from. */
  readonly snapshotId?: string;
  readonly volumes?: readonly SandboxVolume[];
  readonly metadata: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly limits: SandboxLimits;
  readonly user: string;
  readonly hostname: string;
  readonly source?: 'warm' | 'cold';
}

/** What any number of sandboxes can start from. */
export interface SnapshotInfo {
  readonly id: string;
  readonly name?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly createdAt: string;
  readonly expiresAt?: string;
  /** The sandbox that it was taken of, and the snapshot that this one had been started from. */
  readonly sandboxId: string;
  readonly parentId?: string;
  readonly template: string;
  readonly runtime: string;
  readonly limits: SandboxLimits;
  readonly user: string;
  readonly bytes: number;
  /** Those that start from it have the same volumes; their content is not in the snapshot. */
  readonly volumes?: readonly SandboxVolume[];
}

/** Which volume a sandbox gets, and where. */
export interface VolumeMount {
  /** Id or name. */
  readonly volume: string;
  /** Where it appears inside; absolute. */
  readonly path: string;
  readonly readOnly?: boolean;
  /** The folder of the volume that is seen; made where it is missing and not read-only. */
  readonly subpath?: string;
}

/** A volume that a sandbox has. */
export interface SandboxVolume {
  readonly volumeId: string;
  readonly name: string;
  readonly path: string;
  readonly readOnly: boolean;
  readonly subpath?: string;
}

/** Files that outlive sandboxes. */
export interface VolumeInfo {
  readonly id: string;
  readonly name: string;
  /** `archiving` is a copy that a backup is read from, `restoring` one that a backup is read into. */
  readonly state: 'creating' | 'ready' | 'archiving' | 'restoring' | 'removing';
  /** Size of its file system, tables and journal included. */
  readonly quotaMib: number;
  readonly quotaInodes: number;
  /** Nobody writes to it: a snapshot of another one, for the most part. */
  readonly readOnly: boolean;
  readonly fromId?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly createdAt: string;
  /** What it takes of the host's disk. */
  readonly allocatedBytes?: number;
  /** Of its quotas; known while it is mounted. */
  readonly usedBytes?: number;
  readonly usedInodes?: number;
  /** Sandboxes that have it, paused ones too. */
  readonly sandboxes: readonly string[];
}

export interface SandboxMetrics {
  readonly at: string;
  readonly memoryBytes: number;
  readonly memoryLimitBytes: number;
  readonly cpuMicroseconds: number;
  readonly diskBytes: number;
  readonly diskLimitBytes: number;
  readonly pids: number;
  readonly processes: number;
  readonly uptimeMs: number;
}

export interface UsageSample {
  /** ISO 8601, UTC. */
  readonly at: string;
  /** Of one processor, since the sample before: two busy processors are 200. */
  readonly cpuPercent: number;
  readonly memoryBytes: number;
  readonly memoryLimitBytes: number;
  readonly diskBytes: number;
  readonly diskLimitBytes: number;
  readonly pids: number;
}

export interface ExitInfo {
  /** 128 + the signal's number where a signal ended it. */
  readonly exitCode: number;
  readonly signal?: string;
  readonly reason: 'exited' | 'signaled' | 'deadline';
  readonly truncatedStdoutBytes: number;
  readonly truncatedStderrBytes: number;
}

export interface ProcessInfo {
  readonly execId: string;
  readonly pid: number;
  readonly argv: readonly string[];
  readonly user: string;
  readonly startedAt: string;
  readonly pty: boolean;
  readonly exited?: ExitInfo;
}

export interface FileEntry {
  readonly path: string;
  readonly name: string;
  readonly type: 'file' | 'directory' | 'symlink' | 'other';
  readonly size: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly user?: string;
  readonly group?: string;
  readonly modifiedAt: string;
  readonly target?: string;
}

export interface FileEvent {
  readonly type: 'create' | 'write' | 'remove' | 'rename' | 'chmod' | 'overflow';
  readonly path: string;
}

export interface TemplateInfo {
  readonly name: string;
  readonly digest: string;
  readonly ready: boolean;
  readonly bytes: number;
  readonly builtAt?: string;
  /** Memory of a sandbox that asks for none, where it is not the usual. */
  readonly memoryMib?: number;
}

export interface BuildProgress {
  readonly phase: string;
  readonly percent: number;
  readonly message: string;
}

export interface RuntimeInfo {
  readonly name: string;
  readonly available: boolean;
  readonly version?: string;
  readonly detail?: string;
  readonly reason?: string;
  readonly remedy?: string;
  readonly capabilities?: Readonly<Record<string, unknown>>;
}

export interface PoolInfo {
  readonly template: string;
  readonly runtime: string;
  readonly size: number;
  readonly ready: number;
  readonly starting: number;
}

/** The smallest policy that allows what a sandbox was denied. */
export interface LearnedPolicy {
  readonly policy: EgressPolicy;
  /** What no rule of a caller opens, and why. */
  readonly remarks: readonly string[];
  /** There were more denials than the log keeps: run it again with this policy. */
  readonly incomplete: boolean;
}

/** Whose policy is meant. */
export interface PolicyPlace {
  /** Of this template in the tenant; of the whole tenant where left out. */
  readonly template?: string;
  /** Another tenant than the key's: for administrators. */
  readonly tenantId?: string;
}

/** A secret without its value, which nothing answers. */
export interface SecretInfo {
  readonly name: string;
  /** Where the value may go. */
  readonly hosts: readonly string[];
  /** The variable in which programs find the placeholder. */
  readonly env: string;
  /** How many values it has had. */
  readonly version: number;
  readonly createdAt: string;
  readonly updatedAt: string;
}

export interface KeyInfo {
  readonly id: string;
  readonly tenantId: string;
  readonly name: string;
  readonly scope: string;
  readonly createdAt: string;
}

/** What a check of the whole audit log found. */
export interface AuditChain {
  /** How many events follow from each other, from the first on. */
  readonly events: number;
  /** The hash of the last of them: kept elsewhere, it shows later that nothing was cut off. */
  readonly lastHash: string;
  /** The `seq` of the first event that was changed, or before which one was taken out. */
  readonly brokenAt?: number;
}

export interface AuditEvent {
  readonly seq: number;
  readonly at: string;
  readonly tenantId: string;
  readonly actor: string;
  readonly action: string;
  readonly sandboxId?: string;
  readonly detail: Readonly<Record<string, unknown>>;
  readonly hash: string;
}

export interface Page<Item> {
  readonly items: readonly Item[];
  readonly nextCursor?: string;
}
