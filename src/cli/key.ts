/** `casemate key`: API keys. */
import type { Command } from 'commander';
import { clientOf } from './connection.ts';
import { printOne, printRows } from './print.ts';

export function keyCommand(program: Command): void {
  const key = program.command('key').description('API keys');
  key
    .command('ls')
    .description('list keys, without their secrets')
    .action(async () => {
      printRows(program, await clientOf(program).keys.list(), {
        ID: (row) => row.id,
        NAME: (row) => row.name,
        TENANT: (row) => row.tenantId,
        SCOPE: (row) => row.scope,
        CREATED: (row) => row.createdAt,
      });
    });
  key
    .command('create')
    .description('create a key and print it, this once')
    .argument('<name>')
    .option('--scope <scope>', 'admin, tenant or sandbox:<id>', 'tenant')
    .option('--tenant <id>', 'tenant; a new one is made')
    .action(async (name: string, flags: { scope: string; tenant?: string }) => {
      const made = await clientOf(program).keys.create({
        name,
        scope: flags.scope,
        ...(flags.tenant === undefined ? {} : { tenantId: flags.tenant }),
      });
      printOne(program, made, made.key);
    });
  key
    .command('rm')
    .description('remove a key')
    .argument('<id>')
    .action(async (id: string) => {
      await clientOf(program).keys.remove(id);
      printOne(program, { id, removed: true }, id);
    });
}
