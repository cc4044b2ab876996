/** `casemate audit`: who did what to which sandbox. */
import type { Command } from 'commander';
import { clientOf } from './connection.ts';
import { number } from './createFlags.ts';
import { printRows } from './print.ts';

export function auditCommand(program: Command): void {
  program
    .command('audit')
    .description('query the audit log, newest first')
    .option('--sandbox <id>', 'of one sandbox')
    .option('--action <name>', 'of one kind, such as exec.start')
    .option('-n, --limit <n>', 'how many', number, 50)
    .action(async (flags: { sandbox?: string; action?: string; limit: number }) => {
      const events = await clientOf(program).audit.list({
        limit: flags.limit,
        ...(flags.sandbox === undefined ? {} : { sandboxId: flags.sandbox }),
        ...(flags.action === undefined ? {} : { action: flags.action }),
      });
      printRows(program, events, {
        SEQ: (row) => row.seq,
        AT: (row) => row.at,
        ACTOR: (row) => row.actor,
        ACTION: (row) => row.action,
        SANDBOX: (row) => row.sandboxId,
        DETAIL: (row) => JSON.stringify(row.detail).slice(0, 120),
      });
    });
}
