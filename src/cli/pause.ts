/** `casemate pause` and `casemate resume`: sandboxes that wait on disk. */
import type { Command } from 'commander';
import { sandboxOf } from './connection.ts';
import { number } from './createFlags.ts';
import { printOne } from './print.ts';

export function pauseCommand(program: Command): void {
  program
    .command('pause')
    .description('write a sandbox to disk; it costs nothing else until it is resumed')
    .argument('<sandbox>', 'sandbox id')
    .option('--files-only', 'end every program first and keep files only')
    .action(async (id: string, flags: { filesOnly?: boolean }) => {
      const sbx = await sandboxOf(program, id);
      printOne(program, await sbx.pause({ keepMemory: flags.filesOnly !== true }), id);
    });
}

export function resumeCommand(program: Command): void {
  program
    .command('resume')
    .description('let a paused sandbox go on where it stood')
    .argument('<sandbox>', 'sandbox id')
    .option('--timeout <seconds>', 'time limit from now', number)
    .action(async (id: string, flags: { timeout?: number }) => {
      const sbx = await sandboxOf(program, id);
      const options = flags.timeout === undefined ? {} : { timeoutMs: flags.timeout * 1000 };
      printOne(program, await sbx.resume(options), id);
    });
}
