/** E2B's command line as a team would run it: with E2B_DOMAIN, a key and a CA in the environment, and nothing else. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('../../../node_modules/@e2b/cli/dist/index.js', import.meta.url));
const resolve = fileURLToPath(new URL('../e2b_domain/resolve.ts', import.meta.url));
const argvOfCli = ['--disable-warning=ExperimentalWarning', '--import', resolve, program];
/** A command that waits for somebody, or for the internet, must not hold up the others. */
const limitMs = 60_000;

export interface CliRun {
  readonly code: number | string;
  readonly output: string;
}

/** One answer on a terminal: what is typed when the screen first shows something. */
export type Typed = readonly [seen: RegExp, keys: string];

export interface CliOptions {
  readonly folder: string;
  readonly env: Readonly<Record<string, string>>;
  /** Its standard input; there is none by default. `sandbox exec` reads a pipe to its end. */
  readonly input?: string;
  /** Runs it on a terminal, and answers it. */
  readonly typed?: readonly Typed[];
}

/** Runs one command to its end. */
export function runCli(argv: readonly string[], options: CliOptions): Promise<CliRun> {
  const { folder, env, input, typed } = options;
  const whole = [process.execPath, ...argvOfCli, ...argv];
  const quoted = whole.map((word) => `'${word}'`).join(' ');
  const [file = '', ...rest] =
    typed === undefined ? whole : ['script', '-qec', `stty cols 100 rows 30; exec ${quoted}`, '/dev/null'];
  const child = spawn(file, rest, {
    cwd: folder,
    // Without the last one it asks npm's registry for its newest version, and waits for the answer.
    env: { ...process.env, HOME: folder, NO_COLOR: '1', NO_UPDATE_NOTIFIER: '1', ...env },
    stdio: [input === undefined && typed === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    timeout: limitMs,
  });
  if (input !== undefined) child.stdin?.end(input);
  const answers = [...(typed ?? [])];
  let [output, unread] = ['', ''];
  const hear = (text: string): void => {
    output += text;
    unread += text;
    const [next] = answers;
    if (next === undefined || !next[0].test(unread)) return;
    answers.shift();
    unread = '';
    child.stdin?.write(next[1]);
  };
  child.stdout?.setEncoding('utf8').on('data', hear);
  child.stderr?.setEncoding('utf8').on('data', hear);
  return new Promise((done) => {
    child.once('error', (error) => done({ code: error.message, output }));
    child.once('close', (code, signal) => done({ code: code ?? signal ?? '', output }));
  });
}

/** `sandbox list`, `sandbox snapshot create`, …: every command that its help names. */
export async function commandsOf(options: CliOptions, group: readonly string[] = []): Promise<string[]> {
  const { output } = await runCli([...group, '--help'], options);
  const [, listed] = output.split('\nCommands:\n');
  if (listed === undefined) return [group.join(' ')];
  const found = [...listed.matchAll(/^ {2}([a-z]+)(?:\|[a-z]+)?(?: ([[<]\S+))?/gm)].map(
    ([, name = '', takes]): string[] | Promise<string[]> => {
      if (name === 'help') return [];
      const words = [...group, name];
      return takes === undefined ? commandsOf(options, words) : [words.join(' ')];
    },
  );
  return (await Promise.all(found)).flat();
}
