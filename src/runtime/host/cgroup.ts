/** One control group per sandbox, on cgroup v1 and v2: limits, usage, and the way to kill all of a sandbox. */
import {
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CasemateError } from '../../base/errors.ts';
import type { FreezerAddress, SandboxLimits } from '../driver.ts';

const mountPoint = '/sys/fs/cgroup';
const cpuPeriodMicroseconds = 100_000;
const v1Controllers = ['cpu', 'cpuacct', 'memory', 'pids', 'freezer'] as const;

export interface CgroupUsage {
  readonly oomKills: number;
  readonly pidLimitHits: number;
  readonly memoryBytes: number;
  readonly cpuMicroseconds: number;
  readonly pids: number;
}

/** True where the one unified hierarchy (v2) is mounted; otherwise v1's folders, one per controller. */
function isUnified(): boolean {
  return existsSync(join(mountPoint, 'cgroup.controllers'));
}

/** The groups of one Casemate data directory: a parent folder per hierarchy, a child per sandbox. */
export class CgroupSet {
  readonly #parent: string;
  readonly #unified = isUnified();

  /** @param parent one path segment that no other data directory uses. */
  constructor(parent: string) {
    this.#parent = parent;
  }

  /** The path below each hierarchy, as an OCI bundle names it (`linux.cgroupsPath`). */
  relativePath(id: string): string {
    return `/${this.#parent}/${id}`;
  }

  /** Every folder that belongs to a sandbox: one on v2, one a controller on v1. */
  folders(id: string): string[] {
    if (this.#unified) return [join(mountPoint, this.#parent, id)];
    return v1Controllers.map((controller) => join(mountPoint, controller, this.#parent, id));
  }

  /** Everything of a sandbox that is there: on v1, runtimes make groups in the hierarchies too that limit nothing. */
  #present(id: string): string[] {
    if (this.#unified) return this.folders(id);
    return readdirSync(mountPoint)
      .map((controller) => join(mountPoint, controller, this.#parent, id))
      .filter((folder) => existsSync(folder));
  }

  /** Files that take the id of a process which shall join. */
  joinFiles(id: string): string[] {
    return this.folders(id).map((folder) => join(folder, 'cgroup.procs'));
  }

  /**
   * Makes the group and sets every limit before anything runs in it.
   * @throws CasemateError `policy_unenforceable` where the kernel refuses a limit.
   */
  create(id: string, limits: SandboxLimits): void {
    this.#needControllers();
    for (const folder of this.folders(id)) mkdirSync(folder, { recursive: true });
    this.setLimits(id, limits);
  }

  /**
   * Bounds all sandboxes together to the host's memory less `reserveMib`, so that they run short before the host does.
   */
  holdBack(reserveMib: number): void {
    const bytes = String(Math.max(reserveMib * 1024 * 1024, totalmem() - reserveMib * 1024 * 1024));
    this.#needControllers();
    for (const folder of this.folders('')) mkdirSync(folder, { recursive: true });
    const file = this.#unified
      ? join(mountPoint, this.#parent, 'memory.max')
      : join(mountPoint, 'memory', this.#parent, 'memory.limit_in_bytes');
    try {
      writeFileSync(file, bytes);
    } catch (cause) {
      throw unenforceable(file, cause);
    }
  }

  /** Where a controller is not mounted, its folder would be an ordinary one: limits written into it bind nobody. */
  #needControllers(): void {
    if (this.#unified) return this.#delegate();
    const missing = v1Controllers.filter((name) => !existsSync(join(mountPoint, name, 'cgroup.procs')));
    if (missing.length > 0) throw unenforceable(`controllers ${missing.join(', ')}`, undefined);
  }

  /** Lets children of the parent group have the controllers (v2 only). */
  #delegate(): void {
    const parent = join(mountPoint, this.#parent);
    mkdirSync(parent, { recursive: true });
    for (const folder of [mountPoint, parent]) {
      try {
        writeFileSync(join(folder, 'cgroup.subtree_control'), '+cpu +memory +pids');
      } catch (cause) {
        throw unenforceable('controllers cpu, memory and pids', cause);
      }
    }
  }

  setLimits(id: string, limits: SandboxLimits): void {
    const memoryBytes = String(limits.memoryMib * 1024 * 1024);
    const quota = String(Math.max(1000, Math.round(limits.cpus * cpuPeriodMicroseconds)));
    const files: [controller: string, file: string, value: string][] = this.#unified
      ? [
          ['', 'memory.max', memoryBytes],
          ['', 'memory.oom.group', '1'],
          ['', 'cpu.max', `${quota} ${cpuPeriodMicroseconds}`],
          ['', 'pids.max', String(limits.pids)],
        ]
      : [
          ['memory', 'memory.limit_in_bytes', memoryBytes],
          ['cpu', 'cpu.cfs_period_us', String(cpuPeriodMicroseconds)],
          ['cpu', 'cpu.cfs_quota_us', quota],
          ['pids', 'pids.max', String(limits.pids)],
        ];
    for (const [controller, file, value] of files) {
      try {
        writeFileSync(join(mountPoint, controller, this.#parent, id, file), value);
      } catch (cause) {
        throw unenforceable(file, cause);
      }
    }
    if (this.#unified) this.#forbidSwap(id);
  }

  /** A kernel without swap accounting has no such file; then there is no swap to forbid. */
  #forbidSwap(id: string): void {
    const file = join(mountPoint, this.#parent, id, 'memory.swap.max');
    if (existsSync(file)) writeFileSync(file, '0');
  }

  /** The one file that makes everything in the group stand still. */
  freezer(id: string): FreezerAddress {
    return this.#unified
      ? { file: join(mountPoint, this.#parent, id, 'cgroup.freeze'), frozen: '1', thawed: '0' }
      : {
          file: join(mountPoint, 'freezer', this.#parent, id, 'freezer.state'),
          frozen: 'FROZEN',
          thawed: 'THAWED',
        };
  }

  /** Gives the freezer's file, and nothing else of the group, to the unprivileged server. */
  grantFreezer(id: string, owner: { readonly uid: number; readonly gid: number }): void {
    chownSync(this.freezer(id).file, owner.uid, owner.gid);
  }

  setFrozen(id: string, still: boolean): void {
    const { file, frozen, thawed } = this.freezer(id);
    writeFileSync(file, still ? frozen : thawed);
  }

  /** Whether all of it stands still: the kernel stops one thread after the other. */
  isFrozen(id: string): boolean {
    const { file, frozen } = this.freezer(id);
    if (!this.#unified) return readFileSync(file, 'utf8').trim() === frozen;
    return /^frozen 1$/m.test(readFileSync(join(mountPoint, this.#parent, id, 'cgroup.events'), 'utf8'));
  }

  usage(id: string): CgroupUsage {
    const read = (controller: string, file: string): string => {
      try {
        return readFileSync(
          join(mountPoint, this.#unified ? '' : controller, this.#parent, id, file),
          'utf8',
        );
      } catch {
        return ''; // destroyed meanwhile: nothing is used any more
      }
    };
    const field = (text: string, name: string): number =>
      Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1] ?? 0);
    if (this.#unified) {
      return {
        oomKills: field(read('', 'memory.events'), 'oom_kill'),
        pidLimitHits: field(read('', 'pids.events'), 'max'),
        memoryBytes: Number(read('', 'memory.current')),
        cpuMicroseconds: field(read('', 'cpu.stat'), 'usage_usec'),
        pids: Number(read('', 'pids.current')),
      };
    }
    return {
      oomKills: field(read('memory', 'memory.oom_control'), 'oom_kill'),
      pidLimitHits: field(read('pids', 'pids.events'), 'max'),
      memoryBytes: Number(read('memory', 'memory.usage_in_bytes')),
      cpuMicroseconds: Math.round(Number(read('cpuacct', 'cpuacct.usage')) / 1000),
      pids: Number(read('pids', 'pids.current')),
    };
  }

  /** Host processes in the group. */
  processes(id: string): number[] {
    const found = new Set<number>();
    for (const file of this.joinFiles(id)) {
      try {
        for (const line of readFileSync(file, 'utf8').split('\n')) if (line !== '') found.add(Number(line));
      } catch {
        // no such group: no processes
      }
    }
    return [...found];
  }

  /** Those of them that run a program: KVM puts a thread of the kernel beside each machine. */
  programs(id: string): number[] {
    return this.processes(id).filter((pid) => {
      try {
        return readlinkSync(`/proc/${pid}/exe`) !== '';
      } catch {
        return false; // of the kernel, or it has just ended
      }
    });
  }

  /** Kills everything in the group; resolves when nothing is left in it. Idempotent. */
  async kill(id: string): Promise<void> {
    if (existsSync(this.freezer(id).file)) this.setFrozen(id, false); // what is frozen cannot die (cgroup v1)
    for (let round = 0; round < 200; round += 1) {
      const pids = this.processes(id);
      if (pids.length === 0) break;
      for (const pid of pids) {
        try {
          process.kill(pid, 'SIGKILL');
        } catch {
          // it ended by itself between the reading and the signal
        }
      }
      await sleep(round < 20 ? 2 : 25);
    }
  }

  /** Kills everything in the group and removes it; resolves when both are done. Idempotent. */
  async destroy(id: string): Promise<void> {
    await this.kill(id);
    for (const folder of this.#present(id)) await removeFolder(folder);
  }

  /** Ids that still have a group. */
  list(): string[] {
    const ids = new Set<string>();
    const parents = this.#unified
      ? [join(mountPoint, this.#parent)]
      : v1Controllers.map((controller) => join(mountPoint, controller, this.#parent));
    for (const parent of parents) {
      if (!existsSync(parent)) continue;
      for (const entry of readdirSync(parent, { withFileTypes: true }))
        if (entry.isDirectory()) ids.add(entry.name);
    }
    return [...ids];
  }

  /** Removes the empty parent folders; a parent that still has children stays. */
  removeParent(): void {
    for (const folder of this.#present('')) {
      try {
        rmdirSync(folder);
      } catch {
        // not there, or not empty
      }
    }
  }
}

/** The kernel frees a group a moment after its last process: retry for up to a second. */
async function removeFolder(folder: string): Promise<void> {
  for (let round = 0; existsSync(folder); round += 1) {
    try {
      rmdirSync(folder);
    } catch (error) {
      if (round >= 100) throw error;
      await sleep(10);
    }
  }
}

function unenforceable(what: string, cause: unknown): CasemateError {
  return new CasemateError('policy_unenforceable', `This kernel does not let Casemate set ${what}.`, {
    cause,
  });
}
