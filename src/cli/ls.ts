/** `casemate ls`: the sandboxes of your tenant. */
import type { Command } from 'commander';
import { Sandbox, type SandboxInfo } from '../../sdk/typescript/src/index.ts';
import { connectionOf } from './connection.ts';
import { printRows } from './print.ts';

export function lsCommand(program: Command): void {
  program
    .command('ls')
    .description('list sandboxes')
    .option('-a, --all', 'also those that ended')
    .action(async (flags: { all?: boolean }) => {
      const rows: SandboxInfo[] = [];
      const states = ['starting', 'running', 'paused', 'ending', 'ended'] as const;
      const options = { ...connectionOf(program), ...(flags.all === true ? { states } : {}) };
      for await (const info of Sandbox.list(options)) rows.push(info);
      printRows(program, rows, {
        ID: (row) => row.id,
        TEMPLATE: (row) => row.template,
        RUNTIME: (row) => row.runtime,
        STATE: (row) => (row.endReason === undefined ? row.state : `${row.state} (${row.endReason})`),
        CREATED: (row) => row.createdAt,
        ENDS: (row) => row.endedAt ?? row.endsAt,
        LABELS: (row) =>
          Object.entries(row.labels)
            .map(([name, value]) => `${name}=${value}`)
            .join(' '),
      });
    });
}
