/** `casemate ps`: the programs of a sandbox. */
import type { Command } from 'commander';
import { sandboxOf } from './connection.ts';
import { printRows } from './print.ts';

export function psCommand(program: Command): void {
  program
    .command('ps')
    .description('list the programs of a sandbox')
    .argument('<sandbox>', 'sandbox id')
    .action(async (id: string) => {
      const sbx = await sandboxOf(program, id);
      printRows(program, await sbx.processes(), {
        EXEC: (row) => row.execId,
        PID: (row) => row.pid,
        USER: (row) => row.user,
        STARTED: (row) => row.startedAt,
        STATE: (row) =>
          row.exited === undefined ? 'running' : `${row.exited.reason} (${row.exited.exitCode})`,
        COMMAND: (row) => row.argv.join(' ').slice(0, 80),
      });
    });
}
