/** Changes in a directory: as a stream, and gathered for clients that ask for them again and again. */
import { create } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { posix } from 'node:path';
import { EventType, type FilesystemEvent, FilesystemEventSchema } from '../../../schema/e2b/filesystem_pb.js';
import { CasemateError } from '../../base/errors.ts';
import { newId } from '../../base/ids.ts';
import type { FileEvent } from '../../guest/types.ts';
import { type AgentCall, asUser, guestWork } from './call.ts';
import { describe, type Described, guestPath, isFileError, needDirectory } from './paths.ts';
import { entryView } from './views.ts';

/** Gathered watchers: so many, of so many events; one that nobody asks is given up. */
const watchersMax = 1000;
const eventsMax = 10_000;
const unaskedMsMax = 10 * 60_000;

export interface WatchRequest {
  readonly path: string;
  readonly recursive: boolean;
  readonly includeEntry: boolean;
}

export interface Watched {
  readonly call: AgentCall;
  readonly request: WatchRequest;
  /** The absolute path of the directory. */
  readonly root: string;
  readonly events: AsyncIterable<FileEvent>;
}

/** Resolves when the watch stands. @throws CasemateError `file_not_found`, `file_invalid` */
export async function watch(call: AgentCall, request: WatchRequest, signal: AbortSignal): Promise<Watched> {
  const { path, recursive } = request;
  const record = { action: 'file.watch', detail: { path } } as const;
  return call.core.withGuestStream(call.principal, call.sandboxId, record, async (guest) => {
    const as = asUser(call);
    const { path: root } = await needDirectory(guest, path, as);
    const events = await guest.fileWatch({ path: guestPath(path), recursive, ...as }, { signal });
    const ended = new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    return { result: { call, request, root, events }, ended };
  });
}

/** The changes in E2B's form; undefined where nothing happened for `idleMs`. */
export async function* changesOf(
  watched: Watched,
  idleMs: number,
): AsyncGenerator<FilesystemEvent | undefined> {
  const source = watched.events[Symbol.asyncIterator]();
  try {
    let next = source.next();
    for (;;) {
      const step = await within(next, idleMs);
      if (step === undefined) {
        yield undefined;
        continue;
      }
      if (step.done === true) return;
      yield await changeOf(watched, step.value);
      next = source.next();
    }
  } finally {
    void source.return?.()?.catch(() => {}); // it may wait for the guest, which nobody waits for any more
  }
}

async function within<Value>(promise: Promise<Value>, ms: number): Promise<Value | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, ms, undefined);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

const eventTypes = {
  create: EventType.CREATE,
  write: EventType.WRITE,
  remove: EventType.REMOVE,
  rename: EventType.RENAME,
  chmod: EventType.CHMOD,
} as const;

async function changeOf(
  { call, request, root }: Watched,
  { type, path }: FileEvent,
): Promise<FilesystemEvent> {
  if (type === 'overflow') {
    throw new ConnectError('more changed than could be followed; list the directory', Code.DataLoss);
  }
  // Of a rename E2B tells two things: the old name went (RENAME), the new one came (CREATE).
  const found = type === 'rename' || request.includeEntry ? await lookAt(call, path) : undefined;
  const kind = type === 'rename' && found !== undefined ? EventType.CREATE : eventTypes[type];
  const entry =
    request.includeEntry && found !== undefined ? entryView(found.entry, found.target) : undefined;
  const name = posix.relative(root, path);
  return create(FilesystemEventSchema, { name, type: kind, ...(entry === undefined ? {} : { entry }) });
}

async function lookAt(call: AgentCall, path: string): Promise<Described | undefined> {
  try {
    return await guestWork(call, undefined, (guest) => describe(guest, path, asUser(call)));
  } catch (error) {
    if (isFileError(error)) return undefined;
    throw error;
  }
}

interface Watcher {
  readonly sandboxId: string;
  readonly stop: AbortController;
  events: FilesystemEvent[];
  failure: unknown;
  timer: NodeJS.Timeout;
}

/**
 * Watchers between two questions of their clients. A connection that is asked instead of listened to: it ends with the
 * server, with its sandbox, and when nobody asks.
 */
export class Watchers {
  readonly #open = new Map<string, Watcher>();

  async create(call: AgentCall, request: WatchRequest): Promise<string> {
    if (this.#open.size >= watchersMax) {
      throw new ConnectError('too many directories are watched', Code.ResourceExhausted);
    }
    const stop = new AbortController();
    const watched = await watch(call, request, stop.signal);
    const id = newId();
    const timer = setTimeout(() => this.#drop(id), unaskedMsMax);
    const watcher: Watcher = { sandboxId: call.sandboxId, stop, events: [], failure: undefined, timer };
    timer.unref();
    this.#open.set(id, watcher);
    void gather(watched, watcher);
    return id;
  }

  /** What happened since the last time. */
  take(call: AgentCall, id: string): FilesystemEvent[] {
    const watcher = this.#find(call, id);
    watcher.timer.refresh();
    const { events } = watcher;
    watcher.events = [];
    if (events.length === 0 && watcher.failure !== undefined) throw watcher.failure;
    return events;
  }

  remove(call: AgentCall, id: string): void {
    this.#find(call, id);
    this.#drop(id);
  }

  #find(call: AgentCall, id: string): Watcher {
    const watcher = this.#open.get(id);
    if (watcher === undefined || watcher.sandboxId !== call.sandboxId) {
      throw new ConnectError(`watcher with id ${id} not found`, Code.NotFound);
    }
    return watcher;
  }

  #drop(id: string): void {
    const watcher = this.#open.get(id);
    if (watcher === undefined) return;
    this.#open.delete(id);
    clearTimeout(watcher.timer);
    watcher.stop.abort();
  }
}

async function gather(watched: Watched, watcher: Watcher): Promise<void> {
  try {
    for await (const event of changesOf(watched, unaskedMsMax)) {
      if (event === undefined) continue;
      if (watcher.events.length >= eventsMax) {
        throw new ConnectError('more changed than was asked for', Code.DataLoss);
      }
      watcher.events.push(event);
    }
    watcher.failure = new CasemateError('sandbox_ended', 'The sandbox has ended.');
  } catch (error) {
    watcher.failure = error;
    watcher.stop.abort();
  }
}
