/** Backups of volumes: one archive out of one moment, and a volume made of an archive only when all of it is as it was. */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import type { BackupEnd, BackupManifest } from '../../schema/volumeBackups.ts';
import { CasemateError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import type { Log } from '../base/log.ts';
import type { VolumeClient } from '../guest/volumeClient.ts';
import type { SandboxNode } from '../node/types.ts';
import type { VolumeRow } from '../store/types.ts';
import type { Principal } from './access.ts';
import { BackupReader, endOf, headOf } from './backupFormat.ts';
import type { Clock } from './clock.ts';
import type { Recorder } from './recorder.ts';
import type { VolumeDescription, Volumes } from './volumes.ts';

export interface VolumeBackupsOptions {
  readonly node: SandboxNode;
  readonly clock: Clock;
  readonly recorder: Recorder;
  readonly log: Log;
  readonly volumes: Volumes;
}

type Archive = Awaited<ReturnType<VolumeClient['archive']>>;

export class VolumeBackups {
  readonly #options: VolumeBackupsOptions;

  constructor(options: VolumeBackupsOptions) {
    this.#options = options;
  }

  /**
   * The volume as it is at one moment. Writers wait while a copy is made; the archive comes from the copy, which goes with
   * the stream. A volume that nobody writes to needs no copy. What goes wrong on the way stands in the archive's last block.
   * @param volume id or name
   * @throws CasemateError `not_found`, `conflict` while it is not ready, `no_capacity` for the copy
   */
  async backup(principal: Principal, volume: string, signal: AbortSignal): Promise<Readable> {
    const { node, recorder, volumes } = this.#options;
    const row = volumes.ready(principal, volume);
    recorder.did(principal, 'volume.backup', undefined, { volumeId: row.id, name: row.name });
    const takenAt = new Date(this.#options.clock.now()).toISOString();
    const source = row.readOnly ? row : await this.#copy(row, takenAt);
    let done = (): void => {};
    let ended: Promise<void> | undefined;
    const end = (): Promise<void> => {
      ended ??= (async () => {
        done();
        if (source !== row) await this.#discard(source);
      })();
      return ended;
    };
    try {
      const used = await node.volumes.useFiles(source.id, true);
      done = used.done;
      const { mode, uid, gid } = await used.files.stat('/');
      const { quotaMib, quotaInodes, labels } = row;
      const manifest: BackupManifest = {
        casemateVolumeBackup: 1,
        ...{ volume: row.name, takenAt, quotaMib, quotaInodes, labels, root: { mode, uid, gid } },
      };
      const archive = await used.files.archive('/', { signal });
      const body = Readable.from(pieces(manifest, archive, end), { objectMode: false });
      body.once('close', () => {
        archive.body.destroy();
        void end();
      });
      return body;
    } catch (error) {
      await end();
      throw error;
    }
  }

  async #copy({ id: fromId, ...row }: VolumeRow, createdAt: string): Promise<VolumeRow> {
    const id = newId();
    const copy: VolumeRow = { ...row, id, name: `backup-${id}`, state: 'archiving', fromId, createdAt };
    await this.#options.volumes.make(copy, fromId);
    return copy;
  }

  async #discard(row: VolumeRow): Promise<void> {
    await this.#options.volumes
      .discard(row)
      .catch((error: unknown) =>
        this.#options.log.warn('volume_not_removed', { id: row.id, reason: String(error) }),
      ); // the next start does
  }

  /**
   * Makes a volume of a backup, with the quotas and labels of the one that it was taken of. It is `restoring` until all of the
   * archive is unpacked, checked and on the disk; on failure nothing of it is left.
   * @throws CasemateError `backup_damaged`, `conflict` where the name is taken, `no_capacity`, `file_invalid` for an archive
   *   that was made to lead out
   */
  async restore(
    principal: Principal,
    name: string,
    source: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<VolumeDescription> {
    const { clock, recorder, volumes } = this.#options;
    const { tenantId } = principal;
    volumes.needFree(principal, name);
    const reader = new BackupReader(source);
    const { quotaMib, quotaInodes, labels = {}, root } = await reader.manifest();
    const row: VolumeRow = {
      ...{ id: newId(), tenantId, name, state: 'restoring', quotaMib, quotaInodes, readOnly: false, labels },
      createdAt: new Date(clock.now()).toISOString(),
    };
    await volumes.make(row);
    try {
      const { sha256 } = await this.#fill(row.id, reader, root, signal);
      recorder.did(principal, 'volume.restore', undefined, { volumeId: row.id, name, quotaMib, sha256 });
    } catch (error) {
      await this.#discard(row);
      throw error;
    }
    volumes.finish(row);
    return volumes.describe(principal, row.id);
  }

  async #fill(
    volumeId: string,
    reader: BackupReader,
    root: BackupManifest['root'],
    signal: AbortSignal,
  ): Promise<{ sha256: string }> {
    const { files, done } = await this.#options.node.volumes.useFiles(volumeId, false);
    try {
      const unpacked = await files
        .extract({ path: '/' }, reader.content(), { signal })
        .catch(async (error: unknown) => {
          // Damaged bytes make a damaged archive: the checksum tells which it was.
          if (error instanceof CasemateError && error.code === 'file_invalid') await reader.check();
          throw error;
        });
      const said = await reader.check();
      if (said.entries !== unpacked.entries || said.bytes !== unpacked.bytes)
        throw new CasemateError('backup_damaged', 'The backup holds another number of files than it says.');
      await files.change('/', root);
      return said;
    } finally {
      done();
    }
  }
}

/** @param read called when all of the archive was read: nothing of it is needed for the last block. */
async function* pieces(
  manifest: BackupManifest,
  archive: Archive,
  read: () => Promise<void>,
): AsyncGenerator<Buffer> {
  const hash = createHash('sha256');
  const head = headOf(manifest);
  hash.update(head);
  yield head;
  let end: BackupEnd;
  try {
    for await (const piece of archive.body as AsyncIterable<Buffer>) {
      hash.update(piece);
      yield piece;
    }
    end = { sha256: hash.digest('hex'), ...(await archive.counted()) };
  } catch (error) {
    const { code, message } = CasemateError.from(error);
    end = { error: { code, message } };
  }
  await read();
  yield endOf(end);
}
