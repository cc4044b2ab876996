/** Runs a helper program to its end: argv arrays only, a deadline, and the tail of stderr in the error. */
import { spawn } from 'node:child_process';

export interface CommandOptions {
  /** Killed with SIGKILL after this many milliseconds. */
  readonly timeoutMs?: number;
  /** Bytes for its standard input; none by default. */
  readonly input?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Open descriptors that it gets as 3, 4, … */
  readonly descriptors?: readonly number[];
  /** How much of the end of stderr is kept; 800 characters by default. */
  readonly stderrCharacters?: number;
}

export interface CommandResult {
  readonly stdout: string;
  readonly stderr: string;
}

const outputCharactersMax = 4 * 1024 * 1024;
const stderrCharactersDefault = 800;

/** A helper program that failed; `stderrTail` is the end of what it said. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly stderrTail: string;

  constructor(argv: readonly string[], how: string, stderrTail: string) {
    super(`${argv.join(' ')}: ${how}${stderrTail === '' ? '' : `: ${stderrTail}`}`);
    this.stderrTail = stderrTail;
  }
}

/**
 * Resolves when the program has ended with exit code 0 and its output is read.
 * @throws CommandError on any other end, on a deadline, or when it cannot be started.
 */
export function runCommand(argv: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const [file, ...args] = argv;
  if (file === undefined) throw new TypeError('runCommand needs a program');
  return new Promise((resolve, reject) => {
    let stdout = '';
    let stderr = '';
    let late = false;
    const child = spawn(file, args, {
      stdio: [
        options.input === undefined ? 'ignore' : 'pipe',
        'pipe',
        'pipe',
        ...(options.descriptors ?? []),
      ],
      ...(options.env === undefined ? {} : { env: options.env }),
    });
    const timer = setTimeout(() => {
      late = true;
      child.kill('SIGKILL');
    }, options.timeoutMs ?? 30_000);
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      if (stdout.length < outputCharactersMax) stdout += text;
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      stderr = (stderr + text).slice(-(options.stderrCharacters ?? stderrCharactersDefault));
    });
    child.on('error', (error) => {
      clearTimeout(timer);
      reject(new CommandError(argv, error.message, ''));
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      if (code === 0) return resolve({ stdout, stderr });
      const how = late
        ? `took longer than ${options.timeoutMs ?? 30_000} ms`
        : `ended with ${signal ?? `code ${code}`}`;
      reject(new CommandError(argv, how, stderr.trim().slice(-stderrCharactersDefault)));
    });
    if (options.input !== undefined) {
      child.stdin?.on('error', () => {}); // the program ended early; its exit code tells the story
      child.stdin?.end(options.input);
    }
  });
}
