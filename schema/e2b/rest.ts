/** Requests of E2B's control plane as its clients send them; what is not named here is refused, not ignored. */
import { Type } from '@sinclair/typebox';
import { limits } from '../../src/base/limits.ts';

const closed = { additionalProperties: false };
const open = { additionalProperties: true };
const Metadata = Type.Record(Type.String({ pattern: '^.{1,128}$' }), Type.String({ maxLength: 1024 }), {
  ...closed,
  maxProperties: limits.metadataEntriesMax,
});
const Environment = Type.Record(
  Type.String({ pattern: '^[^=\\0]{1,128}$' }),
  Type.String({ pattern: '^[^\\0]*$', maxLength: 131_072 }),
  { ...closed, maxProperties: limits.envEntriesMax },
);
const Seconds = Type.Integer({ minimum: 1, maximum: 365 * 24 * 3600 });

export const NewSandbox = Type.Object(
  {
    templateID: Type.String({ minLength: 1, maxLength: 128 }),
    timeout: Type.Optional(Seconds),
    metadata: Type.Optional(Metadata),
    envVars: Type.Optional(Environment),
    secure: Type.Optional(Type.Boolean()),
    allow_internet_access: Type.Optional(Type.Union([Type.Boolean(), Type.Null()])),
    autoPause: Type.Optional(Type.Boolean()),
    autoPauseMemory: Type.Optional(Type.Boolean()),
    autoResume: Type.Optional(Type.Object({ enabled: Type.Optional(Type.Boolean()) }, open)),
    network: Type.Optional(
      Type.Object(
        {
          allowOut: Type.Optional(Type.Array(Type.String())),
          denyOut: Type.Optional(Type.Array(Type.String())),
          rules: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
          egressProxy: Type.Optional(Type.Unknown()),
          allowPublicTraffic: Type.Optional(Type.Boolean()),
          maskRequestHost: Type.Optional(Type.String({ maxLength: 255, pattern: '^[\\x21-\\x7e]+$' })),
          httpsPorts: Type.Optional(Type.Array(Type.Integer())),
        },
        closed,
      ),
    ),
    iam: Type.Optional(Type.Unknown()),
    mcp: Type.Optional(Type.Unknown()),
    volumeMounts: Type.Optional(Type.Array(Type.Unknown())),
  },
  closed,
);

export const Timeout = Type.Object({ timeout: Seconds }, closed);
export const Refresh = Type.Object({ duration: Type.Optional(Seconds) }, closed);
export const Connect = Type.Object(
  {
    timeout: Type.Optional(Seconds),
    memory: Type.Optional(Type.Boolean()),
    autoPause: Type.Optional(Type.Boolean()),
  },
  closed,
);

export const ListQuery = Type.Object(
  {
    metadata: Type.Optional(Type.String()),
    state: Type.Optional(Type.Array(Type.String())),
    startedAfter: Type.Optional(Type.String()),
    template: Type.Optional(Type.String()),
    order: Type.Optional(Type.String({ enum: ['asc', 'desc'] })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100 })),
    nextToken: Type.Optional(Type.String()),
  },
  closed,
);
