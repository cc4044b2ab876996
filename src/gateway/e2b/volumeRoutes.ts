/** E2B's control plane: volumes, and the calls for their files, which a volume's own token opens. */
import type { Static } from '@sinclair/typebox';
import { Readable } from 'node:stream';
import * as rest from '../../../schema/e2b/store.ts';
import { CasemateError } from '../../base/errors.ts';
import type { AuditAction } from '../../control/recorder.ts';
import type { FileEntry } from '../../guest/types.ts';
import type { VolumeClient } from '../../guest/volumeClient.ts';
import type { VolumeRow } from '../../store/types.ts';
import { bearerOf } from '../native/auth.ts';
import { apiKeyOf } from './auth.ts';
import type { Call, Route } from './route.ts';

function view({ core, principal, domain }: Call, { id, name }: VolumeRow): object {
  return { volumeID: id, name, token: core.tokens.of('volume', `${principal.tenantId}.${id}`), domain };
}

async function create(call: Call): Promise<unknown> {
  const { name } = call.body as Static<typeof rest.NewVolume>;
  return view(call, await call.core.volumes.create(call.principal, { name }));
}

/** By a volume's token for that volume alone, or by a key. @throws CasemateError `unauthenticated` */
const admit: Route['admit'] = (core, { raw, params }) => {
  const named = core.tokens.named('volume', bearerOf(raw.headers.authorization) ?? '');
  if (named === undefined) return core.authenticate(apiKeyOf(raw));
  const [tenantId = '', volumeId] = named.split('.');
  if (volumeId === (params as { id?: string }).id) return core.tenantHolder(tenantId);
  throw new CasemateError('unauthenticated', 'That token is for another volume.');
};

function use<Result>(
  call: Call,
  action: AuditAction,
  work: (files: VolumeClient, query: Static<typeof rest.VolumeMake>) => Promise<Result>,
): Promise<Result> {
  const query = call.query as Static<typeof rest.VolumeMake>; // the route's own schema says what there can be
  const record = { action, detail: { path: query.path } };
  return call.core.volumeFiles.use(call.principal, call.id, record, (files) => work(files, query));
}

function entryView({ name, path, type, size, mode, uid, gid, modifiedUnixMs, target }: FileEntry): object {
  const time = new Date(modifiedUnixMs);
  const changed = (Number.isNaN(time.getTime()) ? new Date(0) : time).toISOString();
  return {
    name,
    path,
    type: type === 'other' ? 'unknown' : type,
    size,
    mode: mode & 0o7777,
    uid,
    gid,
    atime: changed, // the file system keeps no times of reading
    mtime: changed,
    ctime: changed,
    ...(target === undefined ? {} : { target }),
  };
}

function ownerOf({ uid, gid, mode }: Static<typeof rest.VolumeOwner>): Static<typeof rest.VolumeOwner> {
  return {
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
    ...(mode === undefined ? {} : { mode }),
  };
}

/** Streamed; the volume is in use until the client has it all. */
async function read(call: Call): Promise<unknown> {
  const { path } = call.query as Static<typeof rest.VolumePath>;
  const record = { action: 'file.read', detail: { path } } as const;
  const content = await call.core.volumeFiles.useStream(call.principal, call.id, record, async (files) => {
    const result = await files.read({ path });
    return { result, ended: new Promise((resolve) => result.body.once('close', resolve)) };
  });
  call.reply.type('application/octet-stream').header('content-length', content.size);
  return content.body;
}

async function write(call: Call): Promise<unknown> {
  const source = call.body instanceof Readable ? call.body : Readable.from([]);
  const { force = false } = call.query as Static<typeof rest.VolumeMake>;
  return use(call, 'file.write', async (files, query) => {
    await files.write({ path: query.path, parents: force, ...ownerOf(query) }, source);
    return entryView(await files.stat(query.path));
  });
}

async function makeDirectory(call: Call): Promise<unknown> {
  const { force = false } = call.query as Static<typeof rest.VolumeMake>;
  return use(call, 'file.mkdir', async (files, query) =>
    entryView(await files.mkdir(query.path, { parents: force, ...ownerOf(query) })),
  );
}

async function list(call: Call): Promise<unknown> {
  const { depth = 1 } = call.query as Static<typeof rest.VolumeList>;
  const { entries, truncated } = await use(call, 'file.list', (files, { path }) => files.list(path, depth));
  if (!truncated) return entries.map(entryView);
  throw new CasemateError('payload_too_large', 'There are too many entries: list with less depth.');
}

const [path, file, dir] = ['path', 'file', 'dir'].map((name) => `/volumecontent/:id/${name}`) as [
  string,
  string,
  string,
];
export const volumeRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/volumes',
    status: 200,
    handle: async (call) =>
      (await call.core.volumes.list(call.principal)).map(({ id, name }) => ({ volumeID: id, name })),
  },
  { method: 'POST', path: '/volumes', body: rest.NewVolume, status: 201, handle: create },
  {
    method: 'GET',
    path: '/volumes/:id',
    status: 200,
    handle: async (call) => view(call, call.core.volumes.get(call.principal, call.id)),
  },
  {
    method: 'DELETE',
    path: '/volumes/:id',
    status: 204,
    handle: ({ core, principal, id }) => core.volumes.remove(principal, id),
  },
  {
    method: 'GET',
    path,
    query: rest.VolumePath,
    admit,
    status: 200,
    handle: (call) => use(call, 'file.stat', async (files, query) => entryView(await files.stat(query.path))),
  },
  {
    method: 'PATCH',
    path,
    query: rest.VolumePath,
    body: rest.VolumeOwner,
    admit,
    status: 200,
    handle: (call) =>
      use(call, 'file.write', async (files, query) => {
        const owner = ownerOf(call.body as Static<typeof rest.VolumeOwner>);
        return entryView(await files.change(query.path, owner));
      }),
  },
  {
    method: 'DELETE',
    path,
    query: rest.VolumePath,
    admit,
    status: 204,
    handle: (call) =>
      use(call, 'file.remove', (files, query) => files.remove(query.path, { recursive: true })),
  },
  { method: 'GET', path: dir, query: rest.VolumeList, admit, status: 200, handle: list },
  { method: 'POST', path: dir, query: rest.VolumeMake, admit, status: 201, handle: makeDirectory },
  { method: 'GET', path: file, query: rest.VolumePath, admit, status: 200, handle: read },
  { method: 'PUT', path: file, query: rest.VolumeMake, admit, status: 201, handle: write },
];
