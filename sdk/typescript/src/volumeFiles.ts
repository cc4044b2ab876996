/** Files of a volume without a sandbox. */
import { CasemateError } from './errors.ts';
import { contentAs, type ReadOptions } from './files.ts';
import type { Transport } from './transport.ts';
import type { FileEntry } from './types.ts';
import { type Bytes, bodyOf } from './upload.ts';

/** Who owns what is made; the user of the templates (1000) by default, and the old owner and mode of what is replaced. */
export interface VolumeOwner {
  readonly uid?: number;
  readonly gid?: number;
  /** Permission bits; `0o644` for a new file, `0o755` for a new folder. */
  readonly mode?: number;
}

export interface VolumeWriteOptions extends VolumeOwner {
  /** Make missing folders above it. */
  readonly parents?: boolean;
  readonly signal?: AbortSignal;
}

type VolumeReadOptions = Omit<ReadOptions, 'user'>;

/**
 * Paths are relative to the volume's root. No symlink is followed, whoever made it: one on the way is `file_invalid`. What was
 * changed is on the disk when a call resolves.
 *
 * @example
 * const data = await casemate.volumes.get('data')
 * await data.files.write('in/table.csv', 'a,b\n1,2\n', { parents: true })
 */
export class VolumeFiles {
  readonly #transport: Transport;
  readonly #path: string;

  /** @internal */
  constructor(transport: Transport, volumePath: string) {
    this.#transport = transport;
    this.#path = `${volumePath}/files`;
  }

  /** Writes a file, streaming. Half an upload leaves the old file as it was. */
  async write(
    path: string,
    data: Bytes,
    options: VolumeWriteOptions = {},
  ): Promise<{ path: string; size: number }> {
    const { signal, ...query } = options;
    return this.#transport.json('PUT', this.#path, { body: bodyOf(data), query: { path, ...query }, signal });
  }

  /** Reads a file as text (by default), bytes, or a stream. */
  async read(path: string, options?: VolumeReadOptions & { format?: 'text' }): Promise<string>;
  async read(path: string, options: VolumeReadOptions & { format: 'bytes' }): Promise<Uint8Array>;
  async read(
    path: string,
    options: VolumeReadOptions & { format: 'stream' },
  ): Promise<ReadableStream<Uint8Array>>;
  async read(
    path: string,
    options: VolumeReadOptions & { format?: 'text' | 'bytes' | 'stream' } = {},
  ): Promise<string | Uint8Array | ReadableStream<Uint8Array>> {
    const { format, range, signal } = options;
    const headers = range === undefined ? {} : { range: `bytes=${range.first}-${range.last ?? ''}` };
    return contentAs(
      await this.#transport.request('GET', this.#path, { query: { path }, headers, signal }),
      format,
    );
  }

  /** A symlink is described itself. @throws CasemateError `file_not_found` */
  async stat(path: string): Promise<FileEntry> {
    return this.#transport.json('GET', `${this.#path}/stat`, { query: { path } });
  }

  async exists(path: string): Promise<boolean> {
    try {
      await this.stat(path);
      return true;
    } catch (error) {
      if (error instanceof CasemateError && error.code === 'file_not_found') return false;
      throw error;
    }
  }

  /** Entries below a folder; `depth` levels, 1 by default; 10,000 at most. */
  async list(path = '/', options: { depth?: number } = {}): Promise<FileEntry[]> {
    const query = { path, ...options };
    const answer = await this.#transport.json<{ entries: FileEntry[] }>('GET', `${this.#path}/list`, {
      query,
    });
    return answer.entries;
  }

  /** With `parents`, one that is there already is no error. */
  async mkdir(path: string, options: { parents?: boolean } & VolumeOwner = {}): Promise<FileEntry> {
    return this.#transport.json('POST', `${this.#path}/mkdir`, { json: { path, ...options } });
  }

  async move(from: string, to: string): Promise<FileEntry> {
    return this.#transport.json('POST', `${this.#path}/move`, { json: { from, to } });
  }

  /** Another owner or mode for a file or a folder. */
  async change(path: string, owner: VolumeOwner): Promise<FileEntry> {
    return this.#transport.json('POST', `${this.#path}/change`, { json: { path, ...owner } });
  }

  async remove(path: string, options: { recursive?: boolean } = {}): Promise<void> {
    await this.#transport.done('DELETE', this.#path, { query: { path, ...options } });
  }

  /** A folder as a tar stream. Pipes, sockets and devices are left out; a file with holes is archived with zeros. */
  async archive(path = '/', options: { signal?: AbortSignal } = {}): Promise<ReadableStream<Uint8Array>> {
    const { signal } = options;
    const response = await this.#transport.request('GET', `${this.#path}/archive`, {
      query: { path },
      signal,
    });
    return contentAs(response, 'stream');
  }

  /**
   * Unpacks a tar archive into a folder. What leads out, devices and pipes are refused; entries before it stay. Owners are
   * the archive's unless given; set-id bits are dropped.
   */
  async extract(
    archive: Bytes,
    options: { path?: string; uid?: number; gid?: number; signal?: AbortSignal } = {},
  ): Promise<{ entries: number; bytes: number }> {
    const { signal, ...query } = options;
    return this.#transport.json('PUT', `${this.#path}/archive`, { body: bodyOf(archive), query, signal });
  }
}
