/** `casemate cp`: files and folders between this machine and a sandbox. */
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, readdir, stat } from 'node:fs/promises';
import { basename, dirname, join, posix, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Command } from 'commander';
import { CasemateError, type FileEntry, type Sandbox } from '../../sdk/typescript/src/index.ts';
import { sandboxOf } from './connection.ts';
import { harmless } from './harmless.ts';
import { writeOut } from './print.ts';

const place = /^([a-z0-9]{20}):(.*)$/;

export function cpCommand(program: Command): void {
  program
    .command('cp')
    .description('copy files: <sandbox>:<path> on one side, a local path or - on the other')
    .argument('<from>')
    .argument('<to>')
    .action(async (from: string, to: string) => {
      const [source, target] = [place.exec(from), place.exec(to)];
      if (source?.[1] !== undefined && target === null) {
        await downloadTo(await sandboxOf(program, source[1]), source[2] ?? '', to);
      } else if (target?.[1] !== undefined && source === null) {
        await uploadTo(await sandboxOf(program, target[1]), from, target[2] ?? '');
      } else {
        throw new CasemateError('invalid_request', 'One side has to be <sandbox>:<path>, the other local.');
      }
    });
}

async function uploadTo(sbx: Sandbox, from: string, to: string): Promise<void> {
  if (from === '-') {
    await sbx.files.write(to, process.stdin, { parents: true });
    return;
  }
  const isFolder = to === '' || to.endsWith('/') || (await isRemoteFolder(sbx, to));
  await upload(sbx, from, isFolder ? posix.join(to, basename(resolve(from))) : to);
}

async function isRemoteFolder(sbx: Sandbox, path: string): Promise<boolean> {
  return (await sbx.files.exists(path)) && (await sbx.files.stat(path)).type === 'directory';
}

async function upload(sbx: Sandbox, from: string, target: string): Promise<void> {
  const local = await stat(from);
  if (!local.isDirectory()) {
    await sbx.files.write(target, createReadStream(from, { highWaterMark: 256 * 1024 }), {
      parents: true,
      mode: local.mode & 0o777,
    });
    return;
  }
  await sbx.files.mkdir(target, { parents: true });
  for (const entry of await readdir(from, { withFileTypes: true })) {
    if (entry.isDirectory() || entry.isFile())
      await upload(sbx, join(from, entry.name), posix.join(target, entry.name));
    else skipped(join(from, entry.name));
  }
}

async function downloadTo(sbx: Sandbox, from: string, to: string): Promise<void> {
  if (to === '-') {
    for await (const piece of await sbx.files.read(from, { format: 'stream' }))
      await writeOut(process.stdout, piece);
    return;
  }
  const remote = await sbx.files.stat(from);
  const isFolder = await stat(to)
    .then((local) => local.isDirectory())
    .catch(() => to.endsWith('/'));
  await download(sbx, { ...remote, path: from }, isFolder ? join(to, safe(remote.name)) : to);
}

type Remote = Pick<FileEntry, 'path' | 'type' | 'mode'>;

async function download(sbx: Sandbox, remote: Remote, target: string): Promise<void> {
  const { path: from } = remote;
  if (remote.type !== 'directory') {
    await mkdir(dirname(target), { recursive: true });
    const body = await sbx.files.read(from, { format: 'stream' });
    await pipeline(
      Readable.fromWeb(body as Parameters<typeof Readable.fromWeb>[0]),
      createWriteStream(target, { mode: remote.mode & 0o777 }),
    );
    return;
  }
  await mkdir(target, { recursive: true });
  for (const entry of await sbx.files.list(from)) {
    if (entry.type === 'file' || entry.type === 'directory') {
      await download(
        sbx,
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

/** A name out of a sandbox may try to leave the folder that it is written to. */
function safe(name: string): string {
  if (name === '' || name === '.' || name === '..' || /[/\\\0]/.test(name)) {
    throw new CasemateError('file_invalid', 'The sandbox named a file in a way that leads elsewhere.');
  }
  return name;
}
