/** `casemate pool`: how many warm sandboxes are kept. */
import type { Command } from 'commander';
import type { PoolInfo } from '../../sdk/typescript/src/index.ts';
import { clientOf } from './connection.ts';
import { number } from './createFlags.ts';
import { printRows } from './print.ts';

const columns = {
  TEMPLATE: (row: PoolInfo) => row.template,
  RUNTIME: (row: PoolInfo) => row.runtime,
  SIZE: (row: PoolInfo) => row.size,
  READY: (row: PoolInfo) => row.ready,
  STARTING: (row: PoolInfo) => row.starting,
};

export function poolCommand(program: Command): void {
  const pool = program.command('pool').description('warm pools');
  pool
    .command('ls')
    .description('list pools')
    .action(async () => printRows(program, await clientOf(program).pools.list(), columns));
  pool
    .command('set')
    .description('set the size of a pool')
    .argument('<template>')
    .argument('<size>', 'warm sandboxes', number)
    .option('--runtime <name>', 'runtime')
    .action(async (template: string, size: number, flags: { runtime?: string }) => {
      printRows(program, [await clientOf(program).pools.set(template, { size, ...flags })], columns);
    });
}
