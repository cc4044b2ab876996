/** What an export says of itself: every file with its checksum, and what objects cannot be. */
import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { CasemateError } from '../../../sdk/typescript/src/index.ts';
import type { Bucket } from './bucket.ts';
import { faultOf, manifestName } from './keys.ts';

const manifestBytesMax = 512 * 1024 * 1024;
const Id = Type.Integer({ minimum: 0, maximum: 16_777_215 });
const owner = {
  path: Type.String(),
  mode: Type.Integer({ minimum: 0, maximum: 0o7777 }),
  uid: Id,
  gid: Id,
  /** Seconds since 1970, with up to nine digits behind the point. */
  mtime: Type.String({ pattern: '^-?[0-9]{1,12}(\\.[0-9]{1,9})?$' }),
};
const Entry = Type.Union([
  Type.Object({
    ...owner,
    type: Type.Literal('file'),
    size: Type.Integer({ minimum: 0 }),
    sha256: Type.String({ pattern: '^[0-9a-f]{64}$' }),
  }),
  Type.Object({ ...owner, type: Type.Literal('directory') }),
  /** A link's target is a path of the volume; a symlink's is any text. */
  Type.Object({
    ...owner,
    type: Type.Union([Type.Literal('symlink'), Type.Literal('link')]),
    target: Type.String(),
  }),
]);
const Manifest = Type.Object({
  casemateVolumeExport: Type.Literal(1),
  volume: Type.String(),
  exportedAt: Type.String(),
  quotaMib: Type.Integer({ minimum: 1 }),
  quotaInodes: Type.Integer({ minimum: 1 }),
  entries: Type.Array(Entry),
});

export type Entry = Static<typeof Entry>;
export type Manifest = Static<typeof Manifest>;

export async function putManifest(bucket: Bucket, manifest: Manifest): Promise<void> {
  const body = Buffer.from(JSON.stringify(manifest));
  if (body.length > manifestBytesMax)
    throw new CasemateError('payload_too_large', 'The volume has too many files for one export.');
  await bucket.put(`${bucket.prefix}${manifestName}`, body);
}

/** undefined where there is none. @throws CasemateError `backup_damaged` */
export async function getManifest(bucket: Bucket): Promise<Manifest | undefined> {
  const found = await bucket.get(`${bucket.prefix}${manifestName}`).catch((error: unknown) => {
    if (error instanceof CasemateError && error.code === 'not_found') return undefined;
    throw error;
  });
  if (found === undefined) return undefined;
  const manifest = await read(found);
  for (const { path } of manifest.entries) {
    const fault = faultOf(path);
    if (fault !== undefined) throw damaged(`it names ${path}: ${fault}`);
  }
  return manifest;
}

async function read({ size, body }: Awaited<ReturnType<Bucket['get']>>): Promise<Manifest> {
  if (size > manifestBytesMax) throw damaged('it is too large');
  const parts: Buffer[] = [];
  for await (const part of body) parts.push(part as Buffer);
  try {
    const value: unknown = JSON.parse(Buffer.concat(parts).toString());
    if (Value.Check(Manifest, value)) return value;
  } catch {} // no JSON
  throw damaged('it is none of this version');
}

function damaged(why: string): CasemateError {
  return new CasemateError('backup_damaged', `The export's manifest is damaged: ${why}.`);
}
