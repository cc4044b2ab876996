/** A volume into a bucket: one object a file, read out of one backup as it streams by, and a manifest when all are there. */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { extract, type Header } from 'tar-stream';
import { CasemateError, type Volume } from '../../../sdk/typescript/src/index.ts';
import { type Bucket, partBytes } from './bucket.ts';
import { keyOf } from './keys.ts';
import { Lanes } from './lanes.ts';
import { type Entry, putManifest } from './manifest.ts';
import type { Progress } from './progress.ts';

/** Small files on their way at once; each is held in memory meanwhile. */
const filesAtOnce = 8;
/** Behind the archive of a backup, and no part of it. */
const endBytes = 512;

/** @throws CasemateError `file_invalid` for a name that no object can have */
export async function exportVolume(volume: Volume, bucket: Bucket, progress: Progress): Promise<void> {
  const { quotaMib, quotaInodes } = await volume.info();
  const exportedAt = new Date().toISOString();
  const stop = new AbortController();
  const backup = await volume.backup({ signal: stop.signal });
  const entries: Entry[] = [];
  const lanes = new Lanes(filesAtOnce);
  const archive = extract();
  Readable.from(withoutEnd(backup))
    .on('error', (error) => archive.destroy(error))
    .pipe(archive as unknown as NodeJS.WritableStream);
  try {
    for await (const file of archive) entries.push(await send({ file, bucket, lanes, progress }));
    await lanes.done();
  } finally {
    stop.abort();
  }
  await putManifest(bucket, {
    ...{ casemateVolumeExport: 1, volume: volume.name, exportedAt, quotaMib, quotaInodes, entries },
  });
}

async function* withoutEnd(backup: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let held = Buffer.alloc(0);
  for await (const piece of backup) {
    const all = Buffer.concat([held, piece]);
    const ready = Math.max(0, all.length - endBytes);
    if (ready > 0) yield all.subarray(0, ready);
    held = all.subarray(ready);
  }
}

interface Sending {
  readonly file: AsyncIterable<unknown> & { readonly header: Header; resume(): unknown };
  readonly bucket: Bucket;
  readonly lanes: Lanes;
  readonly progress: Progress;
}

/** What an object's metadata says, in the words of rclone and s3fs. */
function metadataOf(entry: Entry): Record<string, string> {
  const { mode, uid, gid, mtime } = entry;
  return { mode: (0o100000 | mode).toString(8), uid: String(uid), gid: String(gid), mtime };
}

async function send({ file, bucket, lanes, progress }: Sending): Promise<Entry> {
  const entry = entryOf(file.header);
  const key = keyOf(bucket.prefix, entry.path);
  if (entry.type !== 'file') {
    file.resume();
    return entry;
  }
  const metadata = metadataOf(entry);
  const hash = createHash('sha256');
  const body = (async function* () {
    for await (const piece of file as AsyncIterable<Buffer>) {
      hash.update(piece);
      progress.add({ bytes: piece.length });
      yield piece;
    }
  })();
  if (entry.size > partBytes) {
    await bucket.putLarge(key, { size: entry.size, body, metadata });
    progress.add({ files: 1 });
  } else {
    const parts: Buffer[] = [];
    for await (const piece of body) parts.push(piece);
    await lanes.add(async () => {
      await bucket.put(key, Buffer.concat(parts), metadata);
      progress.add({ files: 1 });
    });
  }
  return { ...entry, sha256: hash.digest('hex') };
}

function entryOf({ name, type, mode = 0, uid = 0, gid = 0, mtime, size = 0, linkname, pax }: Header): Entry {
  const common = {
    ...{ path: name.replace(/\/$/, ''), mode, uid, gid },
    mtime:
      (pax as { mtime?: string } | null | undefined)?.mtime ??
      String(Math.floor((mtime?.getTime() ?? 0) / 1000)),
  };
  if (type === 'file') return { ...common, type, size, sha256: '' };
  if (type === 'directory') return { ...common, type };
  if (type === 'link' || type === 'symlink') return { ...common, type, target: linkname ?? '' };
  throw new CasemateError('file_invalid', `${name} is of a kind that no volume has.`);
}
