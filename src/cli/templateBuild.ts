/** `casemate template build`: a shipped template by its name, or one of your own out of a Dockerfile or an image. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { type BuildLogLine, CasemateError, type TemplateSource } from '../../sdk/typescript/src/index.ts';
import { clientOf, globalFlags } from './connection.ts';
import { number, pair } from './createFlags.ts';
import { allowed } from './egress.ts';
import { harmless, jsonLine } from './harmless.ts';
import { printOne } from './print.ts';

interface BuildFlags {
  file?: string;
  image?: string;
  archive?: string;
  layout?: string;
  fromSandbox?: string;
  tag?: string;
  buildArg: Record<string, string>;
  target?: string;
  allow: string[];
  start?: string;
  ready?: string;
  cache: boolean;
  cpus?: number;
  memory?: number;
}

const barWidth = 30;

export function templateBuildCommand(template: Command, program: Command): void {
  template
    .command('build')
    .description('build a template: a shipped one by its name, or one of your own')
    .argument('<name>')
    .argument('[context]', 'folder with a Dockerfile and what it copies')
    .option('-f, --file <file>', 'Dockerfile; <context>/Dockerfile by default')
    .option('--image <name>', 'an image of a registry that the server may use')
    .option('--archive <file>', 'an image as `docker save` writes it')
    .option('--layout <folder>', 'an image in OCI layout')
    .option('--from-sandbox <id>', 'the files of a running sandbox')
    .option('--tag <tag>', 'moved to the new version; latest by default')
    .option('--build-arg <name=value>', 'value of an ARG; repeatable', pair, {})
    .option('--target <stage>', 'the stage that is built; the last by default')
    .option(
      '--allow <host>',
      'let steps reach name, *.name, name:port, name:port/udp or preset:pip; repeatable',
      (host: string, before: string[]) => [...before, host],
      [],
    )
    .option('--start <command>', 'what every sandbox has run before anybody gets it')
    .option('--ready <command>', 'run until it ends with 0; needs --start')
    .option('--no-cache', 'make every step anew')
    .option('--cpus <n>', 'processors of a step', number)
    .option('--memory <mib>', 'memory of a step, MiB', number)
    .action(async (name: string, context: string | undefined, flags: BuildFlags) => {
      const source = sourceOf(context, flags);
      if (source === undefined) await buildShipped(program, name);
      else await buildOwn(program, name, source, flags);
    });
}

function sourceOf(context: string | undefined, flags: BuildFlags): TemplateSource | undefined {
  const { file, image, archive, layout, fromSandbox: sandbox } = flags;
  const given = [context ?? file, image, archive, layout, sandbox].filter((source) => source !== undefined);
  if (given.length > 1)
    throw new CasemateError(
      'invalid_request',
      'Give one of: a context, --image, --archive, --layout, --from-sandbox.',
    );
  if (sandbox !== undefined) return { sandbox };
  if (image !== undefined) return { image };
  if (archive !== undefined) return { archive };
  if (layout !== undefined) return { layout };
  if (context === undefined && file === undefined) return undefined;
  const path = file ?? join(context ?? '.', 'Dockerfile');
  try {
    return { dockerfile: readFileSync(path, 'utf8'), ...(context === undefined ? {} : { context }) };
  } catch {
    throw new CasemateError('invalid_request', `${path} cannot be read.`);
  }
}

async function buildShipped(program: Command, name: string): Promise<void> {
  const built = await clientOf(program).templates.build(name, ({ percent, message, phase }) => {
    if (globalFlags(program).json === true)
      process.stdout.write(jsonLine({ type: 'progress', phase, percent, message }));
    else showProgress(percent, message);
  });
  endProgress();
  printOne(program, built, `${built.name} ${built.digest.slice(0, 12)} ${mib(built.bytes)} MiB`);
}

async function buildOwn(
  program: Command,
  name: string,
  source: TemplateSource,
  flags: BuildFlags,
): Promise<void> {
  const json = globalFlags(program).json === true;
  const { tag, target, cpus, memory, start, ready } = flags;
  if (ready !== undefined && start === undefined) program.error('--ready needs --start');
  const limits = {
    ...(cpus === undefined ? {} : { cpus }),
    ...(memory === undefined ? {} : { memoryMib: memory }),
  };
  const built = await clientOf(program).templates.buildFrom(name, source, {
    onLog: (line) => (json ? process.stdout.write(jsonLine({ type: 'log', ...line })) : showLine(line)),
    noCache: !flags.cache,
    limits,
    ...(tag === undefined ? {} : { tag }),
    ...(target === undefined ? {} : { target }),
    ...(Object.keys(flags.buildArg).length === 0 ? {} : { buildArgs: flags.buildArg }),
    ...(flags.allow.length === 0 ? {} : { policy: { allow: flags.allow.map(allowed) } }),
    ...(start === undefined ? {} : { start: { command: start, ...(ready === undefined ? {} : { ready }) } }),
  });
  endProgress();
  printOne(program, built, `${name}:${tag ?? 'latest'} version ${built.number}`);
}

/** What programs of the build printed goes through; the bar stays below it. */
function showLine({ stream, text, line, percent }: BuildLogLine): void {
  const isTty = process.stderr.isTTY === true;
  const where = line === undefined ? '' : `line ${line}: `;
  if (isTty) process.stderr.write('\r\u001b[K');
  process.stderr.write(`${stream === 'build' ? where : '  '}${harmless(text)}\n`);
  if (isTty) process.stderr.write(bar(percent));
}

function showProgress(percent: number, message: string): void {
  if (process.stderr.isTTY === true)
    process.stderr.write(`\r${bar(percent)} ${harmless(message).slice(0, 40).padEnd(40)}`);
  else process.stderr.write(`${String(percent).padStart(3)} % ${harmless(message)}\n`);
}

function endProgress(): void {
  if (process.stderr.isTTY === true) process.stderr.write('\n');
}

function mib(bytes: number): number {
  return Math.round(bytes / 1_048_576);
}

function bar(percent: number): string {
  const filled = Math.round((percent / 100) * barWidth);
  return `[${'#'.repeat(filled)}${'.'.repeat(barWidth - filled)}] ${String(percent).padStart(3)} %`;
}
