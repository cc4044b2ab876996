/** Files and folders between this machine and a sandbox or a volume. */
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, readdir, stat } from 'node:fs/promises';
import { basename, dirname, join, posix, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import {
  CasemateError,
  type FileEntry,
  type Files,
  type VolumeFiles,
} from '../../sdk/typescript/src/index.ts';
import { harmless } from './harmless.ts';
import { writeOut } from './print.ts';

/** Files of a sandbox, or of a volume. */
export type RemoteFiles = Files | VolumeFiles;

/** A file or a folder of this machine, or - for standard input. */
export async function uploadTo(files: RemoteFiles, from: string, to: string): Promise<void> {
  if (from === '-') {
    await files.write(to, process.stdin, { parents: true });
    return;
  }
  const isFolder = to === '' || to.endsWith('/') || (await isRemoteFolder(files, to));
  await upload(files, from, isFolder ? posix.join(to, basename(resolve(from))) : to);
}

async function isRemoteFolder(files: RemoteFiles, path: string): Promise<boolean> {
  return (await files.exists(path)) && (await files.stat(path)).type === 'directory';
}

async function upload(files: RemoteFiles, from: string, target: string): Promise<void> {
  const local = await stat(from);
  if (!local.isDirectory()) {
    await files.write(target, createReadStream(from, { highWaterMark: 256 * 1024 }), {
      parents: true,
      mode: local.mode & 0o777,
    });
    return;
  }
  await files.mkdir(target, { parents: true });
  for (const entry of await readdir(from, { withFileTypes: true })) {
    if (entry.isDirectory() || entry.isFile())
      await upload(files, join(from, entry.name), posix.join(target, entry.name));
    else skipped(join(from, entry.name));
  }
}

/** A file or a folder from there, or a file to - for standard output. */
export async function downloadTo(files: RemoteFiles, from: string, to: string): Promise<void> {
  if (to === '-') {
    for await (const piece of await files.read(from, { format: 'stream' }))
      await writeOut(process.stdout, piece);
    return;
  }
  const remote = await files.stat(from);
  const isFolder = await stat(to)
    .then((local) => local.isDirectory())
    .catch(() => to.endsWith('/'));
  await download(files, { ...remote, path: from }, isFolder ? join(to, safe(remote.name)) : to);
}

type Remote = Pick<FileEntry, 'path' | 'type' | 'mode'>;

async function download(files: RemoteFiles, remote: Remote, target: string): Promise<void> {
  const { path: from } = remote;
  if (remote.type !== 'directory') {
    await mkdir(dirname(target), { recursive: true });
    const body = await files.read(from, { format: 'stream' });
    await pipeline(
      Readable.fromWeb(body as Parameters<typeof Readable.fromWeb>[0]),
      createWriteStream(target, { mode: remote.mode & 0o777 }),
    );
    return;
  }
  await mkdir(target, { recursive: true });
  for (const entry of await files.list(from)) {
    if (entry.type === 'file' || entry.type === 'directory') {
      await download(
        files,
        { ...entry, path: posix.join(from, safe(entry.name)) },
        join(target, safe(entry.name)),
      );
    } else {
      skipped(posix.join(from, entry.name));
    }
  }
}

/** Links and devices are left out: one that leads elsewhere would be followed on the other side. */
function skipped(path: string): void {
  process.stderr.write(`skipped ${harmless(path)}: neither a file nor a folder\n`);
}

/** A name that a sandbox gave may try to leave the folder that it is written to. */
function safe(name: string): string {
  if (name === '' || name === '.' || name === '..' || /[/\\\0]/.test(name)) {
    throw new CasemateError('file_invalid', 'The other side named a file in a way that leads elsewhere.');
  }
  return name;
}
