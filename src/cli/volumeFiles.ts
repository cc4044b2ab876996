/** `casemate volume cp` and its like: files of a volume without a sandbox. */
import { createReadStream, createWriteStream } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Command } from 'commander';
import { CasemateError, type FileEntry, type VolumeFiles } from '../../sdk/typescript/src/index.ts';
import { clientOf } from './connection.ts';
import { harmless } from './harmless.ts';
import { printOne, printRows } from './print.ts';
import { downloadTo, uploadTo } from './transfer.ts';

const place = /^([a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}):(.*)$/s;

/** The files of the volume that is named, and the path in it. */
async function placeOf(program: Command, text: string): Promise<{ files: VolumeFiles; path: string }> {
  const [, name, path = ''] = place.exec(text) ?? [];
  if (name === undefined)
    throw new CasemateError('invalid_request', `${text} is not of the form <volume>:<path>.`);
  return { files: (await clientOf(program).volumes.get(name)).files, path: path === '' ? '/' : path };
}

export async function listFiles(program: Command, text: string, depth: number): Promise<void> {
  const { files, path } = await placeOf(program, text);
  printRows(program, await files.list(path, { depth }), {
    MODE: (row: FileEntry) => `${row.type[0]}${row.mode.toString(8).padStart(4, '0')}`,
    OWNER: (row: FileEntry) => `${row.uid}:${row.gid}`,
    SIZE: (row: FileEntry) => row.size,
    MODIFIED: (row: FileEntry) => row.modifiedAt,
    PATH: (row: FileEntry) => harmless(row.target === undefined ? row.path : `${row.path} -> ${row.target}`),
  });
}

export async function removeFile(program: Command, text: string, recursive: boolean): Promise<void> {
  const { files, path } = await placeOf(program, text);
  await files.remove(path, { recursive });
  printOne(program, { path, removed: true }, text);
}

export function volumeFileCommands(program: Command, volume: Command): void {
  volume
    .command('cp')
    .description('copy files: <volume>:<path> on one side, a local path or - on the other')
    .argument('<from>')
    .argument('<to>')
    .action(async (from: string, to: string) => {
      const [fromVolume, toVolume] = [place.test(from), place.test(to)];
      if (fromVolume === toVolume)
        throw new CasemateError('invalid_request', 'One side has to be <volume>:<path>, the other local.');
      const { files, path } = await placeOf(program, fromVolume ? from : to);
      if (fromVolume) await downloadTo(files, path, to);
      else await uploadTo(files, from, path);
    });
  volume
    .command('mkdir')
    .description('make a folder in a volume, and those above it')
    .argument('<place>', '<volume>:<path>')
    .action(async (text: string) => {
      const { files, path } = await placeOf(program, text);
      printOne(program, await files.mkdir(path, { parents: true }), text);
    });
  volume
    .command('mv')
    .description('move or rename a file within a volume')
    .argument('<place>', '<volume>:<path>')
    .argument('<path>', 'the new path in the same volume')
    .action(async (text: string, to: string) => {
      const { files, path } = await placeOf(program, text);
      printOne(program, await files.move(path, to), to);
    });
  volume
    .command('archive')
    .description('write a folder of a volume to a tar file')
    .argument('<place>', '<volume>:<path>')
    .argument('<file>', 'or - for standard output')
    .action(async (text: string, file: string) => {
      const { files, path } = await placeOf(program, text);
      const body = Readable.fromWeb((await files.archive(path)) as Parameters<typeof Readable.fromWeb>[0]);
      await pipeline(body, file === '-' ? process.stdout : createWriteStream(file));
    });
  volume
    .command('extract')
    .description('unpack a tar file into a folder of a volume')
    .argument('<file>', 'or - for standard input')
    .argument('<place>', '<volume>:<path>')
    .action(async (file: string, text: string) => {
      const { files, path } = await placeOf(program, text);
      const source = file === '-' ? process.stdin : createReadStream(file, { highWaterMark: 256 * 1024 });
      const done = await files.extract(source, { path });
      printOne(program, done, `${done.entries} entries, ${done.bytes} bytes`);
    });
}
