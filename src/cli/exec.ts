/** `casemate exec`: run a program in a sandbox that exists. */
import type { Command } from 'commander';
import { globalFlags, sandboxOf } from './connection.ts';
import { number } from './createFlags.ts';
import { passThrough } from './passThrough.ts';
import { printOne } from './print.ts';

interface ExecFlags {
  interactive?: boolean;
  detach?: boolean;
  user?: string;
  cwd?: string;
  timeout?: number;
}

export function execCommand(program: Command): void {
  program
    .command('exec')
    .description('run a program in a sandbox; streams and exit code pass through')
    .argument('<sandbox>', 'sandbox id')
    .argument('<program...>', 'program and arguments')
    .option('-i, --interactive', 'pass stdin on')
    .option('-d, --detach', 'print the exec id and leave it running')
    .option('-u, --user <name>', 'user')
    .option('-w, --cwd <folder>', 'working directory')
    .option('--timeout <seconds>', 'end the program after this long', number)
    .passThroughOptions()
    .action(async (id: string, words: string[], flags: ExecFlags) => {
      const argv = words[0] === '--' ? words.slice(1) : words; // as people type it for `docker exec` and `run`
      const sbx = await sandboxOf(program, id);
      const stdin = flags.interactive === true;
      const options = {
        ...(flags.user === undefined ? {} : { user: flags.user }),
        ...(flags.cwd === undefined ? {} : { cwd: flags.cwd }),
        ...(flags.timeout === undefined ? {} : { timeoutMs: flags.timeout * 1000 }),
      };
      if (globalFlags(program).json === true && flags.detach !== true) {
        const result = await sbx.exec(argv, { ...options, ...(stdin ? { stdin: process.stdin } : {}) });
        process.stdin.destroy();
        process.exitCode = result.exitCode;
        printOne(program, result, '');
        return;
      }
      const child = await sbx.spawn(argv, { ...options, stdin });
      if (flags.detach !== true) {
        process.exitCode = await passThrough(child, { stdin });
        return;
      }
      await child.detach();
      printOne(program, { execId: child.execId, pid: child.pid }, child.execId);
    });
}
