/** docs/reference/cli.md: the help texts of every verb. */
import type { Command } from 'commander';
import { createProgram } from '../../src/cli/program.ts';
import { pageHead } from './markdown.ts';
import { withoutSettings } from './settings.ts';

export function cliPage(): string {
  return withoutSettings(() => {
    const program = createProgram();
    const verbs = program.commands.flatMap((command) => sections(command, 'casemate'));
    return `${pageHead('CLI', 'src/cli')}
Examples stand in the [guide](../guide/cli.md). The global options count before and behind the verb.

Exit codes: that of the program for \`run\`, \`exec\` and \`shell\` (125 where Casemate itself failed); 0 or 1 for the rest.

${helpOf(program)}

${verbs.join('\n\n')}
`;
  });
}

function sections(command: Command, before: string): string[] {
  const name = `${before} ${command.name()}`;
  const own = `## ${name}\n\n${helpOf(command)}`;
  return [own, ...command.commands.flatMap((sub) => sections(sub, name))];
}

function helpOf(command: Command): string {
  command.configureHelp({ showGlobalOptions: false });
  command.configureOutput({ getOutHelpWidth: () => 100, getOutHasColors: () => false });
  return `\`\`\`text\n${command.helpInformation().trimEnd()}\n\`\`\``;
}
