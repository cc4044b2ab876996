/** `casemate template`: build, list and remove templates. */
import type { Command } from 'commander';
import { clientOf, globalFlags } from './connection.ts';
import { printOne, printRows } from './print.ts';

const barWidth = 30;

export function templateCommand(program: Command): void {
  const template = program.command('template').description('templates that sandboxes start from');
  template
    .command('build')
    .description('build a template, unless its definition is unchanged')
    .argument('<name>')
    .action(async (name: string) => {
      const built = await clientOf(program).templates.build(name, (progress) => {
        if (globalFlags(program).json === true)
          process.stdout.write(`${JSON.stringify({ type: 'progress', ...progress })}\n`);
        else if (process.stderr.isTTY === true)
          process.stderr.write(`\r${bar(progress.percent)} ${progress.message.slice(0, 40).padEnd(40)}`);
        else process.stderr.write(`${String(progress.percent).padStart(3)} % ${progress.message}\n`);
      });
      if (process.stderr.isTTY === true) process.stderr.write('\n');
      printOne(
        program,
        built,
        `${built.name} ${built.digest.slice(0, 12)} ${Math.round(built.bytes / 1048576)} MiB`,
      );
    });
  template
    .command('ls')
    .description('list templates')
    .action(async () => {
      printRows(program, await clientOf(program).templates.list(), {
        NAME: (row) => row.name,
        READY: (row) => (row.ready ? 'yes' : 'no'),
        DIGEST: (row) => row.digest.slice(0, 12),
        MIB: (row) => Math.round(row.bytes / 1048576),
        BUILT: (row) => row.builtAt,
      });
    });
  template
    .command('rm')
    .description('remove a built template')
    .argument('<name>')
    .action(async (name: string) => {
      await clientOf(program).templates.remove(name);
      printOne(program, { name, removed: true }, name);
    });
}

function bar(percent: number): string {
  const filled = Math.round((percent / 100) * barWidth);
  return `[${'#'.repeat(filled)}${'.'.repeat(barWidth - filled)}] ${String(percent).padStart(3)} %`;
}
