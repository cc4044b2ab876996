/** The CLI: global flags, one file per verb, and errors that say what to do. */
import { Command, CommanderError, Option } from 'commander';
import { CasemateError } from '../../sdk/typescript/src/index.ts';
import { auditCommand } from './audit.ts';
import { completionCommand } from './completion.ts';
import { cpCommand } from './cp.ts';
import { createCommand } from './create.ts';
import { doctorCommand } from './doctor.ts';
import { execCommand } from './exec.ts';
import { keyCommand } from './key.ts';
import { killCommand } from './kill.ts';
import { logsCommand } from './logs.ts';
import { lsCommand } from './ls.ts';
import { poolCommand } from './pool.ts';
import { psCommand } from './ps.ts';
import { runCommand } from './run.ts';
import { serveCommand } from './serve.ts';
import { shellCommand } from './shell.ts';
import { templateCommand } from './template.ts';

/** Casemate's own failures, as with Docker: an exit code that programs rarely use. */
const ownFailure = 125;

export function createProgram(): Command {
  const program = new Command('casemate')
    .description('Run code that nobody trusts in a real sandbox on your own machine')
    .version('0.1.0')
    .option('--url <url>', 'server (CASEMATE_URL)')
    .option('--key <key>', 'API key (CASEMATE_API_KEY)')
    .addOption(new Option('--key-file <file>', 'file with the API key').env('CASEMATE_KEY_FILE'))
    .option('--json', 'print JSON, one object a line')
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
    templateCommand,
    poolCommand,
    keyCommand,
    auditCommand,
    completionCommand,
  ];
  for (const verb of verbs) verb(program);
  for (const command of program.commands) command.exitOverride().copyInheritedSettings(program);
  return program;
}

export async function main(argv: readonly string[]): Promise<void> {
  try {
    await createProgram().parseAsync([...argv]);
  } catch (error) {
    process.exitCode = report(error, argv.includes('--json'));
  }
}

/** Tells the failure on stderr; answers the exit code. */
function report(error: unknown, json: boolean): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : ownFailure;
  const { code, message, hint } = facts(error);
  if (json) process.stderr.write(`${JSON.stringify({ error: { code, message, hint } })}\n`);
  else process.stderr.write(`error [${code}]: ${message}\n${hint === '' ? '' : `hint: ${hint}\n`}`);
  return ownFailure;
}

function facts(error: unknown): { code: string; message: string; hint: string } {
  if (error instanceof CasemateError) return error;
  // `serve` and `doctor` throw the server's own error class, which has the same fields.
  const { code, message, hint } = error as { code?: string; message?: string; hint?: string };
  return { code: code ?? 'internal', message: message ?? String(error), hint: hint ?? '' };
}
