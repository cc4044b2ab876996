/** E2B's filesystem service: what lies where, and following changes, as a stream or by asking again and again. */
import { create } from '@bufbuild/protobuf';
import { Code, ConnectError, type HandlerContext, type ServiceImpl } from '@connectrpc/connect';
import { posix } from 'node:path';
import {
  CreateWatcherResponseSchema,
  type EntryInfo,
  type Filesystem,
  GetWatcherEventsResponseSchema,
  ListDirResponseSchema,
  MakeDirResponseSchema,
  MoveResponseSchema,
  RemoveResponseSchema,
  RemoveWatcherResponseSchema,
  StatResponseSchema,
  WatchDirResponseSchema,
} from '../../../schema/e2b/filesystem_pb.js';
import { CasemateError } from '../../base/errors.ts';
import type { GuestClient } from '../../guest/client.ts';
import type { FileEntry } from '../../guest/types.ts';
import { type AgentCall, type AsUser, callOf, guestWork, handOver, withRootsHelp } from './call.ts';
import { connectErrorOf } from './errors.ts';
import { describe, followed, guestPath, isMissing, needDirectory } from './paths.ts';
import { keepaliveMs } from './processService.ts';
import { entryView } from './views.ts';
import { changesOf, watch, type Watchers } from './watchers.ts';

/** The guest goes no deeper. */
const depthMax = 32;

export function filesystemService(watchers: Watchers): ServiceImpl<typeof Filesystem> {
  return {
    async stat({ path }, context) {
      return create(StatResponseSchema, { entry: await guarded(context, (call) => stat(call, path)) });
    },
    async makeDir({ path }, context) {
      return create(MakeDirResponseSchema, { entry: await guarded(context, (call) => makeDir(call, path)) });
    },
    async move({ source, destination }, context) {
      const entry = await guarded(context, (call) => move(call, source, destination));
      return create(MoveResponseSchema, { entry });
    },
    async listDir({ path, depth }, context) {
      const entries = await guarded(context, (call) => listDir(call, path, depth));
      return create(ListDirResponseSchema, { entries });
    },
    async remove({ path }, context) {
      await guarded(context, (call) => remove(call, path));
      return create(RemoveResponseSchema);
    },
    async *watchDir(request, context) {
      const watched = await guarded(context, (call) => watch(call, request, context.signal));
      yield create(WatchDirResponseSchema, { event: { case: 'start', value: {} } });
      try {
        for await (const value of changesOf(watched, keepaliveMs(context.requestHeader))) {
          yield create(WatchDirResponseSchema, {
            event: value === undefined ? { case: 'keepalive', value: {} } : { case: 'filesystem', value },
          });
        }
      } catch (error) {
        context.signal.throwIfAborted();
        throw connectErrorOf(error);
      }
      context.signal.throwIfAborted();
    },
    async createWatcher(request, context) {
      const watcherId = await guarded(context, (call) => watchers.create(call, request));
      return create(CreateWatcherResponseSchema, { watcherId });
    },
    async getWatcherEvents({ watcherId }, context) {
      const events = await guarded(context, async (call) => watchers.take(call, watcherId));
      return create(GetWatcherEventsResponseSchema, { events });
    },
    async removeWatcher({ watcherId }, context) {
      await guarded(context, async (call) => watchers.remove(call, watcherId));
      return create(RemoveWatcherResponseSchema);
    },
  };
}

async function guarded<Result>(
  context: HandlerContext,
  work: (call: AgentCall) => Promise<Result>,
): Promise<Result> {
  try {
    return await work(callOf(context));
  } catch (error) {
    throw connectErrorOf(error);
  }
}

/** Does work on files with the user's rights, and root's where they do not reach. */
async function onFiles<Result>(
  call: AgentCall,
  action: 'file.stat' | 'file.mkdir' | 'file.move' | 'file.list' | 'file.remove',
  path: string,
  work: (guest: GuestClient, as: AsUser) => Promise<Result>,
): Promise<{ result: Result; asRoot: boolean }> {
  return guestWork(call, { action, detail: { path } }, (guest) =>
    withRootsHelp(call, (as) => work(guest, as)),
  );
}

async function stat(call: AgentCall, path: string): Promise<EntryInfo> {
  const { result } = await onFiles(call, 'file.stat', path, (guest, as) => describe(guest, path, as));
  return entryView(result.entry, result.target);
}

async function makeDir(call: AgentCall, path: string): Promise<EntryInfo> {
  const { result, asRoot } = await onFiles(call, 'file.mkdir', path, async (guest, as) => {
    await needNothing(guest, path, as);
    return guest.fileMkdir({ path: guestPath(path), parents: true, ...as });
  });
  if (!asRoot) return entryView(result);
  await handOver(call, result.path);
  return stat(call, path);
}

/** A directory that is there is told from a file that is there. */
async function needNothing(guest: GuestClient, path: string, as: AsUser): Promise<void> {
  let there: FileEntry;
  try {
    const { entry, target } = await describe(guest, path, as);
    there = target ?? entry;
  } catch (error) {
    if (isMissing(error)) return;
    throw error;
  }
  if (there.type === 'directory') {
    throw new ConnectError(`directory already exists: ${there.path}`, Code.AlreadyExists);
  }
  throw new ConnectError(
    `path already exists but it is not a directory: ${there.path}`,
    Code.InvalidArgument,
  );
}

async function move(call: AgentCall, source: string, destination: string): Promise<EntryInfo> {
  const { result } = await onFiles(call, 'file.move', source, async (guest, as) => {
    await guest.fileStat(guestPath(source), as);
    const to = guestPath(destination);
    await guest.fileMkdir({ path: posix.dirname(to), parents: true, ...as });
    return followed(guest, await guest.fileMove({ from: guestPath(source), to, ...as }), as);
  });
  return entryView(result.entry, result.target);
}

async function listDir(call: AgentCall, path: string, depth: number): Promise<EntryInfo[]> {
  const { result } = await onFiles(call, 'file.list', path, async (guest, as) => {
    await needDirectory(guest, path, as);
    const listed = await guest.fileList(guestPath(path), {
      depth: Math.min(depthMax, Math.max(1, depth)),
      ...as,
    });
    if (listed.truncated) {
      throw new ConnectError('the directory has too many entries to list at once', Code.OutOfRange);
    }
    const entries: EntryInfo[] = [];
    for (const entry of listed.entries) {
      const { target } = entry.type === 'symlink' ? await followed(guest, entry, as) : {};
      entries.push(entryView(entry, target));
    }
    return entries;
  });
  return result;
}

/** What is not there counts as removed. */
async function remove(call: AgentCall, path: string): Promise<void> {
  await onFiles(call, 'file.remove', path, async (guest, as) => {
    try {
      await guest.fileRemove({ path: guestPath(path), recursive: true, ...as });
    } catch (error) {
      if (!(error instanceof CasemateError) || !isMissing(error)) throw error;
    }
  });
}
