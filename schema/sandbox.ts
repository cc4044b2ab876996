/** Schemas of sandboxes: create, list, timeout, ping, metrics. */
import { type Static, Type } from '@sinclair/typebox';
import { limits } from '../src/base/limits.ts';
import {
  CursorSchema,
  EnvSchema,
  PageLimitSchema,
  RuntimeNameSchema,
  SandboxIdSchema,
  strictObject,
  TagsSchema,
  TemplateNameSchema,
  TimeSchema,
  UserSchema,
} from './common.ts';

const sandboxMibMax = 1024 * 1024;

const cpus = Type.Number({
  minimum: 0.1,
  maximum: 256,
  description: 'Processor time in CPUs; fractions allowed.',
});
const memoryMib = Type.Integer({
  minimum: limits.sandboxMemoryMibMin,
  maximum: sandboxMibMax,
  description: 'Memory in MiB, including what the runtime itself uses for the sandbox.',
});
const diskMib = Type.Integer({
  minimum: limits.sandboxDiskMibMin,
  maximum: sandboxMibMax,
  description: 'Bytes that the sandbox may write, in MiB.',
});
const pids = Type.Integer({
  minimum: limits.sandboxPidsMin,
  maximum: 65_536,
  description: "Host processes and threads, including the runtime's own.",
});

export const LimitsSchema = strictObject({ cpus, memoryMib, diskMib, pids }, { $id: 'Limits' });

export const LimitsRequestSchema = strictObject(
  {
    cpus: Type.Optional(cpus),
    memoryMib: Type.Optional(memoryMib),
    diskMib: Type.Optional(diskMib),
    pids: Type.Optional(pids),
  },
  {
    $id: 'LimitsRequest',
    description: `Defaults: ${limits.sandboxCpusDefault} CPU, ${limits.sandboxMemoryMibDefault} MiB of memory, ${limits.sandboxDiskMibDefault} MiB of disk, ${limits.sandboxPidsDefault} processes.`,
  },
);

export const sandboxStates = ['starting', 'running', 'paused', 'ending', 'ended'] as const;
export const endReasons = [
  'killed',
  'time_limit',
  'idle',
  'memory_limit',
  'disk_limit',
  'exited',
  'protocol',
  'failed',
  'lost',
] as const;

export const SandboxStateSchema = Type.Union(sandboxStates.map((state) => Type.Literal(state)));
export const EndReasonSchema = Type.Union(
  endReasons.map((reason) => Type.Literal(reason)),
  { description: 'Why it ended.' },
);

const timeoutMs = Type.Integer({
  minimum: 1000,
  maximum: limits.sandboxTimeoutMsMax,
  description: `Milliseconds from now until the sandbox is ended; ${limits.sandboxTimeoutMsDefault} by default.`,
});

const idleTimeoutMs = Type.Integer({
  minimum: 1000,
  maximum: limits.sandboxTimeoutMsMax,
  description:
    'Ends the sandbox after this many milliseconds without a running program or a call; never by default.',
});

const hostname = Type.String({
  pattern: '^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$',
  description: 'Host name inside the sandbox; `sandbox` by default.',
});

export const CreateSandboxSchema = strictObject(
  {
    template: Type.Optional(TemplateNameSchema),
    runtime: Type.Optional(RuntimeNameSchema),
    timeoutMs: Type.Optional(timeoutMs),
    idleTimeoutMs: Type.Optional(idleTimeoutMs),
    env: Type.Optional(EnvSchema),
    metadata: Type.Optional(TagsSchema),
    labels: Type.Optional(TagsSchema),
    limits: Type.Optional(LimitsRequestSchema),
    user: Type.Optional(UserSchema),
    hostname: Type.Optional(hostname),
  },
  {
    $id: 'CreateSandbox',
    description: 'Everything is optional: `{}` gives a sandbox of template `base` on `gvisor`.',
  },
);

export const SandboxSchema = strictObject(
  {
    id: SandboxIdSchema,
    template: TemplateNameSchema,
    runtime: RuntimeNameSchema,
    isolation: Type.Union(
      [
        Type.Literal('application-kernel'),
        Type.Literal('virtual-machine'),
        Type.Literal('none'),
        Type.Literal('unknown'),
      ],
      { description: 'Class of isolation that the runtime gives; `unknown` until it has started.' },
    ),
    state: SandboxStateSchema,
    endReason: Type.Optional(EndReasonSchema),
    createdAt: TimeSchema,
    startedAt: Type.Optional(TimeSchema),
    endsAt: Type.String({ format: 'date-time', description: 'When its time limit ends it. ISO 8601, UTC.' }),
    endedAt: Type.Optional(TimeSchema),
    idleTimeoutMs: Type.Optional(idleTimeoutMs),
    metadata: TagsSchema,
    labels: TagsSchema,
    limits: LimitsSchema,
    user: UserSchema,
    hostname,
    source: Type.Optional(
      Type.Union([Type.Literal('warm'), Type.Literal('cold')], {
        description: 'Whether it came out of a warm pool.',
      }),
    ),
  },
  { $id: 'Sandbox' },
);

const tagFilter = Type.Array(Type.String({ maxLength: 4300, pattern: '^[^=\\u0000-\\u001f]{1,128}=' }), {
  maxItems: 16,
  description: '`key=value`; repeatable, all have to match.',
});

export const ListSandboxesQuerySchema = strictObject({
  state: Type.Optional(
    Type.String({
      pattern: `^(${sandboxStates.join('|')})(,(${sandboxStates.join('|')})){0,4}$`,
      description: 'Comma-separated states; all but `ended` by default.',
    }),
  ),
  metadata: Type.Optional(tagFilter),
  label: Type.Optional(tagFilter),
  limit: Type.Optional(PageLimitSchema),
  cursor: Type.Optional(CursorSchema),
});

export const SandboxPageSchema = strictObject(
  { items: Type.Array(SandboxSchema), nextCursor: Type.Optional(CursorSchema) },
  { $id: 'SandboxPage', description: 'Newest first.' },
);

export const SetTimeoutSchema = strictObject({ timeoutMs }, { $id: 'SetTimeout' });

export const PingSchema = strictObject(
  {
    agentRoundTripMs: Type.Number({
      description: 'Milliseconds from the server to the agent in the sandbox and back.',
    }),
  },
  { $id: 'Ping' },
);

const count = (description: string) => Type.Number({ minimum: 0, description });

export const MetricsSchema = strictObject(
  {
    at: TimeSchema,
    memoryBytes: count('Memory that the host gives it now, in bytes.'),
    memoryLimitBytes: count('Its memory limit in bytes.'),
    cpuMicroseconds: count('Processor time used since its start, in microseconds.'),
    diskBytes: count('Bytes written to its private layer.'),
    diskLimitBytes: count('Its disk limit in bytes.'),
    pids: count('Host processes and threads.'),
    processes: count('Processes that the agent sees inside.'),
    uptimeMs: count('Milliseconds since the agent started.'),
  },
  { $id: 'Metrics' },
);

export type CreateSandbox = Static<typeof CreateSandboxSchema>;
export type Sandbox = Static<typeof SandboxSchema>;
export type SandboxState = Static<typeof SandboxStateSchema>;
export type EndReason = Static<typeof EndReasonSchema>;
export type SandboxLimits = Static<typeof LimitsSchema>;
export type ListSandboxesQuery = Static<typeof ListSandboxesQuerySchema>;
export type SandboxPage = Static<typeof SandboxPageSchema>;
export type SetTimeout = Static<typeof SetTimeoutSchema>;
export type Ping = Static<typeof PingSchema>;
export type Metrics = Static<typeof MetricsSchema>;
