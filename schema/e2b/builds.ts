/** Requests of E2B's control plane about templates, as its clients send them. */
import { type Static, Type } from '@sinclair/typebox';
import { limits } from '../../src/base/limits.ts';

const closed = { additionalProperties: false };
const open = { additionalProperties: true };
const Level = Type.Optional(Type.String({ enum: ['debug', 'info', 'warn', 'error'] }));
const nothing = Type.Null();
const optionalText = (maxLength: number) =>
  Type.Optional(Type.Union([Type.String({ pattern: '^[^\\0]*$', maxLength }), nothing]));

const namePattern = '^\\s*[A-Za-z0-9][A-Za-z0-9_/-]{0,126}(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,62})?\\s*$';
const Name = Type.String({ pattern: namePattern });
const Tags = Type.Array(Type.String({ pattern: '^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$' }), { maxItems: 16 });

const Cpus = Type.Integer({ minimum: 1, maximum: 64 });
const MemoryMib = Type.Integer({ minimum: limits.sandboxMemoryMibMin, maximum: 1_048_576 });

export const NewBuild = Type.Object(
  {
    name: Type.Optional(Name),
    /** What older clients call the name. */
    alias: Type.Optional(Name),
    tags: Type.Optional(Tags),
    cpuCount: Type.Optional(Cpus),
    memoryMB: Type.Optional(MemoryMib),
    /** Disk is the sandbox's here, and none of it is the template's. */
    minFreeDiskMb: Type.Optional(Type.Integer({ minimum: 0 })),
    teamID: Type.Optional(Type.String()),
  },
  closed,
);

/** What a build was asked for before its steps are known; clients carry it in its id from one call to the next. */
export const AskedBuild = Type.Object(
  { tags: Type.Optional(Tags), cpus: Type.Optional(Cpus), memoryMib: Type.Optional(MemoryMib) },
  closed,
);
export type AskedBuild = Static<typeof AskedBuild>;

const Step = Type.Object(
  {
    type: Type.String(),
    args: Type.Optional(
      Type.Array(Type.String({ pattern: '^[^\\0]*$', maxLength: 131_072 }), { maxItems: 512 }),
    ),
    filesHash: Type.Optional(Type.String({ pattern: '^[0-9a-f]{64}$' })),
    force: Type.Optional(Type.Boolean()),
  },
  open, // the newest client sends what only it reads
);
export const StartBuild = Type.Object(
  {
    fromImage: optionalText(512),
    fromTemplate: optionalText(256),
    fromImageRegistry: Type.Optional(Type.Unknown()),
    steps: Type.Optional(Type.Array(Step, { maxItems: 1000 })),
    startCmd: optionalText(60_000),
    readyCmd: optionalText(60_000),
    force: Type.Optional(Type.Boolean()),
  },
  closed,
);

export const StatusQuery = Type.Object(
  {
    logsOffset: Type.Optional(Type.Integer({ minimum: 0 })),
    limit: Type.Optional(Type.Integer({ minimum: 0, maximum: 100 })),
    level: Level,
  },
  closed,
);
export const BuildLogQuery = Type.Object(
  {
    cursor: Type.Optional(Type.Integer({ minimum: 0 })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100 })),
    direction: Type.Optional(Type.String({ enum: ['forward', 'backward'] })),
    level: Level,
    source: Type.Optional(Type.String()),
  },
  closed,
);

export const AssignTags = Type.Object({ target: Name, tags: Tags }, closed);
export const RemoveTags = Type.Object({ name: Name, tags: Tags }, closed);
export const ChangeTemplate = Type.Object({ public: Type.Boolean() }, closed);
