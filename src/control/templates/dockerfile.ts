/** Reads a Dockerfile into stages of instructions, each with its line; the grammar is dockerfile-ast's. */
import { DockerfileParser } from 'dockerfile-ast';
import { CasemateError } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
import { expand, type Lookup, words } from './words.ts';

export interface Instruction {
  readonly keyword: string;
  /** Counts from 1. */
  readonly line: number;
  /** What follows the flags, continued lines joined, comments left out. */
  readonly text: string;
  readonly flags: readonly (readonly [name: string, value: string])[];
  /** Of an instruction in JSON form. */
  readonly list?: readonly string[];
  readonly heredocs: readonly Heredoc[];
}

export interface Heredoc {
  readonly name: string;
  readonly content: string;
  /** Whether variables in it are replaced: not where its name was quoted. */
  readonly expands: boolean;
}

export interface Stage {
  readonly name?: string;
  /** Counts from 0. */
  readonly index: number;
  readonly line: number;
  /** An image, a template, or an earlier stage. */
  readonly from: string;
  readonly instructions: readonly Instruction[];
}

export interface ParsedDockerfile {
  readonly stages: readonly Stage[];
  /** ARGs in front of the first FROM, which a stage has to declare again to see. */
  readonly globals: ReadonlyMap<string, string | undefined>;
}

const known = new Set([
  ...['ADD', 'ARG', 'CMD', 'COPY', 'ENTRYPOINT', 'ENV', 'EXPOSE', 'FROM', 'HEALTHCHECK', 'LABEL'],
  ...['MAINTAINER', 'RUN', 'SHELL', 'STOPSIGNAL', 'USER', 'VOLUME', 'WORKDIR'],
]);
const withoutJson = new Set(['ARG', 'ENV', 'LABEL', 'EXPOSE', 'FROM', 'USER', 'WORKDIR', 'STOPSIGNAL']);

/** A failure that a line of the Dockerfile caused. */
export function atLine(line: number, message: string, cause?: unknown): CasemateError {
  return new CasemateError('build_failed', `Dockerfile line ${line}: ${message}`, { cause });
}

/** What ARGs have without being declared with a value, for the one platform that this host is. */
function platformArgs(): Map<string, string> {
  const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64';
  const entries: [string, string][] = [];
  for (const side of ['TARGET', 'BUILD'])
    entries.push(
      [`${side}PLATFORM`, `linux/${architecture}`],
      [`${side}OS`, 'linux'],
      [`${side}ARCH`, architecture],
    );
  return new Map(entries);
}

/** @throws CasemateError `build_failed` that names the line. */
export function parseDockerfile(text: string, buildArgs: Readonly<Record<string, string>>): ParsedDockerfile {
  if (Buffer.byteLength(text) > limits.dockerfileBytesMax)
    throw new CasemateError(
      'payload_too_large',
      `A Dockerfile has ${limits.dockerfileBytesMax} bytes at most.`,
    );
  const instructions = read(text);
  const globals = new Map<string, string | undefined>(platformArgs());
  const lookup: Lookup = (name) => globals.get(name);
  const stages: { -readonly [Field in keyof Stage]: Stage[Field] }[] = [];
  for (const instruction of instructions) {
    const { keyword, line } = instruction;
    if (!known.has(keyword)) throw atLine(line, `${keyword} is not an instruction that builds here take.`);
    const stage = stages.at(-1);
    if (keyword === 'FROM') stages.push(stageOf(instruction, stages.length, lookup));
    else if (stage !== undefined) stage.instructions = [...stage.instructions, instruction];
    else if (keyword === 'ARG')
      for (const [name, value] of args(instruction, lookup)) globals.set(name, buildArgs[name] ?? value);
    else throw atLine(line, `${keyword} stands in front of the first FROM.`);
  }
  if (stages.length === 0) throw atLine(1, 'there is no FROM.');
  return { stages, globals };
}

/** Names of an ARG with their defaults. */
export function args(instruction: Instruction, lookup: Lookup): [name: string, value: string | undefined][] {
  return words(instruction.text, lookup).map((word) => {
    const at = word.indexOf('=');
    return at < 0 ? [word, undefined] : [word.slice(0, at), word.slice(at + 1)];
  });
}

function stageOf(instruction: Instruction, index: number, lookup: Lookup): Stage {
  const { line, text, flags } = instruction;
  const [from = '', as, name, more] = words(text, lookup);
  const platform = flags.find(([flag]) => flag === 'platform')?.[1];
  if (platform !== undefined && !expand(platform, lookup).includes(lookup('TARGETARCH') ?? ''))
    throw atLine(line, `images for ${platform} do not run on this host.`);
  if (from === '' || more !== undefined || (as !== undefined && as.toUpperCase() !== 'AS') || (as && !name))
    throw atLine(line, 'FROM is written FROM image [AS name].');
  return { index, line, from, instructions: [], ...(name === undefined ? {} : { name: name.toLowerCase() }) };
}

function read(text: string): Instruction[] {
  const document = text.split(/\r?\n/);
  const parsedFile = DockerfileParser.parse(text);
  const continuation = parsedFile.getEscapeCharacter();
  return parsedFile.getInstructions().map((parsed): Instruction => {
    const line = parsed.getRange().start.line + 1;
    const keyword = parsed.getKeyword().toUpperCase();
    const flags = 'getFlags' in parsed ? (parsed as Flagged).getFlags() : [];
    const heredocs = (parsed as unknown as WithHeredocs).getHeredocs().map((heredoc): Heredoc => {
      const range = heredoc.getContentRange();
      const content = range === null ? [] : document.slice(range.start.line, range.end.line + 1);
      const start = heredoc.getStartRange();
      const opening = document[start.start.line]?.slice(start.start.character, start.end.character) ?? '';
      return {
        name: heredoc.getName(),
        content: content.length === 0 ? '' : `${content.join('\n')}\n`,
        expands: !/["']/.test(opening),
      };
    });
    const raw = parsed.getRawArgumentsContent() ?? '';
    const content = heredocs.length > 0 ? raw : joined(raw, continuation);
    const list = withoutJson.has(keyword) ? undefined : jsonList(content);
    if (content === '') throw atLine(line, `${keyword} needs something after it.`);
    return {
      keyword,
      line,
      text: content,
      flags: flags.map((flag) => [flag.getName(), flag.getValue() ?? ''] as const),
      heredocs,
      ...(list === undefined ? {} : { list }),
    };
  });
}

/** One line of those that were continued; comments and empty lines between them are left out. */
function joined(raw: string, continuation: string): string {
  const lines = raw.split(/\r?\n/).filter((line, index) => index === 0 || !/^\s*(#|$)/.test(line));
  return lines
    .map((line, index) => {
      const end = line.trimEnd();
      return end.endsWith(continuation) && index < lines.length - 1
        ? end.slice(0, -continuation.length)
        : line;
    })
    .join('');
}

interface WithHeredocs {
  getHeredocs(): { getName(): string; getContentRange(): Range | null; getStartRange(): Range }[];
}

interface Range {
  readonly start: { readonly line: number; readonly character: number };
  readonly end: { readonly line: number; readonly character: number };
}

interface Flagged {
  getFlags(): { getName(): string; getValue(): string | null }[];
}

/** What does not read as a list of texts is a command line, as with Docker. */
function jsonList(text: string): string[] | undefined {
  if (!text.startsWith('[')) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) && value.every((item) => typeof item === 'string') ? value : undefined;
  } catch {
    return undefined;
  }
}
