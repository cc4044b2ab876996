/** Files of volumes without a sandbox: who may, what is written down, and how long what serves them is needed. */
import { CasemateError } from '../base/errors.ts';
import type { VolumeClient } from '../guest/volumeClient.ts';
import type { SandboxNode } from '../node/types.ts';
import type { VolumeRow } from '../store/types.ts';
import type { Principal } from './access.ts';
import type { AuditAction, Recorder } from './recorder.ts';
import type { Volumes } from './volumes.ts';

export interface VolumeFilesOptions {
  readonly node: SandboxNode;
  readonly recorder: Recorder;
  readonly volumes: Volumes;
}

/** What the audit log says of a call; the volume's id is added. */
export interface FileRecord {
  readonly action: AuditAction;
  readonly detail: Readonly<Record<string, unknown>>;
}

const changes: ReadonlySet<AuditAction> = new Set<AuditAction>([
  'file.write',
  'file.mkdir',
  'file.move',
  'file.remove',
  'file.change',
  'file.extract',
]);

/**
 * @example
 * const record = { action: 'file.stat', detail: { path } } as const
 * const entry = await core.volumeFiles.use(principal, volume, record, (files) => files.stat(path))
 */
export class VolumeFiles {
  readonly #options: VolumeFilesOptions;

  constructor(options: VolumeFilesOptions) {
    this.#options = options;
  }

  /**
   * Does something with a volume's files and records it.
   * @param volume id or name
   * @throws CasemateError `not_found`, `forbidden` for a key of one sandbox, `conflict` while it is not ready
   */
  async use<Result>(
    principal: Principal,
    volume: string,
    record: FileRecord,
    work: (files: VolumeClient, row: VolumeRow) => Promise<Result>,
  ): Promise<Result> {
    const { files, row, done } = await this.#open(principal, volume, record);
    try {
      return await work(files, row);
    } finally {
      done();
    }
  }

  /** Like `use`, for something that goes on after the answer: the use ends when `ended` resolves. */
  async useStream<Result>(
    principal: Principal,
    volume: string,
    record: FileRecord,
    work: (
      files: VolumeClient,
      row: VolumeRow,
    ) => Promise<{ readonly result: Result; readonly ended: Promise<unknown> }>,
  ): Promise<Result> {
    const { files, row, done } = await this.#open(principal, volume, record);
    try {
      const { result, ended } = await work(files, row);
      ended.then(done, done);
      return result;
    } catch (error) {
      done();
      throw error;
    }
  }

  async #open(
    principal: Principal,
    volume: string,
    { action, detail }: FileRecord,
  ): Promise<{ files: VolumeClient; row: VolumeRow; done: () => void }> {
    const { node, recorder, volumes } = this.#options;
    const row = volumes.ready(principal, volume);
    // Here and not only in the process that serves it, which may have been started for a machine.
    if (row.readOnly && changes.has(action))
      throw new CasemateError('file_denied', `Volume ${row.name} is read-only.`);
    recorder.did(principal, action, undefined, { volumeId: row.id, ...detail });
    return { row, ...(await node.volumes.useFiles(row.id, row.readOnly)) };
  }
}
