/** What clients upload for builds, by its SHA-256 and one folder a tenant; and build contexts, put together of it. */
import { createHash } from 'node:crypto';
import { createWriteStream, statfsSync } from 'node:fs';
import {
  chmod,
  copyFile,
  link,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { dirname, join, posix } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { CasemateError } from '../../base/errors.ts';
import { newId } from '../../base/ids.ts';
import { limits } from '../../base/limits.ts';

/** One entry of a build context, as its manifest lists it. */
export interface ContextEntry {
  /** Relative, with slashes. */
  readonly path: string;
  /** Of a file: the SHA-256 of what is in it. */
  readonly sha256?: string;
  /** Of a symbolic link. */
  readonly link?: string;
  /** Permission bits; of a folder and a file. */
  readonly mode?: number;
}

const blobsFolder = 'blobs';
const listSuffix = '.list';
const digestPattern = /^[0-9a-f]{64}$/;
const manifestBytesMax = 64 * 1024 * 1024;

export class Blobs {
  readonly #directory: string;

  /** @param directory the server's, below a folder of root's (`Paths.contexts`). */
  constructor(directory: string) {
    this.#directory = directory;
  }

  #path(tenantId: string, sha256: string): string {
    if (!digestPattern.test(sha256))
      throw new CasemateError('invalid_request', 'A digest has 64 hex digits.');
    return join(this.#directory, blobsFolder, tenantId, sha256);
  }

  /** A crash's leftovers: contexts belong to builds, and no build is older than this process. */
  async sweep(): Promise<void> {
    const names = await readdir(this.#directory).catch(() => []);
    for (const name of names)
      if (name !== blobsFolder) await rm(join(this.#directory, name), { recursive: true, force: true });
  }

  /** Those of `digests` that have to be uploaded. What is there counts as used now. */
  async missing(tenantId: string, digests: readonly string[]): Promise<string[]> {
    const now = new Date();
    const looked = await Promise.all(
      digests.map((sha256) =>
        utimes(this.#path(tenantId, sha256), now, now).then(
          () => undefined,
          () => sha256,
        ),
      ),
    );
    return looked.filter((sha256) => sha256 !== undefined);
  }

  /** Takes an upload in. @throws CasemateError `invalid_request` where its bytes are not those, `payload_too_large` */
  async put(tenantId: string, sha256: string, body: Readable): Promise<void> {
    this.#path(tenantId, sha256);
    await this.add(tenantId, body, sha256);
  }

  /** Takes in what nobody has hashed yet. @returns its SHA-256. @throws CasemateError as `put` does */
  async add(tenantId: string, body: Readable, expected?: string): Promise<string> {
    const folder = join(this.#directory, blobsFolder, tenantId);
    await mkdir(folder, { recursive: true, mode: 0o711 });
    const { bavail, bsize } = statfsSync(folder);
    if (bavail * bsize < limits.hostDiskReserveMib * 1024 * 1024)
      throw new CasemateError('no_capacity', 'The disk of this host has no room for uploads.');
    const partial = join(this.#directory, `${newId(8)}.upload`);
    const hash = createHash('sha256');
    let bytes = 0;
    try {
      await pipeline(
        body,
        async function* (source: AsyncIterable<Buffer>) {
          for await (const piece of source) {
            bytes += piece.length;
            if (bytes > limits.blobBytesMax)
              throw new CasemateError(
                'payload_too_large',
                `A file has ${limits.blobBytesMax} bytes at most.`,
              );
            hash.update(piece);
            yield piece;
          }
        },
        createWriteStream(partial, { mode: 0o644 }),
      );
      const sha256 = hash.digest('hex');
      if (expected !== undefined && sha256 !== expected)
        throw new CasemateError('invalid_request', 'The uploaded bytes have another SHA-256.');
      await chmod(partial, 0o644); // whatever the umask is: tools in the jail read it as others
      await rename(partial, this.#path(tenantId, sha256));
      return sha256;
    } finally {
      await rm(partial, { force: true });
    }
  }

  /** Keeps a list under a name that the client has for it, which is no digest of it. */
  async name(tenantId: string, name: string, entries: readonly ContextEntry[]): Promise<void> {
    const list = await this.add(tenantId, Readable.from([JSON.stringify(entries)]));
    await writeFile(`${this.#path(tenantId, name)}${listSuffix}`, list);
  }

  /** The list of that name, while all of it is there. */
  async named(tenantId: string, name: string): Promise<ContextEntry[] | undefined> {
    const path = `${this.#path(tenantId, name)}${listSuffix}`;
    const list = await readFile(path, 'utf8').catch(() => undefined);
    if (list === undefined || (await this.missing(tenantId, [list])).length > 0) return undefined;
    const now = new Date();
    await utimes(path, now, now);
    const entries = await this.entries(tenantId, list);
    const files = entries.flatMap(({ sha256 }) => sha256 ?? []);
    return (await this.missing(tenantId, files)).length > 0 ? undefined : entries;
  }

  /** @throws CasemateError `not_found` for one that was not uploaded. */
  async read(tenantId: string, sha256: string): Promise<Buffer> {
    const path = this.#path(tenantId, sha256);
    const found = await stat(path).catch(() => undefined);
    if (found === undefined) throw new CasemateError('not_found', `${sha256} was not uploaded.`);
    if (found.size > manifestBytesMax) throw new CasemateError('payload_too_large', 'That list is too long.');
    return readFile(path);
  }

  /** The entries of a context, out of the manifest that was uploaded. @throws CasemateError `invalid_request` */
  async entries(tenantId: string, manifest: string): Promise<ContextEntry[]> {
    let listed: unknown;
    try {
      listed = JSON.parse((await this.read(tenantId, manifest)).toString());
    } catch (cause) {
      if (cause instanceof CasemateError) throw cause;
      throw new CasemateError('invalid_request', 'The build context’s list is no JSON.', { cause });
    }
    if (!Array.isArray(listed) || listed.length > limits.buildContextFilesMax)
      throw new CasemateError(
        'invalid_request',
        `A build context is a list of ${limits.buildContextFilesMax} entries at most.`,
      );
    return listed.map(checkedEntry);
  }

  /** A single uploaded file under a name that the node takes; `drop` has to follow. */
  async asFile(tenantId: string, sha256: string): Promise<string> {
    const id = newId();
    try {
      await link(this.#path(tenantId, sha256), join(this.#directory, id));
    } catch (cause) {
      throw new CasemateError('not_found', `${sha256} was not uploaded.`, { cause });
    }
    return id;
  }

  /**
   * Puts a context together under a name that the node takes; `drop` has to follow.
   * @param options.readable whatever the modes of files are: for the tools in the jail, who are nobody's owner.
   * @throws CasemateError `not_found`
   */
  async asFolder(
    tenantId: string,
    entries: readonly ContextEntry[],
    { readable = false }: { readonly readable?: boolean } = {},
  ): Promise<string> {
    const id = newId();
    const root = join(this.#directory, id);
    await makeFolder(root);
    try {
      // Links last: nothing is ever written through one.
      for (const entry of entries)
        if (entry.link === undefined)
          await this.#place(tenantId, root, readable ? { ...entry, mode: undefined } : entry);
      for (const { path, link: target } of entries)
        if (target !== undefined) {
          await makeFolder(dirname(join(root, path)));
          await symlink(target, join(root, path));
        }
      return id;
    } catch (error) {
      await this.drop(id);
      if (error instanceof CasemateError) throw error;
      throw new CasemateError(
        'invalid_request',
        'The build context has one path twice, or a file as a folder.',
        {
          cause: error,
        },
      );
    }
  }

  async #place(
    tenantId: string,
    root: string,
    { path, sha256, mode }: Omit<ContextEntry, 'mode'> & { readonly mode?: number | undefined },
  ): Promise<void> {
    const target = join(root, path);
    if (sha256 === undefined) {
      await makeFolder(target);
      return chmod(target, (mode ?? 0o755) | 0o700); // the sandbox's copy keeps the mode; the server has to get in
    }
    await makeFolder(dirname(target));
    const blob = this.#path(tenantId, sha256);
    const bits = mode ?? 0o644;
    try {
      if (bits === 0o644) return await link(blob, target);
      await copyFile(blob, target); // a mode is the file's, however many names it has
      await chmod(target, bits);
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause;
      throw new CasemateError('not_found', `${path} of the build context was not uploaded.`, { cause });
    }
  }

  async drop(id: string): Promise<void> {
    await rm(join(this.#directory, id), { recursive: true, force: true });
  }

  /** Bytes of each tenant's uploads. */
  async usage(): Promise<{ tenantId: string; bytes: number }[]> {
    const folder = join(this.#directory, blobsFolder);
    const found: { tenantId: string; bytes: number }[] = [];
    for (const tenantId of await readdir(folder).catch(() => [])) {
      let bytes = 0;
      for (const name of await readdir(join(folder, tenantId)))
        bytes += (await stat(join(folder, tenantId, name)).catch(() => undefined))?.size ?? 0; // it may just be taken away
      found.push({ tenantId, bytes });
    }
    return found;
  }

  /** Removes what nobody has used since. @returns how many, and their bytes. */
  async collect(unusedSinceMs: number, dryRun: boolean): Promise<{ blobs: number; bytes: number }> {
    const found = { blobs: 0, bytes: 0 };
    const folder = join(this.#directory, blobsFolder);
    for (const name of await readdir(folder, { recursive: true }).catch(() => [])) {
      const path = join(folder, name);
      const { mtimeMs, size, mode } = await stat(path);
      if ((mode & 0o170000) !== 0o100000 || mtimeMs > unusedSinceMs) continue;
      found.blobs += 1;
      found.bytes += size;
      if (!dryRun) await rm(path, { force: true });
    }
    return found;
  }
}

/** With its parents, for others to read whatever this process's umask is. */
async function makeFolder(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true });
  if (first === undefined) return;
  for (let made = path; made.length >= first.length; made = dirname(made)) await chmod(made, 0o755);
}

function checkedEntry(value: unknown): ContextEntry {
  const entry = (value ?? {}) as Record<string, unknown>;
  const { path, sha256, link: target, mode } = entry;
  const sound =
    typeof path === 'string' &&
    path.length < 4096 &&
    path !== '.' &&
    !path.includes('\0') &&
    !posix.isAbsolute(path) &&
    posix.normalize(path) === path &&
    !path.split('/').includes('..') &&
    !path.endsWith('/') &&
    (sha256 === undefined || (typeof sha256 === 'string' && digestPattern.test(sha256))) &&
    (target === undefined || (typeof target === 'string' && target !== '' && !target.includes('\0'))) &&
    (mode === undefined || (Number.isInteger(mode) && Number(mode) >= 0 && Number(mode) <= 0o777)) &&
    (sha256 === undefined || target === undefined);
  if (!sound)
    throw new CasemateError('invalid_request', `${JSON.stringify(path)} cannot be in a build context.`);
  return entry as unknown as ContextEntry;
}
