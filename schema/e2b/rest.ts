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

const Transform = Type.Object(
  {
    transform: Type.Optional(
      Type.Object(
        {
          headers: Type.Optional(
            Type.Record(Type.String({ maxLength: 64 }), Type.String({ maxLength: 2048 })),
          ),
        },
        closed,
      ),
    ),
  },
  closed,
);
const networkRules = {
  allowOut: Type.Optional(Type.Array(Type.String({ maxLength: 255 }), { maxItems: 128 })),
  denyOut: Type.Optional(Type.Array(Type.String({ maxLength: 64 }), { maxItems: 128 })),
  rules: Type.Optional(
    Type.Record(Type.String({ maxLength: 128 }), Type.Array(Transform, { maxItems: 1 }), {
      maxProperties: 10,
    }),
  ),
  egressProxy: Type.Optional(Type.Unknown()),
};
export const NetworkRules = Type.Object(networkRules, closed);
const InternetAccess = Type.Optional(Type.Union([Type.Boolean(), Type.Null()]));
export const NetworkUpdate = Type.Object({ ...networkRules, allow_internet_access: InternetAccess }, closed);

export const NewSandbox = Type.Object(
  {
    templateID: Type.String({ minLength: 1, maxLength: 128 }),
    timeout: Type.Optional(Seconds),
    metadata: Type.Optional(Metadata),
    envVars: Type.Optional(Environment),
    secure: Type.Optional(Type.Boolean()),
    allow_internet_access: InternetAccess,
    autoPause: Type.Optional(Type.Boolean()),
    autoPauseMemory: Type.Optional(Type.Boolean()),
    autoResume: Type.Optional(Type.Object({ enabled: Type.Optional(Type.Boolean()) }, open)),
    network: Type.Optional(
      Type.Object(
        {
          ...networkRules,
          allowPublicTraffic: Type.Optional(Type.Boolean()),
          maskRequestHost: Type.Optional(Type.String({ maxLength: 255, pattern: '^[\\x21-\\x7e]+$' })),
          httpsPorts: Type.Optional(Type.Array(Type.Integer())),
        },
        closed,
      ),
    ),
    iam: Type.Optional(Type.Unknown()),
    mcp: Type.Optional(Type.Unknown()),
    volumeMounts: Type.Optional(
      Type.Array(
        Type.Object(
          {
            name: Type.String({ minLength: 1, maxLength: 63 }),
            path: Type.String({ pattern: '^/[^\\0]+$', maxLength: 4096 }),
          },
          closed,
        ),
        { maxItems: limits.sandboxVolumesMax },
      ),
    ),
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

export const Pause = Type.Object({ memory: Type.Optional(Type.Boolean()) }, closed);
export const Fork = Type.Object(
  {
    timeout: Type.Optional(Seconds),
    count: Type.Optional(Type.Integer({ minimum: 1, maximum: limits.forkChildrenMax })),
  },
  closed,
);
export const NewSnapshot = Type.Object(
  { name: Type.Optional(Type.String({ pattern: '^[a-z0-9][a-z0-9_-]{0,62}(:default)?$' })) },
  closed,
);
export const SnapshotQuery = Type.Object(
  {
    sandboxID: Type.Optional(Type.String()),
    name: Type.Optional(Type.String()),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100 })),
    nextToken: Type.Optional(Type.String()),
  },
  closed,
);
export const LogQuery = Type.Object(
  {
    start: Type.Optional(Type.Integer()),
    cursor: Type.Optional(Type.Integer()),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000 })),
    direction: Type.Optional(Type.String({ enum: ['forward', 'backward'] })),
    level: Type.Optional(Type.String()),
    search: Type.Optional(Type.String()),
  },
  closed,
);

export const EventQuery = Type.Object(
  {
    offset: Type.Optional(Type.Integer({ minimum: 0, maximum: 10_000 })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100 })),
    orderAsc: Type.Optional(Type.Boolean()),
    types: Type.Optional(Type.Array(Type.String())),
  },
  closed,
);

export const MetricsQuery = Type.Object(
  {
    start: Type.Optional(Type.Integer({ description: 'Seconds since 1970' })),
    end: Type.Optional(Type.Integer({ description: 'Seconds since 1970' })),
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
