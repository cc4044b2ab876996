/** Routes of files; all file work happens inside the sandbox, with its user's rights. */
import type { Static, TSchema } from '@sinclair/typebox';
import { Readable } from 'node:stream';
import * as api from '../../../schema/api.ts';
import { CasemateError } from '../../base/errors.ts';
import type { FileContent } from '../../guest/calls.ts';
import type { FileEntry, FileEvent } from '../../guest/types.ts';
import type { Call, Route } from './route.ts';
import { idOf } from './sandboxRoutes.ts';
import { fileView } from './views.ts';

const sandboxParams = { sandboxId: api.SandboxId };
const filesPath = '/v1/sandboxes/{sandboxId}/files';

/** `bytes=a-b`, `bytes=a-`; other forms (suffixes, several ranges) are refused. */
export function rangeOf(header: string | undefined): { offset: number; length?: number } | undefined {
  if (header === undefined) return undefined;
  const match = /^bytes=(\d{1,15})-(\d{1,15})?$/.exec(header);
  const [offset, last] = [Number(match?.[1]), match?.[2]];
  if (match === null || (last !== undefined && Number(last) < offset)) {
    throw new CasemateError(
      'range_not_satisfiable',
      'Only one range is served, in the form bytes=first-last.',
    );
  }
  return { offset, ...(last === undefined ? {} : { length: Number(last) - offset + 1 }) };
}

async function readFile(call: Call): Promise<unknown> {
  const query = call.query as Static<typeof api.FileQuery>;
  const range = rangeOf(call.request.headers.range);
  const record = { action: 'file.read', detail: { path: query.path } } as const;
  const content = await call.core.withGuestStream(call.principal, idOf(call), record, async (guest) => {
    const file = await guest.fileRead({ ...query, ...range }, { signal: call.signal });
    const ended = new Promise((resolve) => file.body.once('close', resolve));
    return { result: file, ended };
  });
  return sendContent(call, range, content);
}

/** Answers with a file, or with the range of it that was asked for. */
export function sendContent(
  call: Call,
  range: { readonly offset: number } | undefined,
  { size, offset, length, body }: FileContent,
): Readable {
  call.reply.type('application/octet-stream').header('accept-ranges', 'bytes');
  if (range !== undefined) {
    if (range.offset >= size && size > 0) {
      body.destroy();
      throw new CasemateError('range_not_satisfiable', `The file has ${size} bytes.`);
    }
    call.reply.code(206).header('content-range', `bytes ${offset}-${offset + length - 1}/${size}`);
  }
  // A /proc file says 0 and has content: then the length is left open.
  if (size > 0) call.reply.header('content-length', length);
  return body;
}

async function writeFile(call: Call): Promise<unknown> {
  const query = call.query as Static<typeof api.FileWriteQuery>;
  const source = call.body instanceof Readable ? call.body : Readable.from([]);
  const record = { action: 'file.write', detail: { path: query.path } } as const;
  const { size } = await call.core.withGuest(call.principal, idOf(call), record, (guest) =>
    guest.fileWrite(query, source, { signal: call.signal }),
  );
  return { path: query.path, size };
}

async function watchFiles(call: Call): Promise<unknown> {
  const { path, user, recursive } = call.query as Static<typeof api.FileRemoveQuery>;
  const record = { action: 'file.watch', detail: { path } } as const;
  const lines = await call.core.withGuestStream(call.principal, idOf(call), record, async (guest) => {
    const params = { path, recursive: recursive ?? false, ...(user === undefined ? {} : { user }) };
    const events = await guest.fileWatch(params, { signal: call.signal });
    const body = Readable.from(linesOf(events), { objectMode: false });
    return { result: body, ended: new Promise((resolve) => body.once('close', resolve)) };
  });
  call.reply.type('application/x-ndjson');
  return lines;
}

async function* linesOf(events: AsyncIterable<FileEvent>): AsyncGenerator<string> {
  yield '{"type":"ready"}\n';
  try {
    for await (const event of events) yield `${JSON.stringify(event)}\n`;
  } catch (thrown) {
    const error = CasemateError.from(thrown);
    if (error.code !== 'canceled') yield `${JSON.stringify({ type: 'error', ...error.toBody() })}\n`;
  }
}

/** A route that changes a file and answers with what it is then. */
export function entryRoute<Body extends TSchema>({
  change,
  ...route
}: Pick<Route, 'path' | 'summary' | 'params'> & {
  readonly body: Body;
  readonly change: (call: Call, body: Static<Body>) => Promise<FileEntry>;
}): Route {
  return {
    ...route,
    method: 'POST',
    status: 200,
    answer: api.FileEntry,
    handle: async (call) => fileView(await change(call, call.body as Static<Body>)),
  };
}

export const fileRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: filesPath,
    summary: 'Read a file, or a range of it, as a stream',
    params: sandboxParams,
    query: api.FileQuery,
    headers: { Range: { description: 'bytes=first-last' } },
    status: 200,
    answer: 'application/octet-stream',
    handle: readFile,
  },
  {
    method: 'PUT',
    path: filesPath,
    summary: 'Write a file from a stream; half an upload leaves the old file',
    params: sandboxParams,
    query: api.FileWriteQuery,
    body: 'bytes',
    status: 200,
    answer: api.FileWritten,
    handle: writeFile,
  },
  {
    method: 'DELETE',
    path: filesPath,
    summary: 'Remove a file or a directory',
    params: sandboxParams,
    query: api.FileRemoveQuery,
    status: 204,
    handle: (call) => {
      const query = call.query as Static<typeof api.FileRemoveQuery>;
      const record = { action: 'file.remove', detail: { path: query.path } } as const;
      return call.core.withGuest(call.principal, idOf(call), record, (guest) => guest.fileRemove(query));
    },
  },
  {
    method: 'GET',
    path: `${filesPath}/stat`,
    summary: 'Describe a file',
    params: sandboxParams,
    query: api.FileQuery,
    status: 200,
    answer: api.FileEntry,
    handle: async (call) => {
      const { path, ...options } = call.query as Static<typeof api.FileQuery>;
      const record = { action: 'file.stat', detail: { path } } as const;
      return fileView(
        await call.core.withGuest(call.principal, idOf(call), record, (guest) =>
          guest.fileStat(path, options),
        ),
      );
    },
  },
  {
    method: 'GET',
    path: `${filesPath}/list`,
    summary: 'List a directory, some levels deep',
    params: sandboxParams,
    query: api.FileListQuery,
    status: 200,
    answer: api.FileList,
    handle: async (call) => {
      const { path, depth, ...options } = call.query as Static<typeof api.FileListQuery>;
      const record = { action: 'file.list', detail: { path } } as const;
      const { entries, truncated } = await call.core.withGuest(call.principal, idOf(call), record, (guest) =>
        guest.fileList(path, { depth: depth ?? 1, ...options }),
      );
      return { entries: entries.map(fileView), truncated };
    },
  },
  entryRoute({
    path: `${filesPath}/mkdir`,
    summary: 'Make a directory',
    params: sandboxParams,
    body: api.MakeDirectory,
    change: (call, body) => {
      const record = { action: 'file.mkdir', detail: { path: body.path } } as const;
      return call.core.withGuest(call.principal, idOf(call), record, (guest) => guest.fileMkdir(body));
    },
  }),
  entryRoute({
    path: `${filesPath}/move`,
    summary: 'Move or rename a file',
    params: sandboxParams,
    body: api.MoveFile,
    change: (call, body) => {
      const record = { action: 'file.move', detail: { from: body.from, to: body.to } } as const;
      return call.core.withGuest(call.principal, idOf(call), record, (guest) => guest.fileMove(body));
    },
  }),
  {
    method: 'GET',
    path: `${filesPath}/watch`,
    summary: 'Follow changes of a directory, one JSON object a line',
    params: sandboxParams,
    query: api.FileRemoveQuery,
    status: 200,
    answer: 'application/x-ndjson',
    handle: watchFiles,
  },
];
