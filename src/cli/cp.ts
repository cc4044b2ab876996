/** `casemate cp`: files and folders between this machine and a sandbox. */
import type { Command } from 'commander';
import { CasemateError } from '../../sdk/typescript/src/index.ts';
import { sandboxOf } from './connection.ts';
import { downloadTo, uploadTo } from './transfer.ts';

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
        await downloadTo((await sandboxOf(program, source[1])).files, source[2] ?? '', to);
      } else if (target?.[1] !== undefined && source === null) {
        await uploadTo((await sandboxOf(program, target[1])).files, from, target[2] ?? '');
      } else {
        throw new CasemateError('invalid_request', 'One side has to be <sandbox>:<path>, the other local.');
      }
    });
}
