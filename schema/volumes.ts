/** Shapes of volumes: what is asked of them, and how a sandbox says which it wants. */
import { type Static, Type } from '@sinclair/typebox';
import { limits } from '../src/base/limits.ts';

const closed = { additionalProperties: false } as const;
const VolumeTitle = Type.String({
  pattern: '^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$',
  description: 'Name of a volume, unique in its tenant',
});
export const VolumeName = Type.String({
  pattern: '^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$',
  description: 'Id or name',
});
const Labels = Type.Record(
  Type.String({ pattern: '^[\\x21-\\x7e]{1,128}$' }),
  Type.String({ maxLength: 1024 }),
  { ...closed, maxProperties: limits.metadataEntriesMax },
);

/** A volume in a sandbox. */
export const VolumeMount = Type.Object(
  {
    volume: VolumeName,
    path: Type.String({
      pattern: '^/[^\\0]+$',
      maxLength: 4096,
      description: 'Where it appears inside; absolute',
    }),
    readOnly: Type.Optional(Type.Boolean({ description: 'false by default' })),
    subpath: Type.Optional(
      Type.String({
        pattern: '^[^\\0]+$',
        maxLength: 4096,
        description: 'The folder of the volume that is seen; made where it is missing and not read-only',
      }),
    ),
  },
  { ...closed, $id: 'VolumeMount' },
);
export const VolumeMounts = Type.Array(VolumeMount, { maxItems: limits.sandboxVolumesMax });

/** What a sandbox has, and what those have that start from its snapshot. */
export const SandboxVolumes = Type.Array(
  Type.Object({
    volumeId: Type.String(),
    name: Type.String(),
    path: Type.String(),
    readOnly: Type.Boolean(),
    subpath: Type.Optional(Type.String()),
  }),
);

export const CreateVolume = Type.Object(
  {
    name: VolumeTitle,
    quotaMib: Type.Optional(
      Type.Integer({
        minimum: limits.volumeMibMin,
        maximum: 16_777_216,
        description: 'Size of its file system, MiB',
      }),
    ),
    quotaInodes: Type.Optional(
      Type.Integer({ minimum: 1024, maximum: 2 ** 31, description: 'Files and folders' }),
    ),
    from: Type.Optional(
      Type.String({
        pattern: '^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$',
        description: 'Start as a copy of this volume (id or name) as it is now; it has the same quotas',
      }),
    ),
    readOnly: Type.Optional(Type.Boolean({ description: 'Nobody writes to it: a snapshot, with from' })),
    labels: Type.Optional(Labels),
  },
  { ...closed, $id: 'CreateVolume' },
);

const Count = Type.Integer({ minimum: 0 });
export const Volume = Type.Object(
  {
    id: Type.String(),
    name: Type.String(),
    state: Type.String({ enum: ['creating', 'ready', 'archiving', 'restoring', 'removing'] }),
    quotaMib: Count,
    quotaInodes: Count,
    readOnly: Type.Boolean(),
    fromId: Type.Optional(Type.String({ description: 'The volume that it was copied from' })),
    labels: Type.Record(Type.String(), Type.String()),
    createdAt: Type.String({ description: 'ISO 8601, UTC' }),
    allocatedBytes: Type.Optional(Type.Integer({ description: 'What it takes of the host’s disk' })),
    usedBytes: Type.Optional(Type.Integer({ description: 'Of its quota; known while it is mounted' })),
    usedInodes: Type.Optional(Count),
    sandboxes: Type.Array(Type.String(), { description: 'Ids of those that have it, paused ones too' }),
  },
  { $id: 'Volume' },
);
export const VolumeList = Type.Object({ items: Type.Array(Volume) });

export type VolumeMount = Static<typeof VolumeMount>;
export type CreateVolume = Static<typeof CreateVolume>;
