/** `casemate completion`: completes verbs and flags in a shell. */
import { type Command, Argument } from 'commander';

export function completionCommand(program: Command): void {
  program
    .command('completion')
    .description('print a completion script for a shell')
    .addArgument(new Argument('<shell>').choices(['bash', 'zsh', 'fish']))
    .action((shell: 'bash' | 'zsh' | 'fish') => {
      process.stdout.write(scripts[shell](wordsOf(program)));
    });
}

/** What may follow each verb: its sub-verbs and its flags. */
function wordsOf(program: Command): Map<string, string[]> {
  const words = new Map<string, string[]>();
  for (const command of program.commands) {
    const flags = command.options.map((option) => option.long ?? option.short ?? '');
    words.set(command.name(), [...command.commands.map((sub) => sub.name()), ...flags]);
  }
  return words;
}

const scripts: Record<'bash' | 'zsh' | 'fish', (words: Map<string, string[]>) => string> = {
  bash: (words) => `_casemate() {
  local word="\${COMP_WORDS[COMP_CWORD]}" verb="\${COMP_WORDS[1]}"
  if [ "$COMP_CWORD" -eq 1 ]; then COMPREPLY=($(compgen -W "${[...words.keys()].join(' ')}" -- "$word")); return; fi
  case "$verb" in
${[...words].map(([verb, next]) => `    ${verb}) COMPREPLY=($(compgen -W "${next.join(' ')}" -- "$word"));;`).join('\n')}
  esac
}
complete -o default -F _casemate casemate
`,
  zsh: (words) => `autoload -U +X bashcompinit && bashcompinit\n${scripts.bash(words)}`,
  fish: (words) =>
    [...words]
      .flatMap(([verb, next]) => [
        `complete -c casemate -n __fish_use_subcommand -a ${verb}`,
        `complete -c casemate -n "__fish_seen_subcommand_from ${verb}" -a "${next.join(' ')}"`,
      ])
      .join('\n')
      .concat('\n'),
};
