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
