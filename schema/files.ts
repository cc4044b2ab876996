/** Schemas of files inside a sandbox. */
import { type Static, Type } from '@sinclair/typebox';
import { FileModeSchema, PathSchema, strictObject, TimeSchema, UserSchema } from './common.ts';

export const FileQuerySchema = strictObject({ path: PathSchema, user: Type.Optional(UserSchema) });

export const WriteFileQuerySchema = strictObject({
  path: PathSchema,
  user: Type.Optional(UserSchema),
  mode: Type.Optional(FileModeSchema),
  append: Type.Optional(
    Type.Boolean({ description: 'Adds to the file; otherwise it is replaced when all bytes are there.' }),
  ),
  parents: Type.Optional(Type.Boolean({ description: 'Makes missing folders.' })),
});

export const RemoveFileQuerySchema = strictObject({
  path: PathSchema,
  user: Type.Optional(UserSchema),
  recursive: Type.Optional(Type.Boolean({ description: 'Removes a folder with all that is in it.' })),
});

export const ListFilesQuerySchema = strictObject({
  path: PathSchema,
  user: Type.Optional(UserSchema),
  depth: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 32, description: 'Levels of folders; 1 by default.' }),
  ),
});

export const WatchFilesQuerySchema = strictObject({
  path: PathSchema,
  user: Type.Optional(UserSchema),
  recursive: Type.Optional(Type.Boolean({ description: 'Watches folders below too.' })),
});

export const MakeDirectorySchema = strictObject(
  {
    path: PathSchema,
    mode: Type.Optional(FileModeSchema),
    parents: Type.Optional(
      Type.Boolean({ description: 'Makes missing folders, and is content with an existing one.' }),
    ),
    user: Type.Optional(UserSchema),
  },
  { $id: 'MakeDirectory' },
);

export const MoveFileSchema = strictObject(
  { from: PathSchema, to: PathSchema, user: Type.Optional(UserSchema) },
  { $id: 'MoveFile' },
);

export const FileEntrySchema = strictObject(
  {
    path: Type.String(),
    name: Type.String(),
    type: Type.Union([
      Type.Literal('file'),
      Type.Literal('directory'),
      Type.Literal('symlink'),
      Type.Literal('other'),
    ]),
    size: Type.Integer({ minimum: 0, description: 'Bytes.' }),
    mode: Type.Integer({ minimum: 0, description: 'Permission bits as a decimal number.' }),
    uid: Type.Integer({ minimum: 0 }),
    gid: Type.Integer({ minimum: 0 }),
    user: Type.Optional(Type.String()),
    group: Type.Optional(Type.String()),
    modifiedAt: TimeSchema,
    target: Type.Optional(Type.String({ description: 'Where a symlink points.' })),
  },
  { $id: 'FileEntry' },
);

export const FileListSchema = strictObject(
  {
    entries: Type.Array(FileEntrySchema),
    truncated: Type.Boolean({ description: 'True where more than 10,000 entries were found.' }),
  },
  { $id: 'FileList' },
);

export const FileWrittenSchema = strictObject(
  { path: Type.String(), size: Type.Integer({ minimum: 0, description: 'Bytes of the file now.' }) },
  { $id: 'FileWritten' },
);

/** One line of a watch. */
export const FileEventSchema = Type.Union(
  [
    strictObject({ type: Type.Literal('ready') }),
    strictObject({
      type: Type.Union([
        Type.Literal('create'),
        Type.Literal('write'),
        Type.Literal('remove'),
        Type.Literal('rename'),
        Type.Literal('chmod'),
        Type.Literal('overflow'),
      ]),
      path: Type.String(),
    }),
  ],
  { $id: 'FileEvent' },
);

export type FileEntry = Static<typeof FileEntrySchema>;
export type FileList = Static<typeof FileListSchema>;
export type FileWritten = Static<typeof FileWrittenSchema>;
export type FileEvent = Static<typeof FileEventSchema>;
