/** Build contexts: hashes the files of a folder, and uploads what the server lacks. */
import { CasemateError } from './errors.ts';
import { dockerIgnore } from './dockerignore.ts';
import type { Transport } from './transport.ts';

/** One entry as the server reads it. */
export interface ContextEntry {
  readonly path: string;
  readonly sha256?: string;
  readonly link?: string;
  readonly mode?: number;
}

export interface LocalContext {
  readonly entries: readonly ContextEntry[];
  /** Where the bytes of a digest lie. */
  readonly files: ReadonlyMap<string, string>;
}

const askedAtOnce = 5000;
const uploadsAtOnce = 4;

async function hashOf(file: string): Promise<string> {
  const [{ createHash }, { createReadStream }, { pipeline }] = await Promise.all([
    import('node:crypto'),
    import('node:fs'),
    import('node:stream/promises'),
  ]);
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

/**
 * Reads a folder, without what its `.dockerignore` leaves out.
 * @param only paths to take, each with what lies below it; everything by default.
 */
export async function readContext(folder: string, only?: readonly string[]): Promise<LocalContext> {
  const [{ readdir, readFile, readlink, stat }, { join }] = await Promise.all([
    import('node:fs/promises'),
    import('node:path'),
  ]);
  const ignored = dockerIgnore(await readFile(join(folder, '.dockerignore'), 'utf8').catch(() => ''));
  const entries: ContextEntry[] = [];
  const files = new Map<string, string>();
  const walk = async (below: string): Promise<void> => {
    const listed = await readdir(join(folder, below), { withFileTypes: true }).catch(() => {
      throw new CasemateError('invalid_request', `The build context ${folder} cannot be read.`);
    });
    for (const item of listed.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const path = below === '' ? item.name : `${below}/${item.name}`;
      const local = join(folder, path);
      if (item.isDirectory()) {
        // A rule may keep something below a folder that another leaves out.
        if (!ignored(path) && isWanted(path, only))
          entries.push({ path, mode: (await stat(local)).mode & 0o777 });
        await walk(path);
      } else if (ignored(path) || !isWanted(path, only)) continue;
      else if (item.isSymbolicLink()) entries.push({ path, link: await readlink(local) });
      else if (item.isFile()) {
        const sha256 = await hashOf(local);
        files.set(sha256, local);
        entries.push({ path, sha256, mode: (await stat(local)).mode & 0o777 });
      }
    }
  };
  await walk('');
  return { entries, files };
}

function isWanted(path: string, only: readonly string[] | undefined): boolean {
  if (only === undefined) return true;
  return only.some((source) => {
    const wanted = source.replace(/^(\.?\/)+|\/+$/g, '');
    if (wanted === '' || wanted === '.' || /[*?[]/.test(wanted)) return true;
    return path === wanted || path.startsWith(`${wanted}/`) || wanted.startsWith(`${path}/`);
  });
}

/** Uploads what the server lacks. @returns the digest of the list of entries, which a build names. */
export async function uploadContext(transport: Transport, context: LocalContext): Promise<string> {
  await uploadFiles(transport, context.files);
  const list = new TextEncoder().encode(JSON.stringify(context.entries));
  const { createHash } = await import('node:crypto');
  const digest = createHash('sha256').update(list).digest('hex');
  const { missing } = await askMissing(transport, [digest]);
  if (missing.length > 0) await transport.done('PUT', `/v1/blobs/${digest}`, { body: list });
  return digest;
}

/** @returns the digest of one file, which is on the server then. */
export async function uploadFile(transport: Transport, file: string): Promise<string> {
  const digest = await hashOf(file);
  await uploadFiles(transport, new Map([[digest, file]]));
  return digest;
}

async function uploadFiles(transport: Transport, files: ReadonlyMap<string, string>): Promise<void> {
  const digests = [...files.keys()];
  const missing: string[] = [];
  for (let at = 0; at < digests.length; at += askedAtOnce)
    missing.push(...(await askMissing(transport, digests.slice(at, at + askedAtOnce))).missing);
  const { openAsBlob } = await import('node:fs');
  const next = async (): Promise<void> => {
    for (let digest = missing.pop(); digest !== undefined; digest = missing.pop())
      await transport.done('PUT', `/v1/blobs/${digest}`, { body: await openAsBlob(files.get(digest) ?? '') });
  };
  await Promise.all(Array.from({ length: uploadsAtOnce }, next));
}

function askMissing(transport: Transport, digests: readonly string[]): Promise<{ missing: string[] }> {
  return transport.json('POST', '/v1/blobs/missing', { json: { digests } });
}
