/** Opens a folder inside of a volume, whose content is hostile: no symlink on the way is followed, nothing leads out. */
import { constants } from 'node:fs';
import { chmod, type FileHandle, mkdir, open } from 'node:fs/promises';
import { CasemateError } from '../base/errors.ts';

/** A handle on a place, without the right to read it (open(2)). */
const pathOnly = 0o10000000;
const flags = pathOnly | constants.O_DIRECTORY | constants.O_NOFOLLOW;
const componentsMax = 32;

/** The parts of a path below a volume's root. @throws CasemateError `invalid_request` */
export function componentsOf(subpath: string): string[] {
  const parts = subpath.split('/').filter((part) => part !== '');
  const sound = parts.every((part) => part !== '.' && part !== '..' && !part.includes('\0'));
  if (sound && parts.length <= componentsMax) return parts;
  throw new CasemateError('invalid_request', 'A subpath has 32 parts at most, and none of them is "..".');
}

/**
 * Goes down one part after the other, each opened relative to the folder that was opened before it (through
 * /proc/self/fd, because Node has no openat): what a sandbox renames or replaces meanwhile cannot lead elsewhere.
 * @param make whether missing folders are made, writable for every user of a sandbox.
 * @returns a handle on the folder; the caller closes it.
 * @throws CasemateError `not_found`, `invalid_request` where something on the way is no folder.
 */
export async function openBeneath(root: string, subpath: string, make: boolean): Promise<FileHandle> {
  let folder = await open(root, flags);
  for (const part of componentsOf(subpath)) {
    const path = `/proc/self/fd/${folder.fd}/${part}`;
    try {
      folder = await openPart(path, make).finally(folder.close.bind(folder));
    } catch (error) {
      throw refusal(error, subpath);
    }
  }
  return folder;
}

async function openPart(path: string, make: boolean): Promise<FileHandle> {
  try {
    return await open(path, flags);
  } catch (error) {
    if (!make || (error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  await mkdir(path, { mode: 0o777 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  const made = await open(path, flags);
  await chmod(`/proc/self/fd/${made.fd}`, 0o777); // whatever this process's umask is
  return made;
}

function refusal(error: unknown, subpath: string): CasemateError {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT') return new CasemateError('not_found', `The volume has no folder ${subpath}.`);
  if (code === 'ENOTDIR' || code === 'ELOOP') {
    return new CasemateError('invalid_request', `${subpath} does not lead through folders only.`);
  }
  if (code === 'ENOSPC' || code === 'EDQUOT') return new CasemateError('disk_full', 'The volume is full.');
  return CasemateError.from(error);
}
