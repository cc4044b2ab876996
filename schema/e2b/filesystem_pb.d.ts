/** Generated from schema/e2b/filesystem.proto by `npm run generate`: the messages and the service. */
import type { GenEnum, GenFile, GenMessage, GenService } from "@bufbuild/protobuf/codegenv2";
import type { Message } from "@bufbuild/protobuf";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
export declare const file_filesystem: GenFile;
export declare type EntryInfo = Message<"filesystem.EntryInfo"> & {
  name: string;
  type: FileType;
  path: string;
  size: bigint;
  mode: number;
  permissions: string;
  owner: string;
  group: string;
  modifiedTime?: Timestamp | undefined;
  symlinkTarget?: string | undefined;
  metadata: { [key: string]: string };
};
export declare const EntryInfoSchema: GenMessage<EntryInfo>;
export declare type FilesystemEvent = Message<"filesystem.FilesystemEvent"> & {
  name: string;
  type: EventType;
  entry?: EntryInfo | undefined;
};
export declare const FilesystemEventSchema: GenMessage<FilesystemEvent>;
export declare type StatRequest = Message<"filesystem.StatRequest"> & {
  path: string;
};
export declare const StatRequestSchema: GenMessage<StatRequest>;
export declare type StatResponse = Message<"filesystem.StatResponse"> & {
  entry?: EntryInfo | undefined;
};
export declare const StatResponseSchema: GenMessage<StatResponse>;
export declare type MakeDirRequest = Message<"filesystem.MakeDirRequest"> & {
  path: string;
};
export declare const MakeDirRequestSchema: GenMessage<MakeDirRequest>;
export declare type MakeDirResponse = Message<"filesystem.MakeDirResponse"> & {
  entry?: EntryInfo | undefined;
};
export declare const MakeDirResponseSchema: GenMessage<MakeDirResponse>;
export declare type MoveRequest = Message<"filesystem.MoveRequest"> & {
  source: string;
  destination: string;
};
export declare const MoveRequestSchema: GenMessage<MoveRequest>;
export declare type MoveResponse = Message<"filesystem.MoveResponse"> & {
  entry?: EntryInfo | undefined;
};
export declare const MoveResponseSchema: GenMessage<MoveResponse>;
export declare type ListDirRequest = Message<"filesystem.ListDirRequest"> & {
  path: string;
  depth: number;
};
export declare const ListDirRequestSchema: GenMessage<ListDirRequest>;
export declare type ListDirResponse = Message<"filesystem.ListDirResponse"> & {
  entries: EntryInfo[];
};
export declare const ListDirResponseSchema: GenMessage<ListDirResponse>;
export declare type RemoveRequest = Message<"filesystem.RemoveRequest"> & {
  path: string;
};
export declare const RemoveRequestSchema: GenMessage<RemoveRequest>;
export declare type RemoveResponse = Message<"filesystem.RemoveResponse"> & {
};
export declare const RemoveResponseSchema: GenMessage<RemoveResponse>;
export declare type WatchDirRequest = Message<"filesystem.WatchDirRequest"> & {
  path: string;
  recursive: boolean;
  includeEntry: boolean;
  allowNetworkMounts: boolean;
};
export declare const WatchDirRequestSchema: GenMessage<WatchDirRequest>;
export declare type WatchDirResponse = Message<"filesystem.WatchDirResponse"> & {
  event: {
    value: WatchDirResponse_StartEvent;
    case: "start";
  } | {
    value: FilesystemEvent;
    case: "filesystem";
  } | {
    value: WatchDirResponse_KeepAlive;
    case: "keepalive";
  } | { case: undefined; value?: undefined };
};
export declare const WatchDirResponseSchema: GenMessage<WatchDirResponse>;
export declare type WatchDirResponse_StartEvent = Message<"filesystem.WatchDirResponse.StartEvent"> & {
};
export declare const WatchDirResponse_StartEventSchema: GenMessage<WatchDirResponse_StartEvent>;
export declare type WatchDirResponse_KeepAlive = Message<"filesystem.WatchDirResponse.KeepAlive"> & {
};
export declare const WatchDirResponse_KeepAliveSchema: GenMessage<WatchDirResponse_KeepAlive>;
export declare type CreateWatcherRequest = Message<"filesystem.CreateWatcherRequest"> & {
  path: string;
  recursive: boolean;
  includeEntry: boolean;
  allowNetworkMounts: boolean;
};
export declare const CreateWatcherRequestSchema: GenMessage<CreateWatcherRequest>;
export declare type CreateWatcherResponse = Message<"filesystem.CreateWatcherResponse"> & {
  watcherId: string;
};
export declare const CreateWatcherResponseSchema: GenMessage<CreateWatcherResponse>;
export declare type GetWatcherEventsRequest = Message<"filesystem.GetWatcherEventsRequest"> & {
  watcherId: string;
};
export declare const GetWatcherEventsRequestSchema: GenMessage<GetWatcherEventsRequest>;
export declare type GetWatcherEventsResponse = Message<"filesystem.GetWatcherEventsResponse"> & {
  events: FilesystemEvent[];
};
export declare const GetWatcherEventsResponseSchema: GenMessage<GetWatcherEventsResponse>;
export declare type RemoveWatcherRequest = Message<"filesystem.RemoveWatcherRequest"> & {
  watcherId: string;
};
export declare const RemoveWatcherRequestSchema: GenMessage<RemoveWatcherRequest>;
export declare type RemoveWatcherResponse = Message<"filesystem.RemoveWatcherResponse"> & {
};
export declare const RemoveWatcherResponseSchema: GenMessage<RemoveWatcherResponse>;
export enum FileType {
  UNSPECIFIED = 0,
  FILE = 1,
  DIRECTORY = 2,
  SYMLINK = 3,
}
export declare const FileTypeSchema: GenEnum<FileType>;
export enum EventType {
  UNSPECIFIED = 0,
  CREATE = 1,
  WRITE = 2,
  REMOVE = 3,
  RENAME = 4,
  CHMOD = 5,
}
export declare const EventTypeSchema: GenEnum<EventType>;
export declare const Filesystem: GenService<{
  stat: {
    methodKind: "unary";
    input: typeof StatRequestSchema;
    output: typeof StatResponseSchema;
  },
  makeDir: {
    methodKind: "unary";
    input: typeof MakeDirRequestSchema;
    output: typeof MakeDirResponseSchema;
  },
  move: {
    methodKind: "unary";
    input: typeof MoveRequestSchema;
    output: typeof MoveResponseSchema;
  },
  listDir: {
    methodKind: "unary";
    input: typeof ListDirRequestSchema;
    output: typeof ListDirResponseSchema;
  },
  remove: {
    methodKind: "unary";
    input: typeof RemoveRequestSchema;
    output: typeof RemoveResponseSchema;
  },
  watchDir: {
    methodKind: "server_streaming";
    input: typeof WatchDirRequestSchema;
    output: typeof WatchDirResponseSchema;
  },
  createWatcher: {
    methodKind: "unary";
    input: typeof CreateWatcherRequestSchema;
    output: typeof CreateWatcherResponseSchema;
  },
  getWatcherEvents: {
    methodKind: "unary";
    input: typeof GetWatcherEventsRequestSchema;
    output: typeof GetWatcherEventsResponseSchema;
  },
  removeWatcher: {
    methodKind: "unary";
    input: typeof RemoveWatcherRequestSchema;
    output: typeof RemoveWatcherResponseSchema;
  },
}>;
