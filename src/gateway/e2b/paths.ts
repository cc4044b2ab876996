/** Paths as E2B's clients write them, and what lies there. */
import { posix } from 'node:path';
import { CasemateError } from '../../base/errors.ts';
import type { GuestClient } from '../../guest/client.ts';
import type { FileEntry } from '../../guest/types.ts';
import type { AsUser } from './call.ts';

const linksFollowedMax = 8;

/** `~` is the user's home, where the guest starts relative paths anyway. */
export function guestPath(path: string): string {
  if (path === '' || path === '~') return '.';
  return path.startsWith('~/') ? `./${path.slice(2)}` : path;
}

export interface Described {
  readonly entry: FileEntry;
  /** What a symlink leads to in the end; undefined for everything else, and for a link into nowhere. */
  readonly target?: FileEntry;
}

/** @throws CasemateError `file_not_found` */
export async function describe(guest: GuestClient, path: string, as: AsUser): Promise<Described> {
  return followed(guest, await guest.fileStat(guestPath(path), as), as);
}

/** Looks up where a symlink leads. */
export async function followed(guest: GuestClient, entry: FileEntry, as: AsUser): Promise<Described> {
  let current = entry;
  for (let links = 0; current.type === 'symlink' && current.target !== undefined; links += 1) {
    if (links === linksFollowedMax) return { entry };
    try {
      current = await guest.fileStat(posix.resolve(posix.dirname(current.path), current.target), as);
    } catch (error) {
      if (isFileError(error)) return { entry };
      throw error;
    }
  }
  return entry.type === 'symlink' ? { entry, target: current } : { entry };
}

export function isFileError(error: unknown): boolean {
  return error instanceof CasemateError && error.code.startsWith('file_');
}

export function isMissing(error: unknown): boolean {
  return error instanceof CasemateError && error.code === 'file_not_found';
}

/** @throws CasemateError `file_not_found`, `file_invalid` */
export async function needDirectory(guest: GuestClient, path: string, as: AsUser): Promise<FileEntry> {
  const { entry, target } = await describe(guest, path, as);
  if ((target ?? entry).type === 'directory') return entry;
  throw new CasemateError('file_invalid', `path is not a directory: ${entry.path}`);
}
