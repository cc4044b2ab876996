/** `casemate audit`: who did what to which sandbox. */
import type { Command } from 'commander';
import { clientOf } from './connection.ts';
import { number } from './createFlags.ts';
import { printOne, printRows } from './print.ts';

export function auditCommand(program: Command): void {
  program
    .command('audit')
    .description('query the audit log, newest first')
    .option('--sandbox <id>', 'of one sandbox')
    .option('--action <name>', 'of one kind, such as exec.start')
    .option('-n, --limit <n>', 'how many', number, 50)
    .option('--verify', 'check that no event was changed or taken out, and print the last hash')
    .action(async (flags: { sandbox?: string; action?: string; limit: number; verify?: boolean }) => {
      if (flags.verify === true) return verify(program);
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

/** Exit code 1 where the chain is broken. */
async function verify(program: Command): Promise<void> {
  const chain = await clientOf(program).audit.verify();
  const { events, lastHash, brokenAt } = chain;
  if (brokenAt !== undefined) process.exitCode = 1;
  printOne(
    program,
    chain,
    brokenAt === undefined
      ? `${events} events, unchanged; last hash ${lastHash}`
      : `event ${brokenAt} does not follow from the ${events} before it: the log was changed there`,
  );
}
