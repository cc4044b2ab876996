/** Snapshots on disk: sealed with a MAC when they are written, checked once per start of the root process before first use. */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { chmod, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { CasemateError } from '../base/errors.ts';
import { sandboxIdPattern } from '../base/ids.ts';
import type { SandboxLimits } from '../runtime/driver.ts';
import { digestFile } from './fileDigest.ts';

/** What a snapshot was taken of; part of what the MAC covers. */
export interface SnapshotOrigin {
  readonly runtime: string;
  readonly template: string;
  readonly templateDigest: string;
  readonly limits: SandboxLimits;
  /** There is no memory: what starts from it boots. */
  readonly filesOnly?: boolean;
}

interface Manifest extends SnapshotOrigin {
  readonly version: typeof manifestVersion;
  readonly id: string;
  /** Bytes and digest (`digestFile`) of every file, by its path. */
  readonly files: Readonly<Record<string, { readonly bytes: number; readonly sha256: string }>>;
}

export interface OpenSnapshot extends SnapshotOrigin {
  readonly directory: string;
}

/** 1 had plain SHA-256 of files, holes included. */
const manifestVersion = 2;
const manifestFile = 'manifest.json';
const macFile = 'manifest.mac';

export class Snapshots {
  readonly #directory: string;
  readonly #key: Buffer;
  /** Checked since this process started, or written by it. */
  readonly #sound = new Map<string, OpenSnapshot>();

  /** @param directory root's alone. */
  constructor(directory: string) {
    this.#directory = directory;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    this.#key = keyOf(join(directory, 'key'));
  }

  #path(id: string): string {
    if (!sandboxIdPattern.test(id))
      throw new CasemateError('invalid_request', 'A snapshot id has 20 characters.');
    return join(this.#directory, id);
  }

  /** An empty folder to write into; `seal` or `abandon` has to follow. */
  async begin(id: string): Promise<string> {
    const partial = `${this.#path(id)}.partial`;
    if (existsSync(this.#path(id))) throw new CasemateError('conflict', `There is a snapshot ${id} already.`);
    await rm(partial, { recursive: true, force: true });
    await mkdir(partial, { mode: 0o700 });
    await mkdir(contentOf(partial), { mode: 0o711 });
    return contentOf(partial);
  }

  /**
   * Makes it appear whole. @returns its bytes on disk.
   * @param transient serves children of this process only: it is not hashed, and gone after a restart.
   */
  async seal(id: string, origin: SnapshotOrigin, transient: boolean): Promise<number> {
    const partial = `${this.#path(id)}.partial`;
    const content = contentOf(partial);
    if (!transient) {
      await makeReadOnly(content);
      const manifest: Manifest = { version: manifestVersion, id, ...origin, files: await hashFiles(content) };
      const text = JSON.stringify(manifest);
      await writeFile(join(partial, manifestFile), text, { mode: 0o400 });
      await writeFile(join(partial, macFile), this.#mac(text), { mode: 0o400 });
    }
    await rename(partial, this.#path(id));
    this.#sound.set(id, { ...origin, directory: contentOf(this.#path(id)) });
    return bytesOf(contentOf(this.#path(id)));
  }

  async abandon(id: string): Promise<void> {
    await rm(`${this.#path(id)}.partial`, { recursive: true, force: true });
  }

  #mac(text: string): string {
    return createHmac('sha256', this.#key).update(text).digest('hex');
  }

  /** @throws CasemateError `not_found`, `snapshot_damaged` */
  async open(id: string): Promise<OpenSnapshot> {
    const sound = this.#sound.get(id);
    if (sound !== undefined) return sound;
    const path = this.#path(id);
    if (!existsSync(path)) throw new CasemateError('not_found', `There are no files of snapshot ${id}.`);
    const text = await readFile(join(path, manifestFile), 'utf8').catch(() => '');
    const mac = await readFile(join(path, macFile), 'utf8').catch(() => '');
    const expected = Buffer.from(this.#mac(text));
    if (text === '' || mac.length !== expected.length || !timingSafeEqual(Buffer.from(mac), expected)) {
      throw damaged(id, 'its manifest is not the one that was written');
    }
    const manifest = JSON.parse(text) as Manifest;
    const { files, runtime, template, templateDigest, limits, filesOnly, id: writtenAs } = manifest;
    if (manifest.version !== manifestVersion)
      throw new CasemateError('snapshot_mismatch', `Snapshot ${id} was written by another Casemate.`);
    if (writtenAs !== id) throw damaged(id, `it was written as ${writtenAs}`);
    const found = await hashFiles(contentOf(path));
    for (const name of new Set([...Object.keys(files), ...Object.keys(found)])) {
      if (files[name]?.bytes !== found[name]?.bytes) throw damaged(id, `the size of ${name} is another one`);
      if (files[name]?.sha256 !== found[name]?.sha256) throw damaged(id, `bytes of ${name} have changed`);
    }
    const opened = {
      ...{ runtime, template, templateDigest, limits, directory: contentOf(path) },
      ...(filesOnly === undefined ? {} : { filesOnly }),
    };
    this.#sound.set(id, opened);
    return opened;
  }

  async remove(id: string): Promise<void> {
    this.#sound.delete(id);
    await rm(this.#path(id), { recursive: true, force: true });
  }

  /** Ids of sealed snapshots, those of forks included. */
  async list(): Promise<string[]> {
    return (await readdir(this.#directory)).filter((name) => sandboxIdPattern.test(name));
  }

  /** Takes away what a crash left: half-written ones, and those of forks, which no manifest names. */
  async sweep(): Promise<void> {
    for (const name of await readdir(this.#directory)) {
      const path = join(this.#directory, name);
      const unfinished = name.endsWith('.partial');
      const transient = sandboxIdPattern.test(name) && !existsSync(join(path, manifestFile));
      if (unfinished || transient) await rm(path, { recursive: true, force: true });
    }
  }
}

function contentOf(path: string): string {
  return join(path, 'content');
}

function keyOf(file: string): Buffer {
  if (!existsSync(file)) writeFileSync(file, randomBytes(32), { mode: 0o400 });
  return readFileSync(file);
}

function damaged(id: string, how: string): CasemateError {
  return new CasemateError('snapshot_damaged', `Snapshot ${id} is not used: ${how}.`);
}

async function filesBelow(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

/** A file that has another name too is shared with a running machine, whose driver has made it so already. */
async function makeReadOnly(directory: string): Promise<void> {
  for (const path of await filesBelow(directory))
    if ((await stat(path)).nlink === 1) await chmod(path, 0o444);
}

async function hashFiles(directory: string): Promise<Record<string, { bytes: number; sha256: string }>> {
  const files: Record<string, { bytes: number; sha256: string }> = {};
  for (const path of (await filesBelow(directory)).sort())
    files[relative(directory, path)] = await digestFile(path);
  return files;
}

/** What they take up on disk; holes take up nothing. */
async function bytesOf(directory: string): Promise<number> {
  let bytes = 0;
  for (const path of await filesBelow(directory)) bytes += (await stat(path)).blocks * 512;
  return bytes;
}
