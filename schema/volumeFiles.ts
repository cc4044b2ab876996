/** Shapes of the calls for files of a volume without a sandbox. */
import { type Static, Type } from '@sinclair/typebox';

const closed = { additionalProperties: false } as const;
const text = { minLength: 1, maxLength: 4096, pattern: '^[^\\0]+$' };
const Path = Type.String({
  ...text,
  description: 'Below the root of the volume, with or without a slash in front; no symlink is followed',
});
const Id = Type.Integer({ minimum: 0, maximum: 16_777_215 });
const Mode = Type.Integer({ minimum: 0, maximum: 0o7777 });
const owner = {
  mode: Type.Optional(Mode),
  uid: Type.Optional(Id),
  gid: Type.Optional(Id),
};
const parents = Type.Optional(Type.Boolean({ description: 'Make missing folders above it' }));

export const VolumeFileQuery = Type.Object({ path: Path }, closed);
export const VolumeFileWriteQuery = Type.Object({ path: Path, parents, ...owner }, closed);
export const VolumeFileRemoveQuery = Type.Object(
  { path: Path, recursive: Type.Optional(Type.Boolean()) },
  closed,
);
export const VolumeFileListQuery = Type.Object(
  { path: Path, depth: Type.Optional(Type.Integer({ minimum: 1, maximum: 32 })) },
  closed,
);
export const VolumeMakeDirectory = Type.Object({ path: Path, parents, ...owner }, closed);
export const VolumeMoveFile = Type.Object({ from: Path, to: Path }, closed);
export const VolumeChangeFile = Type.Object({ path: Path, ...owner }, closed);
export const VolumeArchiveQuery = Type.Object({ path: Type.Optional(Path) }, closed);
export const VolumeExtractQuery = Type.Object(
  { path: Type.Optional(Path), uid: Type.Optional(Id), gid: Type.Optional(Id) },
  closed,
);
export const VolumeExtracted = Type.Object({
  entries: Type.Integer({ minimum: 0 }),
  bytes: Type.Integer({ minimum: 0 }),
});

export type VolumeFileWriteQuery = Static<typeof VolumeFileWriteQuery>;
export type VolumeChangeFile = Static<typeof VolumeChangeFile>;
