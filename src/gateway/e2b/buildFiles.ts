/** Archives that E2B's clients upload for the COPY steps of a template, taken apart into what a build context has. */
import { posix } from 'node:path';
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { extract, type Header } from 'tar-stream';
import { CasemateError } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
import type { Principal } from '../../control/access.ts';
import type { Core } from '../../control/core.ts';
import type { ContextEntry } from '../../control/templates/blobs.ts';

/** Keeps an archive's files under the name that the client has for them. @throws CasemateError `invalid_request` */
export async function takeArchive(
  core: Core,
  principal: Principal,
  name: string,
  body: Readable,
): Promise<void> {
  const unpacked = extract();
  const { source, isGzip } = await peeked(body);
  const zipped = isGzip ? source.pipe(createGunzip()) : source;
  for (const stream of [body, source, zipped]) stream.once('error', (error) => unpacked.destroy(error));
  zipped.pipe(unpacked);
  try {
    await core.images.nameUploads(principal, name, await entriesOf(core, principal, unpacked));
  } catch (cause) {
    if (cause instanceof CasemateError) throw cause;
    throw new CasemateError('invalid_request', 'The upload is no tar archive.', { cause });
  } finally {
    body.destroy();
  }
}

/** The same stream again, and whether it is compressed. */
async function peeked(body: Readable): Promise<{ source: Readable; isGzip: boolean }> {
  const pieces = body.iterator({ destroyOnReturn: false });
  const first = (await pieces.next()) as IteratorResult<Buffer, undefined>;
  const start = first.done === true ? Buffer.alloc(0) : first.value;
  const source = Readable.from(
    (async function* () {
      yield start;
      yield* pieces;
    })(),
  );
  return { source, isGzip: start[0] === 0x1f && start[1] === 0x8b };
}

async function entriesOf(
  core: Core,
  principal: Principal,
  unpacked: ReturnType<typeof extract>,
): Promise<ContextEntry[]> {
  const entries = new Map<string, ContextEntry>();
  let bytes = 0;
  for await (const entry of unpacked) {
    const { header } = entry;
    bytes += header.size ?? 0;
    if (bytes > limits.blobBytesMax || entries.size >= limits.buildContextFilesMax)
      throw new CasemateError('payload_too_large', 'The files of one COPY are too many or too large.');
    const path = pathOf(header.name);
    if (path === '') {
      entry.resume();
      continue;
    }
    entries.set(path, await made(core, principal, path, header, Readable.from(entry), entries));
  }
  return [...entries.values()];
}

async function made(
  core: Core,
  principal: Principal,
  path: string,
  header: Header,
  body: Readable,
  earlier: ReadonlyMap<string, ContextEntry>,
): Promise<ContextEntry> {
  const mode = (header.mode ?? 0o644) & 0o777;
  if (header.type === 'file' || header.type === 'contiguous-file') {
    return { path, sha256: await core.images.uploadAny(principal, body), mode };
  }
  body.resume();
  if (header.type === 'directory') return { path, mode };
  if (header.type === 'symlink') return { path, link: header.linkname ?? '' };
  const same = header.type === 'link' ? earlier.get(pathOf(header.linkname ?? '')) : undefined;
  if (same?.sha256 !== undefined) return { ...same, path };
  throw new CasemateError('invalid_request', `${path} is neither a file nor a folder nor a link.`);
}

function pathOf(name: string): string {
  const path = posix.normalize(name).replace(/\/+$/, '');
  if (path === '.') return '';
  if (posix.isAbsolute(path) || path.split('/')[0] === '..' || path.includes('\0'))
    throw new CasemateError('invalid_request', `${JSON.stringify(name)} is outside of the archive.`);
  return path;
}
