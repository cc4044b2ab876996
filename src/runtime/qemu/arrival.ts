/** Where a machine's memory arrives while the machine stands still: in the host's memory where there is room, on the disk after it. */
import { chownSync, closeSync, openSync, readFileSync, rmSync, statfsSync, truncateSync } from 'node:fs';
import { copySparse } from '../host/sealed.ts';

/** Most hosts have a file system in memory here; a container's may be small. */
const memoryFolder = '/dev/shm';
/** statfs(2): TMPFS_MAGIC. */
const tmpfsType = 0x0102_1994;

export interface Arrival {
  /** The file that the receiver maps. */
  readonly path: string;
  /** To be called when the receiver has it open: then it has no name any more, and no crash leaves it behind. */
  forgetName(): void;
  /** Brings it to where it is to stay; nobody may have it open to write by then. */
  keep(): Promise<void>;
  close(): void;
}

/**
 * A file on a disk costs a shared mapping 20 µs and more for each page that is written first, one in memory a tenth of
 * that: the machine would stand still for seconds instead of a fraction of one.
 * @param target an empty file of the guest's size, which the memory is to be in afterwards.
 */
export function arrivalFor(target: string, bytes: number, id: string, uid: number): Arrival {
  if (!hasRoom(bytes)) {
    chownSync(target, uid, uid);
    return { path: target, forgetName: () => {}, keep: async () => {}, close: () => {} };
  }
  const path = `${memoryFolder}/casemate-${id}`;
  const descriptor = openSync(path, 'wx', 0o600);
  try {
    truncateSync(path, bytes);
    chownSync(path, uid, uid);
  } catch (error) {
    closeSync(descriptor);
    rmSync(path, { force: true });
    throw error;
  }
  return {
    path,
    forgetName: () => rmSync(path, { force: true }),
    keep: () => copySparse('/proc/self/fd/3', target, [descriptor]),
    close: () => {
      closeSync(descriptor);
      rmSync(path, { force: true });
    },
  };
}

/** Twice over: others come too, and what runs on the host is not to be pushed out. */
function hasRoom(bytes: number): boolean {
  try {
    const { type, bavail, bsize } = statfsSync(memoryFolder);
    const [, available = '0'] =
      /^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8')) ?? [];
    return type === tmpfsType && Math.min(bavail * bsize, Number(available) * 1024) >= 2 * bytes;
  } catch {
    return false;
  }
}
