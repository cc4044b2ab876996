/** Routes of a volume's files without a sandbox; a jailed process does the work. */
import type { Static } from '@sinclair/typebox';
import { Readable } from 'node:stream';
import * as api from '../../../schema/api.ts';
import * as shapes from '../../../schema/volumeFiles.ts';
import { VolumeName } from '../../../schema/volumes.ts';
import type { AuditAction } from '../../control/recorder.ts';
import type { VolumeClient } from '../../guest/volumeClient.ts';
import { entryRoute, rangeOf, sendContent } from './fileRoutes.ts';
import type { Call, Route } from './route.ts';
import { idOf } from './sandboxRoutes.ts';
import { fileView } from './views.ts';

const path = '/v1/volumes/{volume}/files';
const params = { volume: VolumeName };

function use<Result>(
  call: Call,
  action: AuditAction,
  detail: Record<string, unknown>,
  work: (files: VolumeClient) => Promise<Result>,
): Promise<Result> {
  return call.core.volumeFiles.use(call.principal, idOf(call, 'volume'), { action, detail }, work);
}

/** A body that is sent while the volume is used. */
function useStream<Result>(
  call: Call,
  action: AuditAction,
  detail: Record<string, unknown>,
  work: (files: VolumeClient) => Promise<{ result: Result; body: Readable }>,
): Promise<Result> {
  const record = { action, detail };
  return call.core.volumeFiles.useStream(call.principal, idOf(call, 'volume'), record, async (files) => {
    const { result, body } = await work(files);
    return { result, ended: new Promise((resolve) => body.once('close', resolve)) };
  });
}

const sourceOf = (call: Call): Readable => (call.body instanceof Readable ? call.body : Readable.from([]));

async function readFile(call: Call): Promise<unknown> {
  const query = call.query as Static<typeof shapes.VolumeFileQuery>;
  const range = rangeOf(call.request.headers.range);
  const content = await useStream(call, 'file.read', query, async (files) => {
    const result = await files.read({ ...query, ...range }, { signal: call.signal });
    return { result, body: result.body };
  });
  return sendContent(call, range, content);
}

export const volumeFileRoutes: readonly Route[] = [
  {
    method: 'GET',
    path,
    summary: 'Read a file of a volume, or a range of it, as a stream',
    params,
    query: shapes.VolumeFileQuery,
    headers: { Range: { description: 'bytes=first-last' } },
    status: 200,
    answer: 'application/octet-stream',
    handle: readFile,
  },
  {
    method: 'PUT',
    path,
    summary: 'Write a file of a volume from a stream; whole and on the disk when this answers',
    params,
    query: shapes.VolumeFileWriteQuery,
    body: 'bytes',
    status: 200,
    answer: api.FileWritten,
    handle: async (call) => {
      const query = call.query as shapes.VolumeFileWriteQuery;
      const { size } = await use(call, 'file.write', { path: query.path }, (files) =>
        files.write(query, sourceOf(call), { signal: call.signal }),
      );
      return { path: query.path, size };
    },
  },
  {
    method: 'DELETE',
    path,
    summary: 'Remove a file or a folder of a volume',
    params,
    query: shapes.VolumeFileRemoveQuery,
    status: 204,
    handle: (call) => {
      const query = call.query as Static<typeof shapes.VolumeFileRemoveQuery>;
      return use(call, 'file.remove', { path: query.path }, (files) => files.remove(query.path, query));
    },
  },
  {
    method: 'GET',
    path: `${path}/stat`,
    summary: 'Describe a file of a volume',
    params,
    query: shapes.VolumeFileQuery,
    status: 200,
    answer: api.FileEntry,
    handle: async (call) => {
      const query = call.query as Static<typeof shapes.VolumeFileQuery>;
      return fileView(await use(call, 'file.stat', query, (files) => files.stat(query.path)));
    },
  },
  {
    method: 'GET',
    path: `${path}/list`,
    summary: 'List a folder of a volume, some levels deep',
    params,
    query: shapes.VolumeFileListQuery,
    status: 200,
    answer: api.FileList,
    handle: async (call) => {
      const query = call.query as Static<typeof shapes.VolumeFileListQuery>;
      const { entries, truncated } = await use(call, 'file.list', { path: query.path }, (files) =>
        files.list(query.path, query.depth ?? 1),
      );
      return { entries: entries.map(fileView), truncated };
    },
  },
  entryRoute({
    path: `${path}/mkdir`,
    summary: 'Make a folder in a volume',
    params,
    body: shapes.VolumeMakeDirectory,
    change: (call, body) =>
      use(call, 'file.mkdir', { path: body.path }, (files) => files.mkdir(body.path, body)),
  }),
  entryRoute({
    path: `${path}/move`,
    summary: 'Move or rename a file of a volume',
    params,
    body: shapes.VolumeMoveFile,
    change: (call, body) => use(call, 'file.move', body, (files) => files.move(body.from, body.to)),
  }),
  entryRoute({
    path: `${path}/change`,
    summary: 'Give a file of a volume another owner or mode',
    params,
    body: shapes.VolumeChangeFile,
    change: (call, { path: changed, ...owner }) =>
      use(call, 'file.change', { path: changed, ...owner }, (files) => files.change(changed, owner)),
  }),
  {
    method: 'GET',
    path: `${path}/archive`,
    summary: 'Read a folder of a volume as a tar archive',
    params,
    query: shapes.VolumeArchiveQuery,
    status: 200,
    answer: 'application/x-tar',
    handle: async (call) => {
      const { path: folder = '/' } = call.query as Static<typeof shapes.VolumeArchiveQuery>;
      const body = await useStream(call, 'file.archive', { path: folder }, async (files) => {
        const { body: archive } = await files.archive(folder, { signal: call.signal });
        return { result: archive, body: archive };
      });
      call.reply.type('application/x-tar');
      return body;
    },
  },
  {
    method: 'PUT',
    path: `${path}/archive`,
    summary: 'Unpack a tar archive into a folder of a volume',
    params,
    query: shapes.VolumeExtractQuery,
    body: 'bytes',
    status: 200,
    answer: shapes.VolumeExtracted,
    handle: (call) => {
      const { path: folder = '/', ...owner } = call.query as Static<typeof shapes.VolumeExtractQuery>;
      return use(call, 'file.extract', { path: folder }, (files) =>
        files.extract({ path: folder, ...owner }, sourceOf(call), { signal: call.signal }),
      );
    },
  },
];
