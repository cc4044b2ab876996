/** The core API's shapes, written once: they validate requests, and the OpenAPI document is made of them. */
import { type Static, type TSchema, Type } from '@sinclair/typebox';
import { errorTable } from '../src/base/errors.ts';
import { limits } from '../src/base/limits.ts';
import { EgressPolicy } from './policy.ts';
import { SandboxVolumes, VolumeMounts } from './volumes.ts';
import { SecretName } from './secrets.ts';

const closed = { additionalProperties: false } as const;
const Time = Type.String({ description: 'ISO 8601, UTC' });
const Count = Type.Integer({ minimum: 0 });

function optional<Schema extends TSchema>(schema: Schema) {
  return Type.Optional(schema);
}

export const SandboxId = Type.String({ pattern: '^[a-z0-9]{20}$', description: 'Sandbox id' });
export const ExecId = Type.String({ pattern: '^[a-z0-9]{20}$', description: 'Exec id' });
export const Name = Type.String({ pattern: '^[a-z0-9][a-z0-9-]{0,62}$' });
export const TemplateName = Type.String({ pattern: '^[a-z0-9][a-z0-9_-]{0,62}$' });
export const TemplateReference = Type.String({
  pattern: '^(?:[a-z0-9][a-z0-9-]{0,62}/)?[a-z0-9][a-z0-9_-]{0,62}(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,62})?$',
  description: 'Template: `name`, `name:tag`, `tenant/name:tag`',
});
const UserName = Type.String({
  pattern: '^[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,63}$',
  description: 'User of the sandbox, by name or number',
});
const Path = Type.String({
  pattern: '^[^\\0]+$',
  maxLength: 4096,
  description: 'Path inside the sandbox; relative to the user’s home',
});
const Mode = Type.Integer({ minimum: 0, maximum: 0o777, description: 'Permission bits' });
const Environment = Type.Record(
  Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_]{0,127}$' }),
  Type.String({ pattern: '^[^\\0]*$', maxLength: 131_072 }),
  {
    ...closed,
    maxProperties: limits.envEntriesMax,
  },
);
const Tags = Type.Record(
  Type.String({ pattern: '^[\\x21-\\x7e]{1,128}$' }),
  Type.String({ maxLength: 1024 }),
  {
    ...closed,
    maxProperties: limits.metadataEntriesMax,
  },
);

export const Limits = Type.Object(
  {
    cpus: optional(Type.Number({ minimum: 0.05, maximum: 64, description: 'Processor time, in CPUs' })),
    memoryMib: optional(
      Type.Integer({
        minimum: limits.sandboxMemoryMibMin,
        maximum: 1_048_576,
        description: 'MiB, the runtime’s own included',
      }),
    ),
    diskMib: optional(
      Type.Integer({
        minimum: limits.sandboxDiskMibMin,
        maximum: 1_048_576,
        description: 'MiB of written bytes',
      }),
    ),
    pids: optional(
      Type.Integer({
        minimum: limits.sandboxPidsMin,
        maximum: 32_768,
        description: 'Host processes and threads',
      }),
    ),
  },
  { ...closed, $id: 'Limits' },
);

export const CreateSandbox = Type.Object(
  {
    template: optional(TemplateReference),
    runtime: optional(Name),
    snapshot: optional(
      Type.String({
        pattern: '^[a-z0-9][a-z0-9-]{0,62}$',
        description: 'Start from this snapshot: id or name',
      }),
    ),
    onTimeout: optional(
      Type.Unsafe<'kill' | 'pause'>({
        type: 'string',
        enum: ['kill', 'pause'],
        description: 'What the time limit and idleness do; kill by default',
      }),
    ),
    autoResume: optional(Type.Boolean({ description: 'A call to it while it is paused resumes it' })),
    timeoutMs: optional(
      Type.Integer({
        minimum: 1000,
        maximum: limits.sandboxTimeoutMsMax,
        description: 'Time limit from now, ms',
      }),
    ),
    idleTimeoutMs: optional(
      Type.Integer({
        minimum: 1000,
        maximum: limits.sandboxTimeoutMsMax,
        description: 'Ends after this long without use, ms',
      }),
    ),
    env: optional(Environment),
    metadata: optional(Tags),
    labels: optional(Tags),
    limits: optional(Limits),
    policy: optional(EgressPolicy),
    secrets: optional(
      Type.Array(SecretName, {
        maxItems: limits.secretsPerSandboxMax,
        uniqueItems: true,
        description: 'Its programs find placeholders of these in their environment',
      }),
    ),
    learn: optional(
      Type.Boolean({
        description:
          'Names that no rule allows get addresses that lead nowhere; GET …/learned tells what was tried',
      }),
    ),
    user: optional(UserName),
    volumes: optional(VolumeMounts),
    hostname: optional(Type.String({ pattern: '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$' })),
  },
  { ...closed, $id: 'CreateSandbox' },
);

export const Sandbox = Type.Object(
  {
    id: SandboxId,
    template: Type.String(),
    runtime: Type.String(),
    isolation: Type.String({ description: 'Class of isolation: application-kernel, virtual-machine' }),
    acceleration: optional(
      Type.String({ enum: ['kvm', 'emulation'], description: 'What runs a virtual machine’s instructions' }),
    ),
    state: Type.String({
      enum: ['starting', 'running', 'pausing', 'paused', 'resuming', 'ending', 'ended'],
    }),
    endReason: optional(Type.String()),
    createdAt: Time,
    startedAt: optional(Time),
    endsAt: Time,
    endedAt: optional(Time),
    idleTimeoutMs: optional(Count),
    timeoutMs: Count,
    onTimeout: Type.String({ enum: ['kill', 'pause'] }),
    autoResume: Type.Boolean(),
    pausedAt: optional(Time),
    policy: optional(EgressPolicy),
    secrets: optional(Type.Array(Type.String())),
    learns: optional(Type.Boolean()),
    snapshotId: optional(Type.String({ description: 'The snapshot that it was started from' })),
    volumes: optional(SandboxVolumes),
    metadata: Type.Record(Type.String(), Type.String()),
    labels: Type.Record(Type.String(), Type.String()),
    limits: Type.Required(Limits),
    user: Type.String(),
    hostname: Type.String(),
    source: optional(Type.String({ enum: ['warm', 'cold'] })),
  },
  { $id: 'Sandbox' },
);

export const PauseSandbox = Type.Object(
  {
    keepMemory: optional(
      Type.Boolean({
        description:
          'false ends every program first and keeps files only: a virtual machine boots again at the resume; true by default',
      }),
    ),
  },
  closed,
);
export const ResumeSandbox = Type.Object(
  {
    timeoutMs: optional(
      Type.Integer({ minimum: 1000, maximum: limits.sandboxTimeoutMsMax, description: 'From now, ms' }),
    ),
  },
  closed,
);
export const TakeSnapshot = Type.Object(
  {
    name: optional(Name),
    labels: optional(Tags),
    retentionMs: optional(
      Type.Integer({
        minimum: 1000,
        maximum: 10 * 365 * 86_400_000,
        description: 'Deleted after this long, ms',
      }),
    ),
  },
  closed,
);
export const Snapshot = Type.Object(
  {
    id: Type.String(),
    name: optional(Type.String()),
    labels: Type.Record(Type.String(), Type.String()),
    createdAt: Time,
    expiresAt: optional(Time),
    sandboxId: Type.String({ description: 'The sandbox that it was taken of' }),
    parentId: optional(Type.String({ description: 'The snapshot that this sandbox had been started from' })),
    template: Type.String(),
    runtime: Type.String(),
    limits: Type.Required(Limits),
    user: Type.String(),
    bytes: Count,
    volumes: optional(SandboxVolumes),
  },
  { $id: 'Snapshot' },
);
export const SnapshotName = Type.String({ pattern: '^[a-z0-9][a-z0-9-]{0,62}$', description: 'Id or name' });
export const ListSnapshots = Type.Object(
  {
    limit: optional(Type.Integer({ minimum: 1, maximum: limits.pageItemsMax })),
    cursor: optional(Type.String({ minLength: 1, maxLength: 512 })),
  },
  closed,
);
export const SnapshotPage = Type.Object({ items: Type.Array(Snapshot), nextCursor: optional(Type.String()) });
export const ForkSandbox = Type.Object(
  { count: Type.Integer({ minimum: 1, maximum: limits.forkChildrenMax }) },
  closed,
);

export const ListSandboxes = Type.Object(
  {
    state: optional(
      Type.String({
        pattern: '^[a-z]+(,[a-z]+)*$',
        maxLength: 64,
        description: 'States, separated by commas',
      }),
    ),
    metadata: optional(Type.Array(Type.String({ pattern: '^[^=]+=', maxLength: 2048 }), { maxItems: 16 })),
    label: optional(Type.Array(Type.String({ pattern: '^[^=]+=', maxLength: 2048 }), { maxItems: 16 })),
    limit: optional(Type.Integer({ minimum: 1, maximum: limits.pageItemsMax })),
    cursor: optional(Type.String({ maxLength: 512 })),
  },
  closed,
);
export const SandboxPage = Type.Object({ items: Type.Array(Sandbox), nextCursor: optional(Type.String()) });
export const SetTimeout = Type.Object(
  {
    timeoutMs: Type.Integer({
      minimum: 1000,
      maximum: limits.sandboxTimeoutMsMax,
      description: 'From now, ms',
    }),
  },
  closed,
);
export const Ping = Type.Object({ agentRoundTripMs: Type.Number() });
export const Metrics = Type.Object({
  at: Time,
  memoryBytes: Count,
  memoryLimitBytes: Count,
  cpuMicroseconds: Count,
  diskBytes: Count,
  diskLimitBytes: Count,
  pids: Count,
  processes: Count,
  uptimeMs: Type.Number(),
});

const Terminal = Type.Object(
  { rows: Type.Integer({ minimum: 1, maximum: 1000 }), cols: Type.Integer({ minimum: 1, maximum: 1000 }) },
  closed,
);
export const StartExec = Type.Object(
  {
    argv: optional(
      Type.Array(Type.String({ pattern: '^[^\\0]*$', maxLength: 60_000 }), { minItems: 1, maxItems: 1024 }),
    ),
    command: optional(
      Type.String({ pattern: '^[^\\0]+$', maxLength: 60_000, description: 'Run by bash -l -c' }),
    ),
    cwd: optional(Path),
    env: optional(Environment),
    user: optional(UserName),
    stdin: optional(Type.Boolean({ description: 'Keep stdin open for POST …/stdin' })),
    pty: optional(Terminal),
    timeoutMs: optional(Type.Integer({ minimum: 1, maximum: limits.sandboxTimeoutMsMax })),
    detach: optional(Type.Boolean({ description: 'Answer as soon as it runs' })),
  },
  { ...closed, $id: 'StartExec', oneOf: [{ required: ['argv'] }, { required: ['command'] }] },
);
const exitFields = {
  exitCode: Type.Integer(),
  signal: optional(Type.String()),
  reason: Type.String({ enum: ['exited', 'signaled', 'deadline'] }),
  truncatedStdoutBytes: Count,
  truncatedStderrBytes: Count,
};
export const ExecResult = Type.Object({
  execId: ExecId,
  ...exitFields,
  stdout: Type.String(),
  stderr: Type.String(),
});
export const StartedExec = Type.Object({ execId: ExecId, pid: Count });
export const Exec = Type.Object({
  execId: ExecId,
  pid: Count,
  argv: Type.Array(Type.String()),
  user: Type.String(),
  startedAt: Time,
  pty: Type.Boolean(),
  exited: optional(Type.Object(exitFields)),
});
export const ExecList = Type.Object({ items: Type.Array(Exec) });
export const OutputQuery = Type.Object({ follow: optional(Type.Boolean()) }, closed);
export const StdinQuery = Type.Object(
  { end: optional(Type.Boolean({ description: 'Close stdin after these bytes' })) },
  closed,
);
export const Signal = Type.Object({ signal: Type.Integer({ minimum: 1, maximum: 64 }) }, closed);
export const Resize = Terminal;

export const FileQuery = Type.Object({ path: Path, user: optional(UserName) }, closed);
export const FileWriteQuery = Type.Object(
  {
    path: Path,
    user: optional(UserName),
    mode: optional(Mode),
    append: optional(Type.Boolean()),
    parents: optional(Type.Boolean({ description: 'Make missing parent directories' })),
  },
  closed,
);
export const FileRemoveQuery = Type.Object(
  { path: Path, user: optional(UserName), recursive: optional(Type.Boolean()) },
  closed,
);
export const FileListQuery = Type.Object(
  { path: Path, user: optional(UserName), depth: optional(Type.Integer({ minimum: 1, maximum: 32 })) },
  closed,
);
export const MakeDirectory = Type.Object(
  { path: Path, user: optional(UserName), mode: optional(Mode), parents: optional(Type.Boolean()) },
  closed,
);
export const MoveFile = Type.Object({ from: Path, to: Path, user: optional(UserName) }, closed);
export const FileEntry = Type.Object(
  {
    path: Type.String(),
    name: Type.String(),
    type: Type.String({ enum: ['file', 'directory', 'symlink', 'other'] }),
    size: Count,
    mode: Count,
    uid: Count,
    gid: Count,
    user: optional(Type.String()),
    group: optional(Type.String()),
    modifiedAt: Time,
    target: optional(Type.String()),
  },
  { $id: 'FileEntry' },
);
export const FileList = Type.Object({ entries: Type.Array(FileEntry), truncated: Type.Boolean() });
export const FileWritten = Type.Object({ path: Type.String(), size: Count });
export const StdinWritten = Type.Object({ bytes: Count });

export const Template = Type.Object(
  {
    name: Type.String({ description: '`tenant/name` for another tenant’s' }),
    digest: Type.String(),
    ready: Type.Boolean(),
    bytes: Count,
    builtAt: optional(Time),
    memoryMib: optional(Count),
  },
  { $id: 'Template' },
);
export const TemplateList = Type.Object({ items: Type.Array(Template) });
export const RuntimeList = Type.Object({
  items: Type.Array(
    Type.Object({
      name: Type.String(),
      available: Type.Boolean(),
      version: optional(Type.String()),
      detail: optional(Type.String()),
      reason: optional(Type.String()),
      remedy: optional(Type.String()),
      capabilities: optional(Type.Record(Type.String(), Type.Unknown())),
    }),
  ),
});
export const Pool = Type.Object(
  { template: TemplateReference, runtime: Name, size: Count, ready: Count, starting: Count },
  { $id: 'Pool' },
);
export const PoolList = Type.Object({ items: Type.Array(Pool) });
export const SetPool = Type.Object(
  { runtime: optional(Name), size: Type.Integer({ minimum: 0, maximum: 1000 }) },
  closed,
);

const Scope = Type.String({ pattern: '^(admin|tenant|sandbox:[a-z0-9]{20})$' });
export const Key = Type.Object(
  { id: Type.String(), tenantId: Name, name: Type.String(), scope: Scope, createdAt: Time },
  { $id: 'Key' },
);
export const KeyList = Type.Object({ items: Type.Array(Key) });
export const CreateKey = Type.Object(
  { name: Type.String({ pattern: '^[^\\0]+$', maxLength: 64 }), scope: Scope, tenantId: optional(Name) },
  closed,
);
export const CreatedKey = Type.Composite([
  Key,
  Type.Object({ key: Type.String({ description: 'Shown this once' }) }),
]);
export const KeyId = Type.String({ pattern: '^[a-z0-9]{20}$', description: 'Key id' });

export const AuditQuery = Type.Object(
  {
    sandboxId: optional(SandboxId),
    action: optional(Type.String({ pattern: '^[a-z.]{1,64}$' })),
    limit: optional(Type.Integer({ minimum: 1, maximum: limits.pageItemsMax })),
    cursor: optional(Type.String({ maxLength: 512 })),
  },
  closed,
);
export const AuditEvent = Type.Object(
  {
    seq: Count,
    at: Time,
    tenantId: Type.String(),
    actor: Type.String(),
    action: Type.String(),
    sandboxId: optional(Type.String()),
    detail: Type.Record(Type.String(), Type.Unknown()),
    hash: Type.String({ description: 'SHA-256 chained over the event before' }),
  },
  { $id: 'AuditEvent' },
);
export const AuditChain = Type.Object(
  {
    events: Count,
    lastHash: Type.String({ description: 'Of the last event that follows from the ones before' }),
    brokenAt: optional(Type.Integer({ description: 'The seq of the first event that does not' })),
  },
  { $id: 'AuditChain' },
);
export const AuditPage = Type.Object({ items: Type.Array(AuditEvent), nextCursor: optional(Type.String()) });

export const ErrorAnswer = Type.Object(
  {
    error: Type.Object({
      code: Type.String({ enum: Object.keys(errorTable) }),
      message: Type.String(),
      hint: Type.String(),
      requestId: optional(Type.String()),
    }),
  },
  { $id: 'Error' },
);
export const ForkedChildren = Type.Object({
  children: Type.Array(
    Type.Object({
      sandbox: optional(Sandbox),
      error: optional(Type.Unknown({ description: 'As in an error answer' })),
    }),
  ),
});
export const Health = Type.Object({ status: Type.String(), version: Type.String() });

export { EgressPolicy };

export type CreateSandbox = Static<typeof CreateSandbox>;
export type StartExec = Static<typeof StartExec>;
export type SandboxAnswer = Static<typeof Sandbox>;
