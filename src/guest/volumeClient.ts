/** The files of a volume without a sandbox: calls to the jailed process that serves them. Trusts nothing that comes back. */
import type { Duplex, Readable } from 'node:stream';
import { CasemateError } from '../base/errors.ts';
import { limits } from '../base/limits.ts';
import {
  bodyOf,
  type Cancelable,
  cancelOn,
  contentOf,
  duplexOf,
  entriesOf,
  type FileContent,
  upload,
  within,
} from './calls.ts';
import { Connection } from './connection.ts';
import { violation } from './frame.ts';
import type { ByteStream } from './stream.ts';
import type { FileEntry } from './types.ts';
import { countOf, entryOf, type JsonObject } from './validate.ts';

/** Who owns what is made, and its permission bits; `user` of every template (1000) and 644 or 755 where left out. */
export interface VolumeOwner {
  readonly uid?: number;
  readonly gid?: number;
  readonly mode?: number;
}

/**
 * Paths are relative to the volume's root, with or without a slash in front; in answers they have it. No symlink is followed,
 * whoever made it: one on the way is `file_invalid`. What was changed is on the disk when a call resolves.
 */
export class VolumeClient {
  /** Never rejects: the error where the process broke the protocol; undefined at its end or after `close`. */
  readonly closed: Promise<CasemateError | undefined>;
  readonly #connection: Connection;

  private constructor(connection: Connection) {
    this.#connection = connection;
    this.closed = connection.closed;
  }

  /** @throws CasemateError `timeout`, `guest_protocol`, `sandbox_ended` */
  static async attach(bytes: ByteStream): Promise<VolumeClient> {
    const connection = new Connection(bytes);
    await connection.attach();
    return new VolumeClient(connection);
  }

  close(): void {
    this.#connection.close();
  }

  async #call(method: string, params: object, mostMs?: number): Promise<JsonObject> {
    const stream = this.#connection.open(method, params);
    try {
      return await within(stream, stream.result(), mostMs);
    } catch (error) {
      throw tooLate(error);
    }
  }

  /** @throws CasemateError `file_not_found`, `file_invalid` */
  async stat(path: string): Promise<FileEntry> {
    return entryOf(await this.#call('file.stat', { path }));
  }

  /** Entries below a folder, `depth` levels (1–32), 10,000 at most; a symlink is an entry. */
  list(path: string, depth: number): Promise<{ entries: FileEntry[]; truncated: boolean }> {
    return entriesOf(this.#connection.open('file.list', { path, depth }));
  }

  /** With `parents`, one that is there already is no error. */
  async mkdir(path: string, options: { parents?: boolean } & VolumeOwner = {}): Promise<FileEntry> {
    return entryOf(await this.#call('file.mkdir', { path, ...options }));
  }

  /** Replaces a file at `to`. */
  async move(from: string, to: string): Promise<FileEntry> {
    return entryOf(await this.#call('file.move', { from, to }));
  }

  /** A folder with something in it only with `recursive`. */
  async remove(path: string, options: { recursive?: boolean } = {}): Promise<void> {
    await this.#call('file.remove', { path, ...options }, limits.volumeCallMsMax);
  }

  /** Another owner or other permission bits for a file or a folder. */
  async change(path: string, owner: VolumeOwner): Promise<FileEntry> {
    return entryOf(await this.#call('file.change', { path, ...owner }));
  }

  /** Streams a regular file out. */
  async read(
    params: { path: string; offset?: number; length?: number },
    { signal }: Cancelable = {},
  ): Promise<FileContent> {
    const stream = this.#connection.open('file.read', params);
    cancelOn(stream, signal);
    return contentOf(stream);
  }

  /** Streams a file in: it appears whole, or not at all. An old one keeps its owner and mode where none is given. */
  async write(
    params: { path: string; parents?: boolean } & VolumeOwner,
    source: AsyncIterable<Uint8Array>,
    { signal }: Cancelable = {},
  ): Promise<{ size: number }> {
    const stream = this.#connection.open('file.write', params);
    cancelOn(stream, signal);
    return { size: countOf(await upload(stream, source), 'size') };
  }

  /**
   * A folder as a tar stream (pax). Pipes, sockets and devices are left out. `counted` says how much was in it, after the
   * last byte.
   */
  async archive(
    path: string,
    { signal }: Cancelable = {},
  ): Promise<{ body: Readable; counted: () => Promise<{ entries: number; bytes: number }> }> {
    const stream = this.#connection.open('file.archive', { path });
    cancelOn(stream, signal);
    const begun = await within(stream, stream.message());
    if (begun?.archive !== true) throw violation('no archive');
    return { body: bodyOf(stream), counted: async () => sumsOf(await stream.result()) };
  }

  /** Takes what a guest's kernel asks of a folder of the volume, and answers it; nothing outside of the folder. */
  async fuse(params: { path: string; readOnly: boolean }): Promise<Duplex> {
    const stream = this.#connection.open('fuse', params);
    const ready = await within(stream, stream.message());
    if (ready?.ready !== true) throw violation('no "ready"');
    return duplexOf(stream);
  }

  /**
   * Unpacks a tar stream into a folder. What leads out, devices and pipes are refused (`file_invalid`) and named; entries
   * before it stay. Owners are the archive's unless given; set-id bits are dropped. Blocks of zeros become holes.
   */
  async extract(
    params: { path: string; uid?: number; gid?: number },
    source: AsyncIterable<Uint8Array>,
    { signal }: Cancelable = {},
  ): Promise<{ entries: number; bytes: number }> {
    const stream = this.#connection.open('file.extract', params);
    cancelOn(stream, signal);
    return sumsOf(await upload(stream, source));
  }
}

function sumsOf(done: JsonObject): { entries: number; bytes: number } {
  return { entries: countOf(done, 'entries'), bytes: countOf(done, 'bytes') };
}

function tooLate(error: unknown): unknown {
  if (!(error instanceof CasemateError) || error.code !== 'timeout') return error;
  return new CasemateError('timeout', 'The volume did not answer in time.');
}
