/** `casemate create`: a sandbox that stays until its time limit. */
import type { Command } from 'commander';
import { Sandbox } from '../../sdk/typescript/src/index.ts';
import { type CreateFlags, createOptions, withCreateFlags } from './createFlags.ts';
import { printOne } from './print.ts';

export function createCommand(program: Command): void {
  const command = program.command('create').description('create a sandbox and print its id');
  withCreateFlags(command).action(async (flags: CreateFlags) => {
    const sbx = await Sandbox.create(createOptions(program, flags));
    const info = await sbx.info();
    printOne(program, info, info.id);
  });
}
