/** What a server leaves on the host, counted from outside: processes, mounts, control groups, namespaces, files. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export interface HostTraces {
  readonly processes: number;
  readonly mounts: number;
  readonly cgroups: number;
  readonly namespaces: number;
  readonly sandboxFolders: number;
  readonly journalEntries: number;
}

export const noTraces: HostTraces = {
  processes: 0,
  mounts: 0,
  cgroups: 0,
  namespaces: 0,
  sandboxFolders: 0,
  journalEntries: 0,
};

/** Traces of sandboxes of one data directory; `noTraces` when nothing is left. */
export function tracesOf(dataDir: string): HostTraces {
  const tag = readFileSync(join(dataDir, 'instance'), 'utf8').trim();
  const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n');
  return {
    processes: processesNaming(join(dataDir, 'sandboxes')).length,
    mounts: mounts.filter((line) => line.includes(`${dataDir}/sandboxes`)).length,
    cgroups: countCgroups(`casemate-${tag}`),
    namespaces: namespaces().filter((name) => name.startsWith(`cm-${tag}-`) && !name.endsWith('-gate'))
      .length,
    sandboxFolders: countEntries(join(dataDir, 'sandboxes')),
    journalEntries: countEntries(join(dataDir, 'journal')),
  };
}

/** Whether the kernel holds a sandbox still. */
export function standsStill(dataDir: string, id: string): boolean {
  const parent = `casemate-${readFileSync(join(dataDir, 'instance'), 'utf8').trim()}`;
  const files = ['cgroup.freeze', 'freezer.state'];
  return hierarchies(join(parent, id))
    .flatMap((folder) => files.map((file) => join(folder, file)))
    .filter((file) => existsSync(file))
    .some((file) => ['1', 'FROZEN'].includes(readFileSync(file, 'utf8').trim()));
}

/** What a server that was stopped with no sandbox running has left on the host; nothing, if all is well. */
export function leftByServer(dataDir: string): string[] {
  const tag = readFileSync(join(dataDir, 'instance'), 'utf8').trim();
  const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n');
  return [
    ...processesNaming(dataDir).map((pid) => `process ${pid}: ${commandLine(pid).replaceAll('\0', ' ')}`),
    ...mounts.filter((line) => line.includes(`${dataDir}/`)).map((line) => `mount ${line}`),
    ...hierarchies(`casemate-${tag}`).map((folder) => `control group ${folder}`),
    ...namespaces()
      .filter((name) => name.startsWith(`cm-${tag}-`))
      .map((name) => `namespace ${name}`),
  ];
}

function countEntries(folder: string): number {
  return existsSync(folder) ? readdirSync(folder).length : 0;
}

function namespaces(): string[] {
  return existsSync('/run/netns') ? readdirSync('/run/netns') : [];
}

/** Sandboxes that still have a control group, in whichever hierarchy. */
function countCgroups(parent: string): number {
  const found = new Set<string>();
  for (const folder of hierarchies(parent))
    for (const entry of readdirSync(folder, { withFileTypes: true }))
      if (entry.isDirectory()) found.add(entry.name);
  return found.size;
}

function hierarchies(parent: string): string[] {
  return ['', ...readdirSync('/sys/fs/cgroup')]
    .map((controller) => join('/sys/fs/cgroup', controller, parent))
    .filter((folder) => existsSync(folder));
}

/** Ids of processes whose command line names `text`. */
export function processesNaming(text: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .map(Number)
    .filter((pid) => commandLine(pid).includes(text));
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return ''; // it ended
  }
}

/** Longer than any helper program (`ip`, `mount`, …) that the root process starts takes. */
const helperMsMax = 2000;

/**
 * Names of the processes below (and of) `pid` that run as root, runtimes' own included; helper programs, which are
 * gone after a moment, are left out.
 */
export async function rootProcesses(pid: number): Promise<string[]> {
  const before = processesAsRoot(pid);
  await sleep(helperMsMax);
  const after = processesAsRoot(pid);
  return [...before].filter(([id, name]) => after.get(id) === name).map(([, name]) => name);
}

function processesAsRoot(pid: number): Map<number, string> {
  const table = execFileSync('ps', ['-eo', 'pid=,ppid=,uid=,args='], { encoding: 'utf8' });
  const rows = [...table.matchAll(/^\s*(\d+)\s+(\d+)\s+(\d+)\s+(.*)$/gm)].map((match) => ({
    pid: Number(match[1]),
    parent: Number(match[2]),
    uid: Number(match[3]),
    args: match[4] ?? '',
  }));
  const family = new Set([pid]);
  for (const row of rows) if (family.has(row.parent)) family.add(row.pid);
  const asRoot = rows.filter(
    (row) => row.uid === 0 && (family.has(row.pid) || row.args.startsWith('runsc-')),
  );
  return new Map(
    asRoot.map((row) => [row.pid, row.pid === pid ? 'the root process' : (row.args.split(' ')[0] ?? '')]),
  );
}

/** Resident memory of a process in bytes. */
export function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
}

/** The unprivileged server below a root process. */
export function serverPid(rootPid: number): number {
  const children = readFileSync(`/proc/${rootPid}/task/${rootPid}/children`, 'utf8').trim().split(' ');
  const found = children.map(Number).find((pid) => commandLine(pid).includes('main.ts'));
  if (found === undefined) throw new Error('the server is not running');
  return found;
}
