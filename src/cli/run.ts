/** `casemate run`: create a sandbox, run one program, kill the sandbox; streams and exit code pass through. */
import type { Command } from 'commander';
import { Sandbox } from '../../sdk/typescript/src/index.ts';
import { globalFlags } from './connection.ts';
import { type CreateFlags, createOptions, withCreateFlags } from './createFlags.ts';
import { passThrough } from './passThrough.ts';
import { printOne } from './print.ts';
import { relaySignals } from './signals.ts';

export function runCommand(program: Command): void {
  const command = program
    .command('run')
    .description('create a sandbox, run one program in it, kill it')
    .argument('<program...>', 'program and arguments, after --')
    .passThroughOptions();
  withCreateFlags(command).action(async (argv: string[], flags: CreateFlags) => {
    const signals = relaySignals(); // before there is a sandbox: one that nobody kills would stay
    await using sbx = await Sandbox.create(createOptions(program, flags));
    if (signals.exitCode() !== undefined) {
      process.exitCode = signals.exitCode();
      return;
    }
    const stdin = process.stdin.isTTY !== true;
    if (globalFlags(program).json === true) {
      const result = await sbx.exec(argv, stdin ? { stdin: process.stdin } : {});
      process.stdin.destroy();
      process.exitCode = result.exitCode;
      printOne(program, { sandboxId: sbx.id, ...result }, '');
      return;
    }
    process.exitCode = await passThrough(await sbx.spawn(argv, { stdin }), { stdin, signals });
  });
}
