/** What drivers share that keep a sandbox in control groups and in a folder of its own: it is found, measured and held still there. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CasemateError } from '../../base/errors.ts';
import type { FreezerAddress, Inspection, SandboxLimits } from '../driver.ts';
import type { CgroupSet } from './cgroup.ts';

/** How often it is asked whether all of a group stands still; a thread in the middle of a page fault takes a moment. */
const freezeRounds = 250;

export interface GroupOptions {
  /** Root-owned folder with one folder per sandbox. */
  readonly sandboxesDir: string;
  readonly cgroups: CgroupSet;
}

export abstract class GroupDriver {
  protected readonly cgroups: CgroupSet;
  readonly #sandboxesDir: string;

  constructor({ sandboxesDir, cgroups }: GroupOptions) {
    this.#sandboxesDir = sandboxesDir;
    this.cgroups = cgroups;
  }

  /** What a running one has written to its private disk. */
  protected abstract diskBytes(id: string): number;

  protected directory(id: string): string {
    return join(this.#sandboxesDir, id);
  }

  async inspect(id: string): Promise<Inspection> {
    const usage = this.cgroups.usage(id);
    const alive = this.cgroups.processes(id).length > 0;
    return { state: alive ? 'running' : 'gone', ...usage, diskBytes: alive ? this.diskBytes(id) : 0 };
  }

  freezer(id: string): FreezerAddress {
    return this.cgroups.freezer(id);
  }

  async pause(id: string): Promise<void> {
    this.cgroups.setFrozen(id, true);
    for (let round = 0; round < freezeRounds && !this.cgroups.isFrozen(id); round += 1) await sleep(2);
  }

  async resume(id: string): Promise<void> {
    this.cgroups.setFrozen(id, false);
  }

  async leftovers(): Promise<string[]> {
    const folders = existsSync(this.#sandboxesDir) ? readdirSync(this.#sandboxesDir) : [];
    return [...new Set([...this.cgroups.list(), ...folders])];
  }
}

/** A guest is started with its processors, its memory and its disk. */
export abstract class MachineDriver extends GroupDriver {
  async setLimits(id: string, limits: SandboxLimits, stagedLimits: SandboxLimits): Promise<void> {
    for (const field of ['cpus', 'memoryMib', 'diskMib'] as const)
      if (limits[field] !== stagedLimits[field])
        throw new CasemateError('unsupported', `A virtual machine’s ${field} is fixed when it is started.`);
    this.cgroups.setLimits(id, limits);
  }

  /** Images and booted templates are a cache on disk; nothing is mounted, nothing runs. */
  async release(): Promise<void> {}
}
