/** The CLI: global flags, one file per verb, and errors that say what to do. */
import { Command, CommanderError, Option } from 'commander';
import { CasemateError } from '../../sdk/typescript/src/index.ts';
import { auditCommand } from './audit.ts';
import { completionCommand } from './completion.ts';
import { cpCommand } from './cp.ts';
import { createCommand } from './create.ts';
import { diskCommand } from './disk.ts';
import { doctorCommand } from './doctor.ts';
import { egressCommand } from './egress.ts';
import { execCommand } from './exec.ts';
import { harmless, jsonLine } from './harmless.ts';
import { keyCommand } from './key.ts';
import { killCommand } from './kill.ts';
import { logsCommand } from './logs.ts';
import { lsCommand } from './ls.ts';
import { pauseCommand, resumeCommand } from './pause.ts';
import { policyCommand } from './policy.ts';
import { poolCommand } from './pool.ts';
import { previewCommand } from './preview.ts';
import { psCommand } from './ps.ts';
import { runCommand } from './run.ts';
import { secretCommand } from './secret.ts';
import { serveCommand } from './serve.ts';
import { shellCommand } from './shell.ts';
import { forkCommand, snapshotCommand } from './snapshot.ts';
import { templateCommand } from './template.ts';
import { volumeCommand } from './volume.ts';

/** Where a program's exit code passes through, Casemate's own failures have one that programs rarely use, as with Docker. */
const passingVerbs = ['run', 'exec', 'shell'];

export function createProgram(): Command {
  const program = new Command('casemate')
    .description('Run code that nobody trusts in a real sandbox on your own machine')
    .version('0.1.0')
    .option('--url <url>', 'server (CASEMATE_URL)')
    .option('--key <key>', 'API key (CASEMATE_API_KEY)')
    .addOption(new Option('--key-file <file>', 'file with the API key').env('CASEMATE_KEY_FILE'))
    .option('--json', 'print JSON, one object a line')
    .configureHelp({ showGlobalOptions: true })
    .enablePositionalOptions()
    .showSuggestionAfterError()
    .exitOverride();
  const verbs = [
    serveCommand,
    doctorCommand,
    runCommand,
    createCommand,
    execCommand,
    shellCommand,
    lsCommand,
    psCommand,
    cpCommand,
    logsCommand,
    killCommand,
    pauseCommand,
    resumeCommand,
    snapshotCommand,
    forkCommand,
    egressCommand,
    previewCommand,
    volumeCommand,
    diskCommand,
    policyCommand,
    secretCommand,
    templateCommand,
    poolCommand,
    keyCommand,
    auditCommand,
    completionCommand,
  ];
  for (const verb of verbs) verb(program);
  for (const command of program.commands) acceptGlobals(command);
  program.hook('preAction', (_, action) => {
    for (const [name, value] of Object.entries(action.opts())) {
      if (globalNames.includes(name)) program.setOptionValueWithSource(name, value, 'cli');
    }
  });
  return program;
}

const globalNames = ['url', 'key', 'keyFile', 'json'];

/** `casemate ls --json` is what people type: the global flags count behind the verb too, up to the program to run. */
function acceptGlobals(command: Command): void {
  const globals = ['--url <url>', '--key <key>', '--key-file <file>', '--json'];
  if (command.commands.length === 0)
    for (const flags of globals) command.addOption(new Option(flags).hideHelp());
  for (const sub of command.commands) acceptGlobals(sub);
}

export async function main(argv: readonly string[]): Promise<void> {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {}); // a pipe whose reader has gone
  const program = createProgram();
  try {
    await program.parseAsync([...argv]);
  } catch (error) {
    const verb = argv.slice(2).find((word) => program.commands.some((command) => command.name() === word));
    const failed = passingVerbs.includes(verb ?? '') ? 125 : 1;
    process.exitCode = report(error, program.opts<{ json?: boolean }>().json === true) ? failed : 0;
  }
}

/** Tells the failure on stderr; false where it was none, such as a request for help. */
function report(error: unknown, json: boolean): boolean {
  if (error instanceof CommanderError) return error.exitCode !== 0; // Commander has told it
  const { code, message, hint } = facts(error);
  if (json) process.stderr.write(jsonLine({ error: { code, message, hint } }));
  else
    process.stderr.write(
      `error [${code}]: ${harmless(message)}\n${hint === '' ? '' : `hint: ${harmless(hint)}\n`}`,
    );
  return true;
}

function facts(error: unknown): { code: string; message: string; hint: string } {
  if (error instanceof CasemateError) return error;
  // `serve` and `doctor` throw the server's own error class, which has the same fields.
  const { code, message, hint } = error as { code?: string; message?: string; hint?: string };
  return { code: code ?? 'internal', message: message ?? String(error), hint: hint ?? '' };
}
