/** How sandboxes, programs and files look on E2B's wire. */
import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { type EntryInfo, EntryInfoSchema, FileType } from '../../../schema/e2b/filesystem_pb.js';
import {
  type ProcessEvent,
  ProcessEventSchema,
  type ProcessInfo,
  ProcessInfoSchema,
} from '../../../schema/e2b/process_pb.js';
import type { ExitInfo, FileEntry, GuestExec, OutputChunk } from '../../guest/types.ts';
import type { UsageSample } from '../../control/usageRing.ts';
import type { SandboxRow } from '../../store/types.ts';
import { isOpen, networkView } from './network.ts';

/** The version of E2B's agent whose behaviour this gateway has: clients ask for features by it. */
export const agentVersion = '0.6.4';

/** Notes on a sandbox that this protocol alone reads. */
export const labels = { privatePorts: 'e2b.private-ports', maskedHost: 'e2b.masked-host' } as const;

export interface SandboxView {
  readonly sandboxID: string;
  readonly templateID: string;
  readonly clientID: string;
  readonly envdVersion: string;
}

function identityOf(row: SandboxRow): SandboxView {
  return { sandboxID: row.id, templateID: row.template, clientID: 'casemate', envdVersion: agentVersion };
}

/** The answer to create and connect: how to reach it. */
export function accessView(
  row: SandboxRow,
  access: { domain: string; envdAccessToken: string; trafficAccessToken: string | undefined },
): object {
  return { ...identityOf(row), ...access, alias: row.template };
}

export function listedView(row: SandboxRow): object {
  return {
    ...identityOf(row),
    alias: row.template,
    startedAt: row.startedAt ?? row.createdAt,
    endAt: row.endsAt,
    state: row.state === 'paused' || row.state === 'resuming' ? 'paused' : 'running',
    cpuCount: processorsOf(row.limits),
    memoryMB: row.limits.memoryMib,
    diskSizeMB: row.limits.diskMib,
    metadata: row.metadata,
    volumeMounts: (row.volumes ?? []).map(({ name, path }) => ({ name, path })),
  };
}

export function detailView(row: SandboxRow, domain: string): object {
  const maskRequestHost = row.labels[labels.maskedHost];
  return {
    ...listedView(row),
    domain,
    allowInternetAccess: isOpen(row.egress?.policy), // what is so, whatever was asked for
    lifecycle: { onTimeout: row.onTimeout, autoResume: row.autoResume },
    network: {
      ...networkView(row.egress?.policy),
      allowPublicTraffic: row.labels[labels.privatePorts] === 'no',
      ...(maskRequestHost === undefined ? {} : { maskRequestHost }),
    },
  };
}

export function metricView(sample: UsageSample, given: SandboxRow['limits']): object {
  const { atMs, cpuPercent, memoryBytes, diskBytes } = sample;
  return {
    timestamp: new Date(atMs).toISOString(),
    timestampUnix: Math.floor(atMs / 1000),
    cpuCount: processorsOf(given),
    cpuUsedPct: cpuPercent,
    memUsed: memoryBytes,
    memTotal: given.memoryMib * 1024 * 1024,
    memCache: 0,
    diskUsed: diskBytes,
    diskTotal: given.diskMib * 1024 * 1024,
  };
}

/** E2B knows whole ones only. */
export function processorsOf({ cpus }: SandboxRow['limits']): number {
  return Math.max(1, Math.ceil(cpus));
}

export function processView({ pid, argv }: GuestExec): ProcessInfo {
  const [cmd = '', ...args] = argv;
  return create(ProcessInfoSchema, { pid, config: { cmd, args } });
}

export function startEvent(pid: number): ProcessEvent {
  return create(ProcessEventSchema, { event: { case: 'start', value: { pid } } });
}

export function keepaliveEvent(): ProcessEvent {
  return create(ProcessEventSchema, { event: { case: 'keepalive', value: {} } });
}

export function dataEvent({ channel, data }: OutputChunk, pty: boolean): ProcessEvent {
  const output = { case: pty ? 'pty' : channel, value: new Uint8Array(data) } as const;
  return create(ProcessEventSchema, { event: { case: 'data', value: { output } } });
}

/** What Go says of a signal; E2B's agent passes it on. */
const signalWords: Readonly<Record<string, string>> = {
  SIGHUP: 'hangup',
  SIGINT: 'interrupt',
  SIGQUIT: 'quit',
  SIGILL: 'illegal instruction',
  SIGTRAP: 'trace/breakpoint trap',
  SIGABRT: 'aborted',
  SIGBUS: 'bus error',
  SIGFPE: 'floating point exception',
  SIGKILL: 'killed',
  SIGUSR1: 'user defined signal 1',
  SIGSEGV: 'segmentation fault',
  SIGUSR2: 'user defined signal 2',
  SIGPIPE: 'broken pipe',
  SIGALRM: 'alarm clock',
  SIGTERM: 'terminated',
};

export function endEvent({ exitCode, signal }: ExitInfo): ProcessEvent {
  const status =
    signal === undefined ? `exit status ${exitCode}` : `signal: ${signalWords[signal] ?? signal}`;
  return create(ProcessEventSchema, {
    event: {
      case: 'end',
      value: {
        exitCode: signal === undefined ? exitCode : -1,
        exited: signal === undefined,
        status,
        ...(signal === undefined && exitCode === 0 ? {} : { error: status }),
      },
    },
  });
}

const fileTypes = {
  file: FileType.FILE,
  directory: FileType.DIRECTORY,
  symlink: FileType.SYMLINK,
  other: FileType.UNSPECIFIED,
} as const;
const modeLetters = { file: '-', directory: 'd', symlink: 'L', other: '?' } as const;

/** Of a symlink, `target` is what it leads to in the end: E2B shows the target's kind and mode under the link's name. */
export function entryView(entry: FileEntry, target?: FileEntry): EntryInfo {
  const { mode, type } = target ?? entry;
  return create(EntryInfoSchema, {
    name: entry.name,
    path: entry.path,
    type: fileTypes[type],
    size: BigInt((target ?? entry).size),
    mode: mode & 0o777,
    permissions: `${modeLetters[type]}${permissionsOf(mode)}`,
    owner: entry.user ?? String(entry.uid),
    group: entry.group ?? String(entry.gid),
    modifiedTime: timestampFromMs(inCalendar(entry.modifiedUnixMs)),
    ...(target === undefined ? {} : { symlinkTarget: target.path }),
  });
}

function permissionsOf(mode: number): string {
  const letters = 'rwxrwxrwx';
  return [...letters].map((letter, place) => ((mode >> (8 - place)) & 1 ? letter : '-')).join('');
}

/** A guest may claim any time; one outside of the calendar is shown as the epoch. */
function inCalendar(unixMs: number): number {
  return Number.isNaN(new Date(unixMs).getTime()) ? 0 : Math.floor(unixMs);
}
