/** `casemate kill`: end sandboxes. */
import type { Command } from 'commander';
import { CasemateError, Sandbox } from '../../sdk/typescript/src/index.ts';
import { connectionOf, sandboxOf } from './connection.ts';
import { printOne } from './print.ts';

export function killCommand(program: Command): void {
  program
    .command('kill')
    .description('end sandboxes; nothing of them is left')
    .argument('[sandboxes...]', 'sandbox ids')
    .option('--all', 'every sandbox of your tenant')
    .action(async (ids: string[], flags: { all?: boolean }) => {
      const wanted = [...ids];
      if (flags.all === true)
        for await (const info of Sandbox.list(connectionOf(program))) wanted.push(info.id);
      if (wanted.length === 0 && flags.all !== true) {
        throw new CasemateError('invalid_request', 'Say which sandbox.', {
          hint: '`casemate ls` lists them; --all means every one.',
        });
      }
      for (const id of wanted) {
        await (await sandboxOf(program, id)).kill();
        printOne(program, { id, killed: true }, id);
      }
    });
}
