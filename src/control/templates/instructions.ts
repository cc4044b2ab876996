/** What each instruction of a Dockerfile does to the state of its stage. */
import { createHash } from 'node:crypto';
import { posix } from 'node:path';
import { Readable } from 'node:stream';
import type { Blobs, ContextEntry } from './blobs.ts';
import { copyCommand, entriesOf, targetOf } from './copySources.ts';
import { atLine, type Instruction, type Stage } from './dockerfile.ts';
import { type LayerStep, noSources, type Runner } from './runner.ts';
import type { StageState } from './state.ts';
import { expand, pairs, words } from './words.ts';

/** What instructions need of the build that they are part of. */
export interface Making {
  readonly runner: Runner;
  readonly blobs: Blobs;
  readonly tenantId: string;
  readonly entries: readonly ContextEntry[];
  layersNamed(text: string, stage: Stage, line: number): Promise<readonly string[]>;
}

type Effect = (
  making: Making,
  state: StageState,
  stage: Stage,
  instruction: Instruction,
) => Promise<void> | void;

const effects: Readonly<Record<string, Effect>> = {
  RUN: run,
  COPY: copy,
  ADD: copy,
  ENV: (_, state, __, { text }) => {
    for (const [name, value] of pairs(text, state.lookup)) state.env.set(name, value);
  },
  LABEL: (_, state, __, { text }) => {
    for (const [name, value] of pairs(text, state.lookup)) state.labels.set(name, value);
  },
  EXPOSE: (_, state, __, { text }) => {
    for (const port of words(text, state.lookup)) state.ports.add(port);
  },
  USER: (_, state, __, { text }) => {
    state.user = expand(text, state.lookup).split(':')[0] ?? '';
  },
  WORKDIR: (_, state, __, { text }) => {
    state.workdir = posix.resolve(state.workdir, expand(text.trim(), state.lookup));
    state.hasWorkdir = true;
    if (state.workdir !== '/') state.folders.push(state.workdir);
  },
  SHELL: (_, state, __, { list, line }) => {
    if (list === undefined || list.length === 0) throw atLine(line, 'SHELL is written SHELL ["program", …].');
    state.shell = list;
  },
  ENTRYPOINT: (_, state, __, { list, text }) => {
    state.entrypoint = list ?? [...state.shell, text];
    state.cmd = undefined;
  },
  CMD: (_, state, __, { list, text }) => {
    state.cmd = list ?? [...state.shell, text];
  },
  HEALTHCHECK: (_, state, __, { text, line }) => {
    const [kind = '', ...rest] = text.split(/\s+/);
    if (!['CMD', 'NONE'].includes(kind.toUpperCase()))
      throw atLine(line, 'HEALTHCHECK is written HEALTHCHECK CMD command, or NONE.');
    state.healthcheck = rest.length === 0 ? undefined : rest.join(' ');
  },
  // Volumes of Casemate are not part of an image; the other two say nothing that a sandbox uses.
  VOLUME: () => {},
  STOPSIGNAL: () => {},
  MAINTAINER: () => {},
};

/** @throws CasemateError `build_failed`, which names the line */
export async function apply(
  making: Making,
  state: StageState,
  stage: Stage,
  instruction: Instruction,
): Promise<void> {
  await effects[instruction.keyword]?.(making, state, stage, instruction);
}

function shown({ keyword, text }: Instruction): string {
  const [first = '', ...more] = `${keyword} ${text}`.replaceAll(/[ \t]+/g, ' ').split('\n');
  return more.length === 0 ? first : `${first} …`;
}

function flagsOf(instruction: Instruction, allowed: readonly string[]): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const [name, value] of instruction.flags) {
    if (!allowed.includes(name))
      throw atLine(instruction.line, `${instruction.keyword} --${name} is not supported here.`);
    found.set(name, [...(found.get(name) ?? []), value]);
  }
  return found;
}

async function run({ runner, tenantId }: Making, state: StageState, _: Stage, instruction: Instruction) {
  const { line, text, list, heredocs } = instruction;
  const flags = flagsOf(instruction, ['mount', 'network']);
  const network = flags.get('network')?.at(-1) ?? 'default';
  if (!['default', 'none'].includes(network))
    throw atLine(line, `RUN --network=${network} is not supported.`);
  const caches = (flags.get('mount') ?? []).map((mount) => cacheOf(mount, tenantId, state, line));
  // `RUN <<EOF` alone is a script; a heredoc behind a program is the shell's business.
  const script =
    heredocs.length === 1 && /^<<-?["']?\w+["']?\s*\n/.test(text) ? heredocs[0]?.content : undefined;
  const argv = list ?? [...state.shell, script ?? text];
  const env = state.runEnvironment();
  const user = state.user === '' ? 'root' : state.user;
  await runner.add(state, {
    line,
    text: shown(instruction),
    inputs: ['run', argv, env, user, state.workdir, network, caches],
    network: network === 'default',
    sources: noSources,
    caches,
    commands: [{ argv, env, user: user === 'root' ? '0' : user, cwd: state.workdir }],
  });
}

/** A cache belongs to one tenant, and to one place or name. */
function cacheOf(
  mount: string,
  tenantId: string,
  state: StageState,
  line: number,
): { id: string; target: string } {
  const options = new Map(
    mount.split(',').map((pair): [string, string] => {
      const at = pair.indexOf('=');
      return at < 0 ? [pair, 'true'] : [pair.slice(0, at), expand(pair.slice(at + 1), state.lookup)];
    }),
  );
  const type = options.get('type') ?? 'bind';
  if (type !== 'cache') throw atLine(line, `RUN --mount=type=${type} is not supported, only type=cache.`);
  const unknown = [...options.keys()].find(
    (name) => !['type', 'id', 'target', 'dst', 'destination', 'sharing'].includes(name),
  );
  if (unknown !== undefined) throw atLine(line, `a cache mount here has no option ${unknown}.`);
  const named = options.get('target') ?? options.get('dst') ?? options.get('destination');
  if (named === undefined) throw atLine(line, 'a cache mount needs a target.');
  const target = posix.resolve(state.workdir, named);
  if (target === '/' || target.startsWith('/.casemate'))
    throw atLine(line, `no cache is mounted at ${target}.`);
  const id = createHash('sha256')
    .update(`${tenantId}\0${options.get('id') ?? target}`)
    .digest('hex');
  return { id, target };
}

async function copy(making: Making, state: StageState, stage: Stage, instruction: Instruction) {
  const { line, keyword, list, text, heredocs } = instruction;
  const isAdd = keyword === 'ADD';
  const flags = flagsOf(instruction, isAdd ? ['chown', 'chmod', 'link'] : ['from', 'chown', 'chmod', 'link']);
  const firstLine = heredocs.length > 0 ? (text.split('\n')[0] ?? '') : text;
  const all = list?.map((item) => expand(item, state.lookup)) ?? words(firstLine, state.lookup);
  const target = all.at(-1);
  const named = all.slice(0, -1).filter((word) => !(heredocs.length > 0 && word.startsWith('<<')));
  if (target === undefined || all.length < 2) throw atLine(line, `${keyword} needs a source and a target.`);
  const address = named.find((source) => /^(https?|git|ssh):\/\/|^git@/.test(source));
  if (isAdd && address !== undefined)
    throw atLine(
      line,
      'ADD of an address is not supported: fetch it with RUN, under a policy that allows it.',
    );
  const from = flags.get('from')?.at(-1);
  const source =
    from === undefined
      ? await contextSource(making, state, instruction, named)
      : await layerSource(making, stage, line, expand(from, state.lookup));
  const sources = [...named, ...(from === undefined ? heredocs.map(({ name }) => name) : [])];
  const step = {
    sources,
    target: targetOf(target, state.workdir),
    chown: expand(flags.get('chown')?.at(-1) ?? '', state.lookup),
    chmod: expand(flags.get('chmod')?.at(-1) ?? '', state.lookup),
    extract: isAdd,
  };
  await making.runner.add(state, {
    line,
    text: shown(instruction),
    inputs: ['copy', source.inputs, step],
    network: false,
    sources: source.sources,
    caches: [],
    commands: [{ argv: copyCommand({ from: '/.casemate/source', ...step }), env: {}, user: '0', cwd: '/' }],
  });
}

interface CopySource {
  readonly inputs: unknown;
  readonly sources: LayerStep['sources'];
}

/** Only what is copied is put together; what is not there is an error before anything starts. */
async function contextSource(
  { entries, blobs, tenantId }: Making,
  state: StageState,
  { line, heredocs }: Instruction,
  named: readonly string[],
): Promise<CopySource> {
  const wanted = new Map<string, ContextEntry>();
  for (const source of named) {
    const found = entriesOf(entries, source);
    if (found.length === 0) throw atLine(line, `${JSON.stringify(source)} is not in the build context.`);
    for (const entry of found) wanted.set(entry.path, entry);
  }
  for (const { name, content, expands } of heredocs) {
    const text = expands ? expandHeredoc(content, state) : content;
    const sha256 = createHash('sha256').update(text).digest('hex');
    if ((await blobs.missing(tenantId, [sha256])).length > 0)
      await blobs.put(tenantId, sha256, Readable.from([Buffer.from(text)]));
    wanted.set(name, { path: name, sha256, mode: 0o644 });
  }
  const list = [...wanted.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
  return {
    inputs: list,
    sources: async () => {
      const context = await blobs.asFolder(tenantId, list);
      return { sources: { source: { context } }, done: () => blobs.drop(context) };
    },
  };
}

/** Quotes in a heredoc are text. */
function expandHeredoc(content: string, state: StageState): string {
  return content.replaceAll(/\\?\$(?:[A-Za-z_]\w*|\{[^}]*\})/g, (found) =>
    found.startsWith('\\') ? found.slice(1) : expand(found, state.lookup),
  );
}

async function layerSource(making: Making, stage: Stage, line: number, from: string): Promise<CopySource> {
  const layers = await making.layersNamed(from, stage, line);
  return {
    inputs: layers,
    sources: async () => ({ sources: { source: { layers } }, done: async () => {} }),
  };
}
