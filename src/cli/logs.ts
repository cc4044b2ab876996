/** `casemate logs`: what a program printed while nobody read, and what follows. */
import type { Command } from 'commander';
import { CasemateError } from '../../sdk/typescript/src/index.ts';
import { sandboxOf } from './connection.ts';
import { harmlessLines } from './harmless.ts';
import { writeOut } from './print.ts';

export function logsCommand(program: Command): void {
  program
    .command('logs')
    .description('print the kept output of a program (the newest by default)')
    .argument('<sandbox>', 'sandbox id')
    .argument('[exec]', 'exec id')
    .option('-f, --follow', 'go on until it ends')
    .action(async (id: string, execId: string | undefined, flags: { follow?: boolean }) => {
      const sbx = await sandboxOf(program, id);
      const wanted = execId ?? (await sbx.processes()).at(-1)?.execId;
      if (wanted === undefined)
        throw new CasemateError('exec_not_found', 'Nothing was run in this sandbox yet.');
      const child = await sbx.attach(wanted, { follow: flags.follow === true });
      const dropped = child.truncatedStdoutBytes + child.truncatedStderrBytes;
      if (dropped > 0) process.stderr.write(`(${dropped} older bytes were dropped)\n`);
      const decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
      for await (const { stream, data } of child.output()) {
        const out = process[stream];
        // Nobody works in this terminal with the program: what it printed must not steer it.
        const shown = out.isTTY ? harmlessLines(decoders[stream].decode(data, { stream: true })) : data;
        await writeOut(out, shown);
      }
    });
}
