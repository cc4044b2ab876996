/** `casemate shell`: a terminal in a sandbox. */
import type { Command } from 'commander';
import { CasemateError, type SandboxProcess } from '../../sdk/typescript/src/index.ts';
import { sandboxOf } from './connection.ts';
import { writeOut } from './print.ts';

export function shellCommand(program: Command): void {
  program
    .command('shell')
    .description('open a terminal in a sandbox')
    .argument('<sandbox>', 'sandbox id')
    .option('-u, --user <name>', 'user')
    .action(async (id: string, flags: { user?: string }) => {
      if (process.stdin.isTTY !== true) {
        throw new CasemateError('invalid_request', 'A shell needs a terminal.', {
          hint: 'Use `casemate exec -i` in scripts.',
        });
      }
      const sbx = await sandboxOf(program, id);
      const { rows, columns: cols } = process.stdout;
      process.exitCode = await converse(await sbx.pty({ rows, cols, ...flags }));
    });
}

/** Keys go in as they are typed, one request after the other so that they keep their order. */
async function converse(terminal: SandboxProcess): Promise<number> {
  let sent: Promise<unknown> = Promise.resolve();
  const onKey = (keys: Buffer): void => {
    sent = sent.then(() => terminal.writeStdin(keys)).catch(() => {});
  };
  const onResize = (): void => {
    void terminal.resize({ rows: process.stdout.rows, cols: process.stdout.columns }).catch(() => {});
  };
  process.stdin.setRawMode(true).on('data', onKey);
  process.stdout.on('resize', onResize);
  try {
    for await (const { data } of terminal.output()) await writeOut(process.stdout, data);
    return terminal.exit?.exitCode ?? 125;
  } finally {
    process.stdin.setRawMode(false).destroy();
    process.stdout.off('resize', onResize);
  }
}
