/** A template as E2B's clients describe it, written as a Dockerfile. */
import { posix } from 'node:path';
import { CasemateError } from '../../base/errors.ts';

export interface BuildStep {
  readonly type: string;
  readonly args?: readonly string[];
}

export interface DescribedBuild {
  /** What stands behind FROM. */
  readonly from: string;
  readonly user: string;
  readonly workdir: string;
  readonly steps: readonly BuildStep[];
}

/** So many lines has each step, so that the line of a failure says which step it was. */
const linesPerStep = 8;
const shell: readonly string[] = ['/bin/bash', '-l', '-c'];
const runPrefix = `RUN ${JSON.stringify(shell).slice(0, -1)},"`;
/** Made by whoever is the user at that moment, as E2B does; the arguments are its path and its owner. */
const makeWorkdir = '[ -d "$0" ] || { mkdir -p -- "$0" && chown -- "$1" "$0"; }';
const workdirPrefix = `RUN ${JSON.stringify(['/bin/sh', '-c', makeWorkdir]).slice(0, -1)},`;
/** Folders that every template has. */
const homes: ReadonlySet<string> = new Set(['/', '/root', '/home/user']);

interface Position {
  user: string;
  workdir: string;
}

/**
 * The step of index i begins at line 8 × (i + 1) + 1, after eight lines for what it is built from. Files of a COPY are
 * those below a folder of the build context that has the step's index for its name.
 * @throws CasemateError `invalid_request`
 */
export function dockerfileOf({ from, user, workdir, steps }: DescribedBuild): string {
  const position: Position = { user, workdir };
  const base = [`FROM ${from}`, userLine(user), `WORKDIR "${quoted(workdir)}"`];
  const blocks = [base, ...steps.map((step, index) => linesOf(step, index, position))];
  return `${blocks.flatMap((lines) => [...lines, ...Array<string>(linesPerStep - lines.length).fill('')]).join('\n')}\n`;
}

/** Which step a line belongs to, by E2B's names: `base`, or the number that counts from 1. */
export function stepOfLine(line: number): string {
  const step = Math.floor((line - 1) / linesPerStep);
  return step <= 0 ? 'base' : String(step);
}

/** Words about an instruction as the client wrote it. */
export function worded(text: string): string {
  if (text.startsWith(workdirPrefix))
    return `WORKDIR ${/"([^"]*)"/.exec(text.slice(workdirPrefix.length))?.[1] ?? ''}`;
  const at = text.indexOf(runPrefix);
  if (at < 0) return text.replace(/^(COPY (?:--\S+ )*\[")\d+\//, '$1');
  const command = text.slice(at + runPrefix.length);
  const end = /(?<!\\)"\]/.exec(command)?.index ?? command.length;
  const plain = command
    .slice(0, end)
    .replaceAll('\\u003c', '<')
    .replaceAll('\\n', '\n')
    .replaceAll(/\\(.)/g, '$1');
  return `${text.slice(0, at)}RUN ${plain}${command.slice(end + 2)}`;
}

function linesOf({ type, args = [] }: BuildStep, index: number, position: Position): string[] {
  switch (type) {
    case 'RUN': {
      const [command, user] = args;
      if (command === undefined || command === '') throw wrong('RUN has a command.');
      return asUser(user, position, [run([...shell, command])]);
    }
    case 'COPY':
      return [copy(args, index, position)];
    case 'WORKDIR':
      return workdirLines(args[0] ?? '', position);
    case 'USER':
      position.user = args[0] ?? '';
      return [userLine(position.user)];
    case 'ENV':
      return [environment(args)];
    default:
      throw wrong(`There is no step ${JSON.stringify(type)}.`);
  }
}

function asUser(user: string | undefined, position: Position, lines: readonly string[]): string[] {
  if (user === undefined || user === '' || user === position.user) return [...lines];
  return [userLine(user), ...lines, userLine(position.user)];
}

/** In JSON nothing is a variable; a `<<` would begin a heredoc all the same. */
function run(argv: readonly string[]): string {
  return `RUN ${JSON.stringify(argv).replaceAll('<', '\\u003c')}`;
}

function copy(args: readonly string[], index: number, { user }: Position): string {
  const [source, target, owner = '', mode = ''] = args;
  if (source === undefined || target === undefined || target === '')
    throw wrong('COPY has a source and a target.');
  const path = posix.normalize(source);
  if (posix.isAbsolute(path) || path.split('/')[0] === '..')
    throw wrong(`${source} is outside of the context.`);
  if (mode !== '' && !/^[0-7]{3,5}$/.test(mode)) throw wrong('The mode of a COPY has octal digits.');
  const flags = [
    `--chown=${named(owner === '' ? user : owner)}`,
    ...(mode === '' ? [] : [`--chmod=${mode}`]),
  ];
  const paths = [posix.join(String(index), path), target].map(quotedFully);
  return `COPY ${flags.join(' ')} ${JSON.stringify(paths).replaceAll('<', '\\u003c')}`;
}

function workdirLines(path: string, position: Position): string[] {
  if (path === '') throw wrong('WORKDIR has a path.');
  position.workdir = posix.resolve(position.workdir, path);
  const line = `WORKDIR "${quoted(position.workdir)}"`;
  const { user } = position;
  if (user === 'root' || homes.has(position.workdir)) return [line];
  const make = ['/bin/sh', '-c', makeWorkdir, position.workdir, named(user)];
  return [...asUser('root', position, [run(make)]), line];
}

function environment(args: readonly string[]): string {
  const pairs: string[] = [];
  for (let at = 0; at + 1 < args.length; at += 2) {
    const [name = '', value = ''] = args.slice(at, at + 2);
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) throw wrong(`${JSON.stringify(name)} is no variable's name.`);
    pairs.push(`${name}="${quoted(value)}"`);
  }
  if (pairs.length === 0) throw wrong('ENV has a name and a value.');
  return `ENV ${pairs.join(' ')}`;
}

function userLine(user: string): string {
  return `USER ${named(user)}`;
}

function named(user: string): string {
  if (/^[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,63}(?::[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,63})?$/.test(user)) return user;
  throw wrong(`${JSON.stringify(user)} is no user's name.`);
}

/** Within double quotes; variables are replaced, as E2B's shell does. */
function quoted(text: string): string {
  if (/[\n\r]/.test(text)) throw wrong('Paths and values of variables have no line breaks here.');
  return text.replaceAll(/\\(?!\$)|"/g, '\\$&');
}

function quotedFully(text: string): string {
  if (/[\n\r]/.test(text)) throw wrong('Paths have no line breaks here.');
  return text.replaceAll(/[\\"'$]/g, '\\$&');
}

function wrong(message: string): CasemateError {
  return new CasemateError('invalid_request', message);
}
