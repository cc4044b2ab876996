/** `casemate template`: build, list, tag, roll back and remove templates. */
import type { Command } from 'commander';
import { clientOf } from './connection.ts';
import { printOne, printRows } from './print.ts';
import { templateBuildCommand } from './templateBuild.ts';

export function templateCommand(program: Command): void {
  const template = program.command('template').description('templates that sandboxes start from');
  templateBuildCommand(template, program);
  template
    .command('ls')
    .description('list templates, or the versions of one of your own')
    .argument('[name]')
    .action(async (name: string | undefined) => {
      const { templates } = clientOf(program);
      if (name !== undefined)
        return printRows(program, (await templates.get(name)).versions, {
          VERSION: (row) => row.number,
          STATE: (row) => row.state,
          TAGS: (row) => row.tags.join(','),
          FROM: (row) => row.source,
          MIB: (row) => Math.round((row.bytes ?? 0) / 1_048_576),
          CREATED: (row) => row.createdAt,
          ERROR: (row) => row.error,
        });
      printRows(program, await templates.list(), {
        NAME: (row) => row.name,
        READY: (row) => (row.ready ? 'yes' : 'no'),
        DIGEST: (row) => row.digest.slice(0, 12),
        MIB: (row) => Math.round(row.bytes / 1048576),
        BUILT: (row) => row.builtAt,
      });
    });
  template
    .command('rm')
    .description('remove a template of your own with its versions, or a shipped one that was built')
    .argument('<name>')
    .action(async (name: string) => {
      await clientOf(program).templates.remove(name);
      printOne(program, { name, removed: true }, name);
    });
  template
    .command('tag')
    .description('point a tag at a version')
    .argument('<name>')
    .argument('<version>', 'its number')
    .argument('<tag>')
    .action(async (name: string, version: string, tag: string) => {
      await clientOf(program).templates.tag(name, tag, Number(version));
      printOne(program, { name, tag, version: Number(version) }, `${name}:${tag} is version ${version}`);
    });
  template
    .command('rollback')
    .description('point a tag at the version before')
    .argument('<name>')
    .argument('[tag]', 'latest by default', 'latest')
    .action(async (name: string, tag: string) => {
      const version = await clientOf(program).templates.rollback(name, tag);
      printOne(program, { name, tag, version }, `${name}:${tag} is version ${version}`);
    });
  template
    .command('alias')
    .description('give a template of your own another name')
    .argument('<name>')
    .argument('<alias>')
    .option('--remove', 'take it away')
    .action(async (name: string, alias: string, flags: { remove?: boolean }) => {
      const { templates } = clientOf(program);
      await (flags.remove === true ? templates.removeAlias(name, alias) : templates.addAlias(name, alias));
      printOne(program, { name, alias, removed: flags.remove === true }, alias);
    });
  template
    .command('share')
    .description('show a template of your own to all tenants')
    .argument('<name>')
    .option('--off', 'to nobody else any more')
    .action(async (name: string, flags: { off?: boolean }) => {
      const visibility = flags.off === true ? 'private' : 'public';
      await clientOf(program).templates.setVisibility(name, visibility);
      printOne(program, { name, visibility }, `${name} is ${visibility}`);
    });
  template
    .command('gc')
    .description('take away versions, layers and uploads that nothing needs')
    .option('--dry-run', 'only say which')
    .action(async (flags: { dryRun?: boolean }) => {
      const { templates } = clientOf(program);
      const collected = await templates.collect({ dryRun: flags.dryRun === true });
      const { versions, layers, uploads, bytes } = collected;
      const line = `${versions.length} versions, ${layers} layers, ${uploads} uploads: ${Math.round(bytes / 1_048_576)} MiB`;
      printOne(program, collected, line);
    });
}
