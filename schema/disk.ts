/** Shapes of what takes up the host's disk. */
import { Type } from '@sinclair/typebox';

const closed = { additionalProperties: false } as const;
const Bytes = Type.Integer({ minimum: 0 });

export const DiskEntry = Type.Object(
  {
    kind: Type.String({
      enum: [
        ...['sandbox', 'snapshot', 'volume', 'layer', 'cache', 'machine'],
        ...['upload', 'template', 'database'],
      ],
    }),
    id: Type.String(),
    name: Type.Optional(Type.String()),
    tenantIds: Type.Array(Type.String(), {
      description: 'Several where a layer is shared; none of what is the host’s own or nobody’s',
    }),
    bytes: Bytes,
    ownerless: Type.Boolean({ description: 'Nothing in the database names it' }),
  },
  { $id: 'DiskEntry' },
);
export const DiskReport = Type.Object(
  {
    host: Type.Optional(
      Type.Object(
        {
          totalBytes: Bytes,
          freeBytes: Bytes,
          reservedBytes: Type.Integer({
            description: 'With less than this left nothing is started, taken in or built',
          }),
        },
        { description: 'For administrators' },
      ),
    ),
    tenants: Type.Array(Type.Object({ tenantId: Type.String(), bytes: Bytes }), {
      description: 'A layer that several share counts for each of them',
    }),
    entries: Type.Array(DiskEntry, { description: 'The biggest first' }),
  },
  { $id: 'DiskReport' },
);
export const CleanDisk = Type.Object(
  { dryRun: Type.Optional(Type.Boolean({ description: 'Only say what would go' })) },
  closed,
);
export const CleanedDisk = Type.Object({ entries: Type.Array(DiskEntry), bytes: Bytes });
