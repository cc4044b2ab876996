/** `casemate secret`: values that sandboxes use without seeing them. */
import type { Command } from 'commander';
import { readFileSync } from 'node:fs';
import { CasemateError, type SecretInfo } from '../../sdk/typescript/src/index.ts';
import { clientOf } from './connection.ts';
import { printOne, printRows } from './print.ts';

const columns = {
  NAME: (row: SecretInfo) => row.name,
  HOSTS: (row: SecretInfo) => row.hosts.join(','),
  ENV: (row: SecretInfo) => row.env,
  VERSION: (row: SecretInfo) => row.version,
  UPDATED: (row: SecretInfo) => row.updatedAt,
};

export function secretCommand(program: Command): void {
  const secret = program.command('secret').description('values that sandboxes use without seeing them');
  secret
    .command('set')
    .description('make a secret or give it a new value, read from stdin or a file')
    .argument('<name>')
    .requiredOption(
      '--host <host>',
      'where the value may go: name or *.name; repeatable',
      (host: string, before: string[] = []) => [...before, host],
    )
    .option('--env <name>', 'variable in which programs find the placeholder; of the name by default')
    .option('--file <file>', 'read the value from this file instead of stdin')
    .action(async (name: string, flags: { host: string[]; env?: string; file?: string }) => {
      const set = await clientOf(program).secrets.set(name, {
        value: valueFrom(flags.file),
        hosts: flags.host,
        ...(flags.env === undefined ? {} : { env: flags.env }),
      });
      printOne(program, set, `${set.name} version ${set.version}`);
    });
  secret
    .command('ls')
    .description('list secrets, without their values')
    .action(async () => printRows(program, await clientOf(program).secrets.list(), columns));
  secret
    .command('rm')
    .description('remove a secret; running sandboxes lose it')
    .argument('<name>')
    .action(async (name: string) => {
      await clientOf(program).secrets.remove(name);
      printOne(program, { secret: name, removed: true }, name);
    });
}

/** Without the line's end that `echo` and editors add. */
function valueFrom(file: string | undefined): string {
  if (file === undefined && process.stdin.isTTY) {
    throw new CasemateError(
      'invalid_request',
      'The value comes from stdin or a file, so that no history keeps it.',
      {
        hint: 'casemate secret set <name> --host <host> < file',
      },
    );
  }
  return readFileSync(file ?? 0, 'utf8').replace(/\r?\n$/, '');
}
