/** Volumes: files that outlive sandboxes and that several of them can have at once. */
import { contentAs } from './files.ts';
import type { Transport } from './transport.ts';
import type { VolumeInfo } from './types.ts';
import { type Bytes, bodyOf } from './upload.ts';
import { wholeBackup } from './volumeBackup.ts';
import { VolumeFiles } from './volumeFiles.ts';

export interface CreateVolumeOptions {
  readonly name: string;
  /** Size of its file system; 1024 by default. */
  readonly quotaMib?: number;
  /** Files and folders; 64 for each MiB by default. */
  readonly quotaInodes?: number;
  /** Starts as a copy of this volume (id or name) as it is now, with the same quotas. */
  readonly from?: string;
  /** Nobody writes to it. With `from` that is a snapshot. */
  readonly readOnly?: boolean;
  readonly labels?: Readonly<Record<string, string>>;
}

/**
 * @example
 * const casemate = new Casemate()
 * const data = await casemate.volumes.create({ name: 'data', quotaMib: 256 })
 * await using sbx = await Sandbox.create({ volumes: [{ volume: 'data', path: '/data' }] })
 */
export class Volumes {
  readonly #transport: Transport;

  /** @internal */
  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** @throws CasemateError `conflict` where the name is taken, `no_capacity` */
  async create(options: CreateVolumeOptions): Promise<Volume> {
    return this.#volume(await this.#transport.json('POST', '/v1/volumes', { json: options }));
  }

  async list(): Promise<VolumeInfo[]> {
    return (await this.#transport.json<{ items: VolumeInfo[] }>('GET', '/v1/volumes')).items;
  }

  /** By id or by name. @throws CasemateError `not_found` */
  async get(idOrName: string): Promise<Volume> {
    return this.#volume(await this.#transport.json('GET', pathOf(idOrName)));
  }

  /** All that is in it is gone. @throws CasemateError `conflict` while a sandbox has it */
  async remove(idOrName: string): Promise<void> {
    await this.#transport.done('DELETE', pathOf(idOrName));
  }

  /**
   * Creates a volume from what `backup` gave, with its quotas. It can be used when this resolves: all of it was checked and is
   * on the disk. On failure nothing of it is left.
   *
   * @example
   * await casemate.volumes.restore('data-again', createReadStream('data.tar'))
   * @throws CasemateError `backup_damaged`, `conflict` where the name is taken, `no_capacity`
   */
  async restore(name: string, backup: Bytes, options: { signal?: AbortSignal } = {}): Promise<Volume> {
    const path = `${pathOf(name)}/backup`;
    return this.#volume(await this.#transport.json('PUT', path, { body: bodyOf(backup), ...options }));
  }

  #volume(info: VolumeInfo): Volume {
    return new Volume(this.#transport, info.id, info.name);
  }
}

export class Volume {
  readonly id: string;
  readonly name: string;
  /** What is in it, without a sandbox. */
  readonly files: VolumeFiles;
  readonly #transport: Transport;

  /** @internal */
  constructor(transport: Transport, id: string, name: string) {
    this.#transport = transport;
    this.id = id;
    this.name = name;
    this.files = new VolumeFiles(transport, pathOf(id));
  }

  info(): Promise<VolumeInfo> {
    return this.#transport.json('GET', pathOf(this.id));
  }

  /**
   * All of it as it is at one moment, as one archive with its SHA-256 in the last 512 bytes; any `tar` reads it. Writers wait
   * while a copy is made that it comes from. The stream fails where the archive is not whole.
   *
   * @example
   * await pipeline(Readable.fromWeb(await volume.backup()), createWriteStream('data.tar'))
   * @throws CasemateError `no_capacity` where the host's disk has no room for the copy
   */
  async backup(options: { signal?: AbortSignal } = {}): Promise<ReadableStream<Uint8Array>> {
    const response = await this.#transport.request('GET', `${pathOf(this.id)}/backup`, options);
    const body = await contentAs(response, 'stream');
    return body.pipeThrough(wholeBackup());
  }

  /** All that is in it is gone. @throws CasemateError `conflict` while a sandbox has it */
  async remove(): Promise<void> {
    await this.#transport.done('DELETE', pathOf(this.id));
  }
}

function pathOf(idOrName: string): string {
  return `/v1/volumes/${encodeURIComponent(idOrName)}`;
}
