/** Requests of E2B's control plane about what outlives sandboxes: secrets and volumes. */
import { Type } from '@sinclair/typebox';
import { limits } from '../../src/base/limits.ts';

const closed = { additionalProperties: false };
const Metadata = Type.Union([
  Type.Record(Type.String({ pattern: '^.{1,128}$' }), Type.String({ maxLength: 1024 }), {
    ...closed,
    maxProperties: limits.metadataEntriesMax,
  }),
  Type.Null(),
]);
const Value = Type.String({ pattern: '^[^\\0]+$', maxLength: limits.secretValueBytesMax });

/** Names that a placeholder in a header can have. */
export const NewSecret = Type.Object(
  {
    name: Type.String({ pattern: '^[A-Za-z0-9_-]{1,63}$' }),
    value: Value,
    metadata: Type.Optional(Metadata),
  },
  closed,
);
export const SecretVersion = Type.Object({ value: Value, metadata: Type.Optional(Metadata) }, closed);
export const StoreQuery = Type.Object(
  {
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: limits.pageItemsMax })),
    nextToken: Type.Optional(Type.String({ maxLength: 512 })),
  },
  closed,
);

export const NewVolume = Type.Object(
  { name: Type.String({ pattern: '^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$' }) },
  closed,
);
const volumePath = { path: Type.String({ pattern: '^[^\\0]+$', maxLength: 4096 }) };
const owner = {
  uid: Type.Optional(Type.Integer({ minimum: 0, maximum: 16_777_215 })),
  gid: Type.Optional(Type.Integer({ minimum: 0, maximum: 16_777_215 })),
  mode: Type.Optional(Type.Integer({ minimum: 0, maximum: 0o7777 })),
};
export const VolumeOwner = Type.Object(owner, closed);
export const VolumePath = Type.Object(volumePath, closed);
export const VolumeMake = Type.Object(
  { ...volumePath, ...owner, force: Type.Optional(Type.Boolean()) },
  closed,
);
export const VolumeList = Type.Object(
  { ...volumePath, depth: Type.Optional(Type.Integer({ minimum: 1, maximum: 32 })) },
  closed,
);
