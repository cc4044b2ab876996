/** Runs tools that read strangers' bytes: as nobody of the host, in namespaces of their own that see what is named here. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export const jailProgram = join(dirname(fileURLToPath(import.meta.url)), '../../build/jail/image-jail');

/** The host's number of the jail's root; no user of the host has it, nor one of the 2^24 after it. */
export const firstJailId = 0x6000_0000;

export interface JailOptions {
  /** An empty folder, to build the jail's root on; nothing of it is left there. */
  readonly place: string;
  readonly argv: readonly string[];
  /** Folders or files of the host, and where they are seen. What is writable has to belong to `firstJailId`. */
  readonly readOnly?: readonly (readonly [source: string, target: string])[];
  readonly writable?: readonly (readonly [source: string, target: string])[];
  /** Whether it reaches what the host reaches; nothing otherwise. */
  readonly network?: boolean;
  /** Files of control groups, which bound its memory and processors. */
  readonly cgroupJoinFiles?: readonly string[];
  readonly timeoutMs: number;
  /** Each line of its stderr. */
  readonly onLine?: (line: string) => void;
}

const errorLinesKept = 6;
const outputBytesMax = 4 * 1024 * 1024;

/** Programs and libraries of the host that the tools are; and what a resolver reads. */
const system = ['/usr', '/bin', '/lib', '/lib64'];
const forNetwork = ['/etc/ssl', '/etc/resolv.conf', '/etc/hosts', '/etc/nsswitch.conf'];

const joinAndGo = 'for file in $1; do echo $$ > "$file"; done; shift; exec "$@"';

/** What a jailed tool said on stdout. @throws Error with the end of what it said on stderr. */
export function runInJail(options: JailOptions): Promise<string> {
  const { place, argv, readOnly = [], writable = [], network = false, cgroupJoinFiles = [] } = options;
  const seen = [...system, ...(network ? forNetwork : [])].filter((path) => existsSync(path));
  const flags = [...seen.map((path) => [path, path] as const), ...readOnly].flatMap(([source, target]) => [
    '-ro',
    `${source}:${target}`,
  ]);
  for (const [source, target] of writable) flags.push('-rw', `${source}:${target}`);
  if (network) flags.push('-network');
  const [program = '', ...rest] = [
    ...['setpriv', '--pdeathsig', 'KILL'],
    ...['unshare', '--mount', '--propagation', 'private', '--pid', '--fork', '--kill-child'],
    ...['sh', '-c', joinAndGo, 'casemate-jail', cgroupJoinFiles.join(' ')],
    ...[jailProgram, 'run', '-place', place, '-first-id', String(firstJailId)],
    ...flags,
    '--',
    ...argv,
  ];
  return new Promise((resolve, reject) => {
    // SIGKILL: unshare holds other signals back while its child runs.
    const child = spawn(program, rest, {
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: options.timeoutMs,
      killSignal: 'SIGKILL',
    });
    let output = '';
    const last: string[] = [];
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      if (output.length < outputBytesMax) output += text;
    });
    createInterface({ input: child.stderr }).on('line', (line) => {
      last.push(line);
      if (last.length > errorLinesKept) last.shift();
      options.onLine?.(line);
    });
    child.on('error', reject);
    child.on('close', (code, signal) => {
      if (code === 0) return resolve(output);
      // Its deadline kills it, and so does the end of its memory, or somebody else.
      const how = child.killed ? `took longer than ${options.timeoutMs} ms` : `ended with ${signal ?? code}`;
      reject(new Error(`${argv[0]} ${how}: ${last.join(' | ').slice(-1500)}`));
    });
  });
}
