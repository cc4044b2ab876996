/** `casemate run`: create a sandbox, run one program, kill the sandbox; streams and exit code pass through. */
import type { Command } from 'commander';
import { Sandbox } from '../../sdk/typescript/src/index.ts';
import { type CreateFlags, createOptions, withCreateFlags } from './createFlags.ts';
import { passThrough } from './passThrough.ts';

export function runCommand(program: Command): void {
  const command = program
    .command('run')
    .description('create a sandbox, run one program in it, kill it')
    .argument('<program...>', 'program and arguments, after --')
    .passThroughOptions();
  withCreateFlags(command).action(async (argv: string[], flags: CreateFlags) => {
    await using sbx = await Sandbox.create(createOptions(program, flags));
    const stdin = process.stdin.isTTY !== true;
    process.exitCode = await passThrough(await sbx.spawn(argv, { stdin }), { stdin });
  });
}
