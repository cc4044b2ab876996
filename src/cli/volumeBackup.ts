/** `casemate volume backup` and `restore`: a volume as one file of this machine. */
import { createReadStream } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import type { Command } from 'commander';
import { clientOf } from './connection.ts';
import { printOne, writeOut } from './print.ts';

export function volumeBackupCommands(program: Command, volume: Command): void {
  volume
    .command('backup')
    .description('write a volume as it is now to one file: a tar archive with its checksum')
    .argument('<volume>', 'id or name')
    .option('-o, --output <file>', 'or - for standard output; <name>.tar by default')
    .action(async (name: string, flags: { output?: string }) => {
      const source = await clientOf(program).volumes.get(name);
      const body = await source.backup();
      if (flags.output === '-') {
        for await (const piece of body) await writeOut(process.stdout, piece);
        return;
      }
      const file = flags.output ?? `${source.name}.tar`;
      const bytes = await saveWhole(body, file);
      printOne(program, { volume: source.name, file, bytes }, `${file}, ${bytes} bytes`);
    });
  volume
    .command('restore')
    .description('create a volume from a backup; nothing is left of a damaged one')
    .argument('<file>', 'or - for standard input')
    .requiredOption('--name <name>', 'of the new volume')
    .action(async (file: string, flags: { name: string }) => {
      const source = file === '-' ? process.stdin : createReadStream(file, { highWaterMark: 256 * 1024 });
      const made = await clientOf(program).volumes.restore(flags.name, source);
      printOne(program, await made.info(), made.id);
    });
}

/** The file has its name when all of it is on the disk; a half one is taken away. Answers its bytes. */
async function saveWhole(body: AsyncIterable<Uint8Array>, file: string): Promise<number> {
  const part = `${file}.part`;
  const handle = await open(part, 'w', 0o600);
  let bytes = 0;
  try {
    try {
      for await (const piece of body) {
        await handle.writeFile(piece);
        bytes += piece.length;
      }
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(part, file);
    return bytes;
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  }
}
