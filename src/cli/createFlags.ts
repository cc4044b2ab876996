/** The flags that create a sandbox, shared by `run` and `create`. */
import { type Command, InvalidArgumentError } from 'commander';
import type { CreateOptions, VolumeMount } from '../../sdk/typescript/src/index.ts';
import { connectionOf } from './connection.ts';
import { allowed } from './egress.ts';

export interface CreateFlags {
  template?: string;
  snapshot?: string;
  pauseOnTimeout?: boolean;
  autoResume?: boolean;
  runtime?: string;
  timeout?: number;
  idleTimeout?: number;
  allow: string[];
  secret: string[];
  learn?: boolean;
  env: Record<string, string>;
  label: Record<string, string>;
  metadata: Record<string, string>;
  cpus?: number;
  memory?: number;
  disk?: number;
  pids?: number;
  user?: string;
  volume: VolumeMount[];
}

export function withCreateFlags(command: Command): Command {
  return command
    .option('-t, --template <name>', 'template; base by default')
    .option('--snapshot <name>', 'start from this snapshot instead, by id or name')
    .option('--runtime <name>', 'runtime')
    .option('--timeout <seconds>', 'time limit', number)
    .option('--idle-timeout <seconds>', 'end after this long without use', number)
    .option('--pause-on-timeout', 'pause at the time limit or at idleness instead of ending')
    .option('--auto-resume', 'resume by the next call while it is paused')
    .option(
      '--allow <host>',
      'let it reach name, *.name, name:port, name:port/udp or preset:pip; repeatable',
      (host: string, before: string[]) => [...before, host],
      [],
    )
    .option(
      '--secret <name>',
      'let its programs use this secret by a placeholder; repeatable',
      (name: string, before: string[]) => [...before, name],
      [],
    )
    .option('--learn', 'show what it would reach (`egress learn`); nothing is opened')
    .option('-e, --env <name=value>', 'environment; repeatable', pair, {})
    .option('-l, --label <name=value>', 'label; repeatable', pair, {})
    .option('--metadata <name=value>', 'metadata; repeatable', pair, {})
    .option('--cpus <n>', 'processors', number)
    .option('--memory <mib>', 'memory, MiB', number)
    .option('--disk <mib>', 'disk, MiB', number)
    .option('--pids <n>', 'host processes and threads', number)
    .option('-u, --user <name>', 'user of the programs')
    .option('-v, --volume <name:path[:ro]>', 'a volume and where it appears; repeatable', mount, []);
}

export function number(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value)) throw new InvalidArgumentError('not a number');
  return value;
}

export function pair(text: string, before: Record<string, string>): Record<string, string> {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('write name=value');
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}

/** `name:path`, `name/folder/in/it:path:ro`. */
function mount(text: string, before: VolumeMount[]): VolumeMount[] {
  const match = /^([^/:]+)(?:\/([^:]+))?:(\/[^:]*)(:ro)?$/.exec(text);
  if (match?.[1] === undefined || match[3] === undefined)
    throw new InvalidArgumentError('write name:/path, name:/path:ro or name/folder:/path');
  const [, volume, subpath, path, readOnly] = match;
  return [
    ...before,
    {
      volume,
      path,
      ...(readOnly === undefined ? {} : { readOnly: true }),
      ...(subpath === undefined ? {} : { subpath }),
    },
  ];
}

export function createOptions(program: Command, flags: CreateFlags): CreateOptions {
  const limits = {
    ...(flags.cpus === undefined ? {} : { cpus: flags.cpus }),
    ...(flags.memory === undefined ? {} : { memoryMib: flags.memory }),
    ...(flags.disk === undefined ? {} : { diskMib: flags.disk }),
    ...(flags.pids === undefined ? {} : { pids: flags.pids }),
  };
  return {
    ...connectionOf(program),
    ...(flags.template === undefined ? {} : { template: flags.template }),
    ...(flags.snapshot === undefined ? {} : { snapshot: flags.snapshot }),
    ...(flags.pauseOnTimeout === true ? { onTimeout: 'pause' as const } : {}),
    ...(flags.autoResume === true ? { autoResume: true } : {}),
    env: flags.env,
    ...(flags.allow.length === 0 ? {} : { policy: { allow: flags.allow.map(allowed) } }),
    ...(flags.secret.length === 0 ? {} : { secrets: flags.secret }),
    ...(flags.learn === true ? { learn: true } : {}),
    labels: flags.label,
    metadata: flags.metadata,
    limits,
    ...(flags.volume.length === 0 ? {} : { volumes: flags.volume }),
    ...(flags.runtime === undefined ? {} : { runtime: flags.runtime }),
    ...(flags.timeout === undefined ? {} : { timeoutMs: flags.timeout * 1000 }),
    ...(flags.idleTimeout === undefined ? {} : { idleTimeoutMs: flags.idleTimeout * 1000 }),
    ...(flags.user === undefined ? {} : { user: flags.user }),
  };
}
