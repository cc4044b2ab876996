/** Files of a sandbox. Relative paths start in the home of the user. */
import { CasemateError } from './errors.ts';
import { jsonLines, type Transport } from './transport.ts';
import type { FileEntry, FileEvent } from './types.ts';
import { type Bytes, bodyOf } from './upload.ts';

interface AsUser {
  /** User of the sandbox whose rights count; the sandbox's own by default. */
  readonly user?: string;
}

export interface WriteOptions extends AsUser {
  /** Permission bits, `0o644` by default for a new file. */
  readonly mode?: number;
  readonly append?: boolean;
  /** Make missing parent directories. */
  readonly parents?: boolean;
  readonly signal?: AbortSignal;
}

export interface ReadOptions extends AsUser {
  /** First and last byte, both included. */
  readonly range?: { readonly first: number; readonly last?: number };
  readonly signal?: AbortSignal;
}

export type ContentFormat = 'text' | 'bytes' | 'stream';

/** @internal What an answer holds, as its caller wants it. */
export function contentAs(response: Response, format: 'stream'): ReadableStream<Uint8Array>;
export function contentAs(
  response: Response,
  format: ContentFormat | undefined,
): ReadableStream<Uint8Array> | Promise<string | Uint8Array>;
export function contentAs(
  response: Response,
  format: ContentFormat | undefined,
): ReadableStream<Uint8Array> | Promise<string | Uint8Array> {
  if (format === 'bytes') return response.arrayBuffer().then((whole) => new Uint8Array(whole));
  if (format === 'stream')
    return response.body ?? new ReadableStream({ start: (controller) => controller.close() });
  return response.text();
}

export class Files {
  readonly #transport: Transport;
  readonly #path: string;

  /** @internal */
  constructor(transport: Transport, sandboxPath: string) {
    this.#transport = transport;
    this.#path = `${sandboxPath}/files`;
  }

  /** Writes a file, streaming. Half an upload leaves the old file as it was. */
  async write(
    path: string,
    data: Bytes,
    options: WriteOptions = {},
  ): Promise<{ path: string; size: number }> {
    const { signal, ...query } = options;
    return this.#transport.json('PUT', this.#path, { body: bodyOf(data), query: { path, ...query }, signal });
  }

  /** Reads a file as text (by default), bytes, or a stream. */
  async read(path: string, options?: ReadOptions & { format?: 'text' }): Promise<string>;
  async read(path: string, options: ReadOptions & { format: 'bytes' }): Promise<Uint8Array>;
  async read(path: string, options: ReadOptions & { format: 'stream' }): Promise<ReadableStream<Uint8Array>>;
  async read(
    path: string,
    options: ReadOptions & { format?: 'text' | 'bytes' | 'stream' } = {},
  ): Promise<string | Uint8Array | ReadableStream<Uint8Array>> {
    const { format, range, signal, user } = options;
    const headers = range === undefined ? {} : { range: `bytes=${range.first}-${range.last ?? ''}` };
    const response = await this.#transport.request('GET', this.#path, {
      query: { path, user },
      headers,
      signal,
    });
    return contentAs(response, format);
  }

  async stat(path: string, options: AsUser = {}): Promise<FileEntry> {
    return this.#transport.json('GET', `${this.#path}/stat`, { query: { path, ...options } });
  }

  async exists(path: string, options: AsUser = {}): Promise<boolean> {
    try {
      await this.stat(path, options);
      return true;
    } catch (error) {
      if (error instanceof CasemateError && error.code === 'file_not_found') return false;
      throw error;
    }
  }

  /** Entries below a directory; `depth` levels, 1 by default; 10,000 at most. */
  async list(path: string, options: AsUser & { depth?: number } = {}): Promise<FileEntry[]> {
    const answer = await this.#transport.json<{ entries: FileEntry[] }>('GET', `${this.#path}/list`, {
      query: { path, ...options },
    });
    return answer.entries;
  }

  async mkdir(path: string, options: AsUser & { mode?: number; parents?: boolean } = {}): Promise<FileEntry> {
    return this.#transport.json('POST', `${this.#path}/mkdir`, { json: { path, ...options } });
  }

  async move(from: string, to: string, options: AsUser = {}): Promise<FileEntry> {
    return this.#transport.json('POST', `${this.#path}/move`, { json: { from, to, ...options } });
  }

  async remove(path: string, options: AsUser & { recursive?: boolean } = {}): Promise<void> {
    await this.#transport.done('DELETE', this.#path, { query: { path, ...options } });
  }

  /** Changes below a directory, until the loop is left or the signal aborts. Resolves when the watch stands. */
  async watch(
    path: string,
    options: AsUser & { recursive?: boolean; signal?: AbortSignal } = {},
  ): Promise<AsyncGenerator<FileEvent>> {
    const { signal, ...query } = options;
    const response = await this.#transport.request('GET', `${this.#path}/watch`, {
      query: { path, ...query },
      signal,
    });
    const lines = jsonLines<FileEvent | { type: 'ready' }>(response);
    await lines.next();
    return lines as AsyncGenerator<FileEvent>;
  }
}
