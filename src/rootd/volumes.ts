/** Volumes on disk: each a file system of its own in a sparse image, so that its bytes and inodes are bounded. */
import { mkdirSync, readFileSync, statfsSync, statSync } from 'node:fs';
import { chmod, mkdir, open, readdir, rename, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from '../base/child.ts';
import { CasemateError } from '../base/errors.ts';
import { sandboxIdPattern } from '../base/ids.ts';
import { limits } from '../base/limits.ts';
import type { Log } from '../base/log.ts';
import { isMountPoint } from '../runtime/host/disk.ts';
import type { RootVolume, VolumeQuota } from './protocol.ts';

interface VolumeRecord extends VolumeQuota {
  readonly id: string;
  readonly state: 'making' | 'ready' | 'removing';
}

const copyMsMax = 30 * 60_000;

export class Volumes {
  readonly #directory: string;
  readonly #log: Log;
  /** Whether a volume has to stay mounted now. */
  readonly #isUsed: (id: string) => boolean;
  readonly #records = new Map<string, VolumeRecord>();
  readonly #mounting = new Map<string, Promise<string>>();
  #idleTimer: NodeJS.Timeout | undefined;

  /** @param directory root's alone; volumes outlive everything else in a data directory. */
  constructor(directory: string, isUsed: (id: string) => boolean, log: Log) {
    this.#directory = directory;
    this.#isUsed = isUsed;
    this.#log = log;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  }

  #path(id: string, file = ''): string {
    if (!sandboxIdPattern.test(id))
      throw new CasemateError('invalid_request', 'A volume id has 20 characters.');
    return join(this.#directory, id, file);
  }

  /** Reads what there is, and clears away what a crash left half-made or half-removed. */
  async reconcile(): Promise<void> {
    for (const id of await readdir(this.#directory)) {
      if (!sandboxIdPattern.test(id)) continue;
      const record = recordOf(this.#path(id, 'volume.json'));
      if (record?.state === 'ready') {
        this.#records.set(id, record);
        // A copy that was cut off by a crash may have left it standing still.
        if (await isMountPoint(this.#mountPoint(id))) await this.#thaw(id);
      } else if (record !== undefined || (await readdir(this.#path(id))).length === 0) {
        await this.#erase(id);
      } else this.#log.error('volume_without_record', { id }); // somebody's data: nothing touches it by itself
    }
  }

  #mountPoint(id: string): string {
    return this.#path(id, 'fs');
  }

  #record(id: string): VolumeRecord {
    const record = this.#records.get(id);
    if (record?.state === 'ready') return record;
    throw new CasemateError('not_found', `There are no files of volume ${id}.`);
  }

  /**
   * Makes an empty one, or a copy of `from` as it is at one moment. On failure nothing of it is left.
   * @throws CasemateError `conflict`, `not_found`
   */
  async create(id: string, quota: VolumeQuota, from?: string): Promise<void> {
    if (this.#records.has(id)) throw new CasemateError('conflict', `There is a volume ${id} already.`);
    const { mib, inodes } = from === undefined ? quota : this.#record(from);
    const record: VolumeRecord = { id, mib, inodes, state: 'making' };
    this.#records.set(id, record);
    try {
      await mkdir(this.#path(id), { mode: 0o700 });
      await this.#write(record);
      if (from === undefined) await this.#make(id, record);
      else await this.#copy(from, id);
      await flush(this.#path(id, 'volume.img'));
      await this.#write({ ...record, state: 'ready' });
      await flush(this.#directory);
    } catch (error) {
      await this.#erase(id).catch((left: unknown) =>
        this.#log.error('volume_not_cleared_away', { id, reason: String(left) }),
      );
      throw error;
    }
  }

  async #make(id: string, { mib, inodes }: VolumeQuota): Promise<void> {
    const image = this.#path(id, 'volume.img');
    await runCommand(['truncate', '-s', `${mib}M`, image]);
    // With a journal: what was flushed is whole after a crash of the host. The file is all zeros, so no table is written.
    const options = 'nodiscard,assume_storage_prezeroed=1';
    await runCommand(['mkfs.ext4', '-q', '-F', '-m', '0', '-N', String(inodes), '-E', options, image]);
    const root = await this.#mount(id);
    await rmdir(join(root, 'lost+found'));
    await chmod(root, 0o777); // whoever the user of a sandbox is
  }

  /** It stands still meanwhile, for writers too. The copy shares blocks where the host's file system can. */
  async #copy(from: string, id: string): Promise<void> {
    const image = this.#path(id, 'volume.img');
    const argv = ['cp', '--reflink=auto', '--sparse=always', this.#path(from, 'volume.img'), image];
    await runCommand(['fsfreeze', '--freeze', await this.mounted(from)]);
    try {
      await runCommand(argv, { timeoutMs: copyMsMax });
    } finally {
      await this.#thaw(from);
    }
  }

  async #thaw(id: string): Promise<void> {
    await runCommand(['fsfreeze', '--unfreeze', this.#mountPoint(id)]).catch(() => {}); // it does not stand still
  }

  /** Replaces the record in one step, on the disk before this resolves. */
  async #write(record: VolumeRecord): Promise<void> {
    const file = this.#path(record.id, 'volume.json');
    const handle = await open(`${file}.new`, 'w', 0o600);
    await handle.writeFile(JSON.stringify(record));
    await handle.sync();
    await handle.close();
    await rename(`${file}.new`, file);
    await flush(this.#path(record.id));
    this.#records.set(record.id, record);
  }

  /** Where it is mounted on the host; mounts it where it is not. @throws CasemateError `not_found` */
  async mounted(id: string): Promise<string> {
    this.#record(id);
    return this.#mount(id);
  }

  #mount(id: string): Promise<string> {
    const running = this.#mounting.get(id);
    if (running !== undefined) return running;
    const work = this.#mountNow(id).finally(() => this.#mounting.delete(id));
    this.#mounting.set(id, work);
    return work;
  }

  async #mountNow(id: string): Promise<string> {
    const point = this.#mountPoint(id);
    if (!(await isMountPoint(point))) {
      await mkdir(point, { recursive: true, mode: 0o700 });
      // Programs of sandboxes run from it, inside; on the host nobody can get at them but root.
      const options = 'loop,noatime,nosuid,nodev,discard,errors=remount-ro';
      await runCommand(['mount', '-t', 'ext4', '-o', options, this.#path(id, 'volume.img'), point]);
    }
    this.unmountIdleLater();
    return point;
  }

  /** Unmounts what nobody uses, after a while: the next use soon after finds it mounted. */
  unmountIdleLater(): void {
    this.#idleTimer?.refresh();
    this.#idleTimer ??= setTimeout(() => void this.unmountIdle(), limits.volumeIdleMs).unref();
  }

  async unmountIdle(): Promise<void> {
    clearTimeout(this.#idleTimer);
    this.#idleTimer = undefined;
    for (const id of this.#records.keys()) {
      if (this.#isUsed(id) || this.#mounting.has(id)) continue;
      await this.#unmount(id).catch((error: unknown) =>
        this.#log.warn('volume_not_unmounted', { id, reason: String(error) }),
      );
    }
  }

  async #unmount(id: string): Promise<void> {
    const point = this.#mountPoint(id);
    if (await isMountPoint(point)) await runCommand(['umount', point]);
  }

  /** Idempotent. @throws CasemateError `conflict` while it is used */
  async remove(id: string): Promise<void> {
    const record = this.#records.get(id);
    if (record === undefined) return;
    if (this.#isUsed(id)) throw new CasemateError('conflict', `Volume ${id} is in use.`);
    await this.#write({ ...record, state: 'removing' });
    await this.#erase(id);
  }

  async #erase(id: string): Promise<void> {
    await this.#mounting.get(id)?.catch(() => {});
    await this.#unmount(id);
    await rm(this.#path(id), { recursive: true, force: true });
    this.#records.delete(id);
  }

  async list(): Promise<RootVolume[]> {
    const ready = [...this.#records.values()].filter(({ state }) => state === 'ready');
    return Promise.all(ready.map((record) => this.#describe(record)));
  }

  async #describe({ id, mib, inodes }: VolumeRecord): Promise<RootVolume> {
    const allocatedBytes = statSync(this.#path(id, 'volume.img')).blocks * 512;
    const point = this.#mountPoint(id);
    if (!(await isMountPoint(point))) return { id, mib, inodes, allocatedBytes };
    const { blocks, bfree, bsize, files, ffree } = statfsSync(point);
    return {
      id,
      mib,
      inodes,
      allocatedBytes,
      usedBytes: (blocks - bfree) * bsize,
      usedInodes: files - ffree,
    };
  }
}

function recordOf(file: string): VolumeRecord | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as VolumeRecord;
  } catch {
    return undefined;
  }
}

/** A file's bytes, or a folder's names, are on the disk when this resolves. */
async function flush(path: string): Promise<void> {
  const handle = await open(path, 'r');
  await handle.sync().finally(() => handle.close());
}
