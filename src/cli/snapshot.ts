/** `casemate snapshot` and `casemate fork`: start others from what a sandbox is now. */
import type { Command } from 'commander';
import { CasemateError, type SnapshotInfo } from '../../sdk/typescript/src/index.ts';
import { clientOf, sandboxOf } from './connection.ts';
import { number } from './createFlags.ts';
import { printOne, printRows } from './print.ts';

const columns = {
  ID: (row: SnapshotInfo) => row.id,
  NAME: (row: SnapshotInfo) => row.name ?? '',
  TEMPLATE: (row: SnapshotInfo) => row.template,
  RUNTIME: (row: SnapshotInfo) => row.runtime,
  MIB: (row: SnapshotInfo) => Math.ceil(row.bytes / (1024 * 1024)),
  PARENT: (row: SnapshotInfo) => row.parentId ?? '',
  CREATED: (row: SnapshotInfo) => row.createdAt,
};

export function snapshotCommand(program: Command): void {
  const snapshot = program.command('snapshot').description('snapshots that sandboxes start from');
  snapshot
    .command('take')
    .description('take a snapshot of a running sandbox, which goes on')
    .argument('<sandbox>', 'sandbox id')
    .option('--name <name>', 'a name to create from')
    .action(async (id: string, flags: { name?: string }) => {
      const taken = await (await sandboxOf(program, id)).snapshot(flags);
      printOne(program, taken, taken.id);
    });
  snapshot
    .command('ls')
    .description('list snapshots')
    .action(async () => printRows(program, await clientOf(program).snapshots.list(), columns));
  snapshot
    .command('rm')
    .description('delete a snapshot; sandboxes that were started from it go on')
    .argument('<snapshot>', 'id or name')
    .action(async (name: string) => {
      await clientOf(program).snapshots.remove(name);
      printOne(program, { snapshot: name, removed: true }, name);
    });
}

export function forkCommand(program: Command): void {
  program
    .command('fork')
    .description('start children from what a running sandbox is now; it goes on')
    .argument('<sandbox>', 'sandbox id')
    .argument('[count]', 'children', number, 1)
    .action(async (id: string, count: number) => {
      const children = await (await sandboxOf(program, id)).fork(count);
      for (const child of children) {
        if (child instanceof CasemateError) {
          process.exitCode = 1;
          printOne(
            program,
            { error: { code: child.code, message: child.message } },
            `failed: ${child.message}`,
          );
        } else printOne(program, { id: child.id }, child.id);
      }
    });
}
