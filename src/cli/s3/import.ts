/** Objects of a bucket into a volume: checked one by one, and unpacked by the server as one archive. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { type Header, type Pack, pack } from 'tar-stream';
import { CasemateError, type Volume } from '../../../sdk/typescript/src/index.ts';
import { type Bucket, partBytes } from './bucket.ts';
import { pathOf } from './keys.ts';
import type { Entry, Manifest } from './manifest.ts';
import type { Progress } from './progress.ts';

/** Small objects that are fetched ahead of their turn; each is held in memory. */
const fetchedAhead = 8;

/** A file of which only its size is known, or one of a manifest. */
type Wanted =
  | Entry
  | { readonly type: 'plain'; readonly path: string; readonly key: string; readonly size: number };
/** `pax` is not among the types, and is what carries parts of a second. */
type FileHeader = Partial<Header> & { readonly name: string; readonly pax?: { readonly mtime: string } };
type Fetched = { readonly body: Readable | Buffer; readonly header?: FileHeader };

export interface ImportOptions {
  readonly volume: Volume;
  readonly bucket: Bucket;
  /** Without one all that is below the prefix is taken, and only sizes can be checked. */
  readonly manifest: Manifest | undefined;
  readonly progress: Progress;
}

/** @throws CasemateError `backup_damaged` for an object that is another one, `file_invalid` for a key that leads out */
export async function importVolume({ volume, bucket, manifest, progress }: ImportOptions): Promise<void> {
  const wanted = manifest?.entries ?? (await plainOf(bucket));
  const archive = pack();
  const unpacked = volume.files.extract(archive as AsyncIterable<Uint8Array>);
  unpacked.catch((error: Error) => archive.destroy(error));
  try {
    await fill({ archive, bucket, wanted, progress });
  } catch (error) {
    archive.destroy(error instanceof Error ? error : undefined);
    // Where the server refused, that is the reason why the archive could not be filled.
    await unpacked.catch((refused: unknown) => {
      if (refused instanceof CasemateError && refused.status > 0) throw refused;
    });
    throw error;
  }
  await unpacked;
}

/** Everything below the prefix; a key that ends with a slash is a folder that some tools show. */
async function plainOf(bucket: Bucket): Promise<Wanted[]> {
  const found: Wanted[] = [];
  for await (const { key, size } of bucket.list())
    if (!key.endsWith('/') || size > 0)
      found.push({ type: 'plain', path: pathOf(bucket.prefix, key), key, size });
  if (found.length > 0) return found;
  throw new CasemateError('not_found', `There are no objects below ${bucket.prefix || 'the bucket'}.`);
}

interface Filling {
  readonly archive: Pack;
  readonly bucket: Bucket;
  readonly wanted: readonly Wanted[];
  readonly progress: Progress;
}

async function fill({ archive, bucket, wanted, progress }: Filling): Promise<void> {
  const ahead = new Map<number, Promise<Fetched>>();
  let next = 0;
  for (const [index, item] of wanted.entries()) {
    for (; next < wanted.length && next < index + fetchedAhead; next += 1) {
      const coming = wanted[next];
      if (coming === undefined || !isSmall(coming)) continue;
      const fetched = fetchSmall(bucket, coming);
      fetched.catch(() => {}); // told in its turn
      ahead.set(next, fetched);
    }
    const { body, header } = await (ahead.get(index) ?? fetch(bucket, item));
    ahead.delete(index);
    await add({ archive, header: header ?? headerOf(item), body, item, progress });
  }
  archive.finalize();
}

function isSmall(item: Wanted): boolean {
  return (item.type === 'file' || item.type === 'plain') && item.size <= partBytes;
}

async function fetch(bucket: Bucket, item: Wanted): Promise<Fetched> {
  if (item.type !== 'file' && item.type !== 'plain') return { body: Buffer.alloc(0) };
  const { size, metadata, body } = await bucket.get(
    item.type === 'plain' ? item.key : `${bucket.prefix}${item.path}`,
  );
  if (size !== item.size) {
    body.destroy();
    throw damaged(item.path, `it has ${size} bytes, and had ${item.size}`);
  }
  return { body, ...(item.type === 'plain' ? { header: plainHeader(item.path, size, metadata) } : {}) };
}

async function fetchSmall(bucket: Bucket, item: Wanted): Promise<Fetched> {
  const { body, header } = await fetch(bucket, item);
  const parts: Buffer[] = [];
  for await (const piece of body as AsyncIterable<Buffer>) parts.push(piece);
  return { body: Buffer.concat(parts), ...(header === undefined ? {} : { header }) };
}

function headerOf(item: Wanted): FileHeader {
  const name = item.type === 'directory' ? `${item.path}/` : item.path;
  if (item.type === 'plain') return { name };
  const { mode, uid, gid, mtime, type } = item;
  const common = { name, mode, uid, gid, type, mtime: new Date(Number(mtime) * 1000), pax: { mtime } };
  if (item.type === 'file') return { ...common, size: item.size };
  return item.type === 'directory' ? common : { ...common, linkname: item.target };
}

/** What rclone, s3fs and an export say of an object; the user of the templates owns what nothing is said of. */
function plainHeader(name: string, size: number, metadata: Readonly<Record<string, string>>): FileHeader {
  const number = (text: string | undefined, base: number, otherwise: number): number => {
    const value = Number.parseInt(text ?? '', base);
    return value >= 0 && value <= 16_777_215 ? value : otherwise;
  };
  const seconds = Number(metadata.mtime ?? Number.NaN);
  return {
    ...{ name, size, type: 'file' },
    mode: number(metadata.mode, 8, 0o644) & 0o777,
    uid: number(metadata.uid, 10, 1000),
    gid: number(metadata.gid, 10, 1000),
    mtime: Number.isFinite(seconds) ? new Date(seconds * 1000) : new Date(),
  };
}

interface Adding {
  readonly archive: Pack;
  readonly header: FileHeader;
  readonly body: Readable | Buffer;
  readonly item: Wanted;
  readonly progress: Progress;
}

async function add({ archive, header, body, item, progress }: Adding): Promise<void> {
  const hash = createHash('sha256');
  const written = Promise.withResolvers<void>();
  const entry = archive.entry(header, (error) =>
    error === undefined || error === null ? written.resolve() : written.reject(error),
  );
  written.promise.catch(() => {}); // told below
  entry.on('error', () => {}); // the callback tells it too
  if (item.type === 'file' || item.type === 'plain') {
    for await (const piece of Buffer.isBuffer(body) ? [body] : (body as AsyncIterable<Buffer>)) {
      hash.update(piece);
      progress.add({ bytes: piece.length });
      if (!entry.write(piece)) await Promise.race([once(entry, 'drain'), written.promise]);
    }
    const found = hash.digest('hex');
    if (item.type === 'file' && found !== item.sha256)
      throw damaged(item.path, `its SHA-256 is ${found}, and was ${item.sha256}`);
    progress.add({ files: 1 });
    entry.end(null);
  }
  await written.promise;
}

function damaged(path: string, why: string): CasemateError {
  return new CasemateError('backup_damaged', `The object of ${path} is another one: ${why}.`);
}
