/** The two parts of a volume's backup that are not files: what stands before them, and the block behind them. */
import { type Static, Type } from '@sinclair/typebox';
import { limits } from '../src/base/limits.ts';
import { CreateVolume } from './volumes.ts';

const closed = { additionalProperties: false } as const;
const Count = Type.Integer({ minimum: 0 });
const Id = Type.Integer({ minimum: 0, maximum: 16_777_215 });

/** A comment in the archive's global header, as JSON. */
export const BackupManifest = Type.Object(
  {
    casemateVolumeBackup: Type.Literal(1, { description: 'Version of the format' }),
    volume: Type.String(),
    takenAt: Type.String(),
    quotaMib: Type.Integer({ minimum: limits.volumeMibMin, maximum: 16_777_216 }),
    quotaInodes: Type.Integer({ minimum: 1024, maximum: 2 ** 31 }),
    labels: CreateVolume.properties.labels,
    root: Type.Object(
      { mode: Type.Integer({ minimum: 0, maximum: 0o7777 }), uid: Id, gid: Id },
      { ...closed, description: 'Who owns the volume’s own folder' },
    ),
  },
  closed,
);

/** JSON in the last block, which stands behind the archive's end. `sha256` is of every byte before this block. */
export const BackupEnd = Type.Union([
  Type.Object({ sha256: Type.String({ pattern: '^[0-9a-f]{64}$' }), entries: Count, bytes: Count }, closed),
  Type.Object(
    { error: Type.Object({ code: Type.String(), message: Type.String() }, closed) },
    { ...closed, description: 'It could not be made whole' },
  ),
]);

export const RestoreVolumeParams = { volume: CreateVolume.properties.name };

export type BackupManifest = Static<typeof BackupManifest>;
export type BackupEnd = Static<typeof BackupEnd>;
