/** `casemate preview`: URLs that open a port of a sandbox to a browser. */
import type { Command } from 'commander';
import { CasemateError } from '../../sdk/typescript/src/index.ts';
import { sandboxOf } from './connection.ts';
import { number } from './createFlags.ts';
import { printOne } from './print.ts';

interface Flags {
  expires?: number;
  public?: true;
  private?: true;
}

export function previewCommand(program: Command): void {
  program
    .command('preview')
    .description('print a URL that opens a port of a sandbox, for an hour unless told otherwise')
    .argument('<sandbox>', 'sandbox id')
    .argument('<port>', 'port inside', number)
    .option('--expires <seconds>', 'how long the URL opens the port', number)
    .option('--public', 'let everybody visit the port, without a token')
    .option('--private', 'let nobody visit it without a token again')
    .action(async (id: string, port: number, flags: Flags) => {
      if ([flags.expires, flags.public, flags.private].filter((flag) => flag !== undefined).length > 1) {
        throw new CasemateError('invalid_request', 'Give one of --expires, --public and --private.');
      }
      const { ports } = await sandboxOf(program, id);
      if (flags.private === true) {
        await ports.unpublish(port);
        return printOne(program, { private: true }, 'private');
      }
      const preview =
        flags.public === true
          ? await ports.publish(port)
          : await ports.preview(
              port,
              flags.expires === undefined ? {} : { expiresInMs: flags.expires * 1000 },
            );
      printOne(program, { ...preview }, preview.url);
    });
}
