/** Shapes of the API of templates that tenants build: builds, versions, tags, uploads. */
import { Type } from '@sinclair/typebox';
import { limits } from '../src/base/limits.ts';
import { Template, TemplateName } from './api.ts';
import { EgressPolicy } from './policy.ts';

const closed = { additionalProperties: false } as const;
const optional = Type.Optional;
const Time = Type.String({ description: 'ISO 8601, UTC' });
const text = '^[^\\0]+$';
const Count = Type.Integer({ minimum: 0 });
export const Sha256 = Type.String({ pattern: '^[0-9a-f]{64}$', description: 'SHA-256, hex digits' });
export const Tag = Type.String({ pattern: '^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$', description: 'Tag' });
export const BuildId = Type.String({ pattern: '^[a-z0-9]{20}$', description: 'Build id' });

const Start = Type.Object(
  {
    command: Type.String({ pattern: text, maxLength: 60_000, description: 'Run when a sandbox is made' }),
    ready: optional(
      Type.String({ pattern: text, maxLength: 60_000, description: 'Run until it ends with 0' }),
    ),
    readyTimeoutMs: optional(Type.Integer({ minimum: 100, maximum: 600_000 })),
  },
  closed,
);

export const StartBuild = Type.Object(
  {
    name: TemplateName,
    tag: optional(Tag),
    dockerfile: Type.String({ pattern: text, maxLength: limits.dockerfileBytesMax }),
    context: optional(
      Type.String({ pattern: '^[0-9a-f]{64}$', description: 'SHA-256 of the uploaded list of the context' }),
    ),
    buildArgs: optional(
      Type.Record(
        Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_]{0,127}$' }),
        Type.String({ pattern: '^[^\\0]*$' }),
        {
          ...closed,
          maxProperties: 256,
        },
      ),
    ),
    target: optional(Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$' })),
    images: optional(
      Type.Record(
        Type.String({ pattern: '^[a-z0-9][a-z0-9._/-]{0,127}$' }),
        Type.Object(
          {
            archive: optional(Sha256),
            layout: optional(Sha256),
          },
          { ...closed, minProperties: 1, maxProperties: 1 },
        ),
        { ...closed, maxProperties: 16, description: 'Uploaded images, by names that FROM and COPY use' },
      ),
    ),
    policy: optional(EgressPolicy),
    start: optional(Start),
    limits: optional(
      Type.Object(
        {
          cpus: optional(Type.Number({ minimum: 0.1, maximum: 64 })),
          memoryMib: optional(Type.Integer({ minimum: 256, maximum: 1_048_576 })),
        },
        { ...closed, description: 'Of each step' },
      ),
    ),
    noCache: optional(Type.Boolean()),
  },
  { ...closed, $id: 'StartBuild' },
);

export const Version = Type.Object(
  {
    buildId: Type.String(),
    number: Count,
    state: Type.String({ enum: ['building', 'ready', 'failed'] }),
    createdAt: Time,
    finishedAt: optional(Time),
    source: Type.String({ description: 'What the last stage begins with' }),
    tags: Type.Array(Type.String()),
    bytes: optional(Count),
    error: optional(Type.String()),
    env: optional(Type.Record(Type.String(), Type.String())),
    user: optional(Type.String()),
    workdir: optional(Type.String()),
    entrypoint: optional(Type.Array(Type.String())),
    cmd: optional(Type.Array(Type.String())),
    labels: optional(Type.Record(Type.String(), Type.String())),
    ports: optional(Type.Array(Type.String())),
    start: optional(Start),
  },
  { $id: 'TemplateVersion' },
);

export const Build = Type.Object(
  {
    id: Type.String(),
    template: Type.String(),
    percent: Count,
    version: Version,
  },
  { $id: 'Build' },
);

export const TemplateDetail = Type.Composite([
  Template,
  Type.Object({
    aliases: Type.Array(Type.String()),
    visibility: Type.String({ enum: ['private', 'public'] }),
    versions: Type.Array(Version),
  }),
]);

export const LogQuery = Type.Object(
  {
    from: optional(
      Type.Integer({ minimum: 0, maximum: 1_000_000_000, description: 'The first line that is wanted' }),
    ),
    follow: optional(Type.Boolean({ description: 'New lines as they come, until the build ends' })),
  },
  closed,
);
export const ChangeTemplate = Type.Object(
  { visibility: Type.Unsafe<'private' | 'public'>({ type: 'string', enum: ['private', 'public'] }) },
  closed,
);
export const SetTag = Type.Object(
  {
    version: Type.Integer({
      minimum: 1,
      maximum: 1_000_000_000,
      description: 'Number of a version that is ready',
    }),
  },
  closed,
);
export const RolledBack = Type.Object({ version: Count });
export const Collect = Type.Object({ dryRun: optional(Type.Boolean()) }, closed);
export const Collected = Type.Object({
  versions: Type.Array(Type.String()),
  layers: Count,
  uploads: Count,
  bytes: Count,
});
export const FindMissing = Type.Object({ digests: Type.Array(Sha256, { maxItems: 10_000 }) }, closed);
export const Missing = Type.Object({ missing: Type.Array(Sha256) });
