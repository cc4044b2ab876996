/** `casemate volume`: files that outlive sandboxes. */
import type { Command } from 'commander';
import type { VolumeInfo } from '../../sdk/typescript/src/index.ts';
import { clientOf } from './connection.ts';
import { number } from './createFlags.ts';
import { printOne, printRows } from './print.ts';
import { volumeBackupCommands } from './volumeBackup.ts';
import { volumeObjectCommands } from './volumeObjects.ts';
import { listFiles, removeFile, volumeFileCommands } from './volumeFiles.ts';

const bytesPerMib = 1024 * 1024;
const columns = {
  NAME: (row: VolumeInfo) => row.name,
  ID: (row: VolumeInfo) => row.id,
  QUOTA: (row: VolumeInfo) => `${row.quotaMib} MiB`,
  ONDISK: (row: VolumeInfo) =>
    row.allocatedBytes === undefined ? 'missing' : `${Math.ceil(row.allocatedBytes / bytesPerMib)} MiB`,
  WRITABLE: (row: VolumeInfo) => (row.readOnly ? 'no' : 'yes'),
  SANDBOXES: (row: VolumeInfo) => row.sandboxes.length,
  CREATED: (row: VolumeInfo) => row.createdAt,
};

export function volumeCommand(program: Command): void {
  const volume = program.command('volume').description('files that outlive sandboxes');
  volume
    .command('create')
    .description('create an empty volume')
    .argument('<name>')
    .option('--quota <mib>', 'size, MiB; 1024 by default', number)
    .option('--inodes <n>', 'files and folders; 64 for each MiB by default', number)
    .action(async (name: string, flags: { quota?: number; inodes?: number }) => {
      const created = await clientOf(program).volumes.create({
        name,
        ...(flags.quota === undefined ? {} : { quotaMib: flags.quota }),
        ...(flags.inodes === undefined ? {} : { quotaInodes: flags.inodes }),
      });
      printOne(program, await created.info(), created.id);
    });
  volume
    .command('clone')
    .description('create a volume as a copy of another one as it is now')
    .argument('<volume>', 'id or name of the one to copy')
    .argument('<name>', 'name of the copy')
    .option('--read-only', 'nobody writes to the copy: a snapshot')
    .action(async (from: string, name: string, flags: { readOnly?: boolean }) => {
      const readOnly = flags.readOnly === true;
      const created = await clientOf(program).volumes.create({ name, from, readOnly });
      printOne(program, await created.info(), created.id);
    });
  volume
    .command('ls')
    .description('list volumes, or the files in a folder of one')
    .argument('[place]', '<volume>:<path>')
    .option('--depth <levels>', 'how deep to look; 1 by default', number)
    .action(async (place: string | undefined, flags: { depth?: number }) => {
      if (place === undefined) return printRows(program, await clientOf(program).volumes.list(), columns);
      await listFiles(program, place, flags.depth ?? 1);
    });
  volume
    .command('rm')
    .description('delete a volume and all that is in it, unless a sandbox has it; or a file in it')
    .argument('<volume>', 'id or name; with :<path> only that file')
    .option('-r, --recursive', 'a folder with what is in it')
    .action(async (name: string, flags: { recursive?: boolean }) => {
      if (name.includes(':')) return removeFile(program, name, flags.recursive === true);
      await clientOf(program).volumes.remove(name);
      printOne(program, { volume: name, removed: true }, name);
    });
  volumeFileCommands(program, volume);
  volumeBackupCommands(program, volume);
  volumeObjectCommands(program, volume);
}
