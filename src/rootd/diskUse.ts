/** What of Casemate lies on this host's disk, by owner's id, and taking away what has none. */
import { existsSync, lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { runCommand } from '../base/child.ts';
import type { Paths } from '../base/config.ts';
import { CasemateError } from '../base/errors.ts';
import type { Builds } from './builds.ts';
import type { Instances } from './instances.ts';
import type { Journal } from './journal.ts';
import type { RootDiskItem, RootDiskKind } from './protocol.ts';
import type { Snapshots } from './snapshots.ts';
import type { Volumes } from './volumes.ts';

export interface DiskUseOptions {
  readonly paths: Paths;
  readonly journal: Journal;
  readonly instances: Instances;
  readonly snapshots: Snapshots;
  readonly volumes: Volumes;
  readonly builds: Builds;
}

const measureMsMax = 120_000;
const removeMsMax = 120_000;
const idPattern = /^([a-z0-9]{20}|[0-9a-f]{64})$/;
const namePattern = /^[a-z0-9][\w.-]{0,127}$/;

export class DiskUse {
  readonly #options: DiskUseOptions;
  /** One folder a kind, in it one a thing. */
  readonly #folders: Readonly<Record<RootDiskKind, string>>;

  constructor(options: DiskUseOptions) {
    this.#options = options;
    const { sandboxes, snapshots, volumes, layers, caches, machines } = options.paths;
    this.#folders = {
      sandbox: sandboxes,
      snapshot: snapshots,
      volume: volumes,
      layer: join(layers, 'store'),
      cache: caches,
      machine: machines,
    };
  }

  async list(): Promise<RootDiskItem[]> {
    const kinds = Object.keys(this.#folders) as RootDiskKind[];
    return (await Promise.all(kinds.map((kind) => this.#listKind(kind)))).flat();
  }

  /** Blocks that are really taken; what is mounted below a folder is not its own. */
  async #listKind(kind: RootDiskKind): Promise<RootDiskItem[]> {
    const folder = this.#folders[kind];
    const names = namesIn(folder, kind);
    if (names.length === 0) return [];
    // `du` ends with 1 where something went away while it looked; its numbers count all the same.
    const program = 'du -a -x -B1 -d1 -- "$1" 2>/dev/null; true';
    const argv = ['sh', '-c', program, 'du', folder];
    const { stdout } = await runCommand(argv, { timeoutMs: measureMsMax });
    const bytes = new Map(
      [...stdout.matchAll(/^(\d+)\t(.*)$/gm)].map((line) => [line[2] ?? '', Number(line[1])]),
    );
    return names.flatMap((id) => {
      const found = lstatSync(join(folder, id), { throwIfNoEntry: false });
      if (found === undefined) return [];
      const changedAtMs = Math.round(found.mtimeMs);
      return { kind, id, bytes: bytes.get(join(folder, id)) ?? 0, changedAtMs, held: this.#isHeld(kind, id) };
    });
  }

  /** Whether something on this host has it in use now, whatever the database says. */
  #isHeld(kind: RootDiskKind, id: string): boolean {
    const { journal, builds } = this.#options;
    switch (kind) {
      case 'sandbox':
        return journal.get(id) !== undefined || builds.pulls(id);
      case 'snapshot':
        return journal.entries().some(({ snapshotId }) => snapshotId === id);
      case 'volume':
        return journal.entries().some(({ volumes = [] }) => volumes.some(({ volumeId }) => volumeId === id));
      case 'cache':
        return builds.hasCacheOpen(id);
      case 'layer':
      case 'machine':
        return true; // the first are collected as templates are, the second are caches of this host
    }
  }

  /** Takes one away that nobody owns. @throws CasemateError `conflict` where something has it in use */
  async remove(kind: RootDiskKind, id: string): Promise<void> {
    const { instances, snapshots, volumes } = this.#options;
    if (!idPattern.test(id)) throw new CasemateError('invalid_request', 'That is the name of nothing here.');
    if (this.#isHeld(kind, id)) throw new CasemateError('conflict', `${kind} ${id} is in use.`);
    if (kind === 'sandbox') await instances.destroy(id); // with its control groups, its namespace, its mounts
    if (kind === 'snapshot') await snapshots.remove(id);
    if (kind === 'volume') await volumes.remove(id);
    const left = join(this.#folders[kind], id);
    await runCommand(['rm', '-rf', '--one-file-system', '--', left], { timeoutMs: removeMsMax });
  }
}

/** Half-made things and this host's own files have other names. */
function namesIn(folder: string, kind: RootDiskKind): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder).filter((name) => (kind === 'machine' ? namePattern : idPattern).test(name));
}
