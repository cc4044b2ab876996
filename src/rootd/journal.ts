/** The journal on disk: an entry is written before a resource of a sandbox is taken and removed after the last is back. */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sandboxIdPattern } from '../base/ids.ts';
import type { SandboxLimits } from '../runtime/driver.ts';
import type { AttachedVolume } from './protocol.ts';

export interface JournalEntry {
  readonly id: string;
  /** `staged`: has host resources, nothing runs. Only `running` survives a restart. */
  readonly state: 'staged' | 'creating' | 'running' | 'destroying';
  readonly runtime: string;
  readonly networkIndex: number;
  readonly stagedLimits: SandboxLimits;
  readonly limits: SandboxLimits;
  readonly template?: string;
  readonly templateDigest?: string;
  /** The snapshot that it was started from, whose files it may still need. */
  readonly snapshotId?: string;
  /** Volumes that it was given, or is being given. */
  readonly volumes?: readonly AttachedVolume[];
}

export class Journal {
  readonly #directory: string;
  readonly #entries = new Map<string, JournalEntry>();

  constructor(directory: string) {
    this.#directory = directory;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    for (const name of readdirSync(directory)) {
      const id = name.replace(/\.json$/, '');
      const entry = sandboxIdPattern.test(id) ? read(join(directory, name)) : undefined;
      if (entry?.id === id) this.#entries.set(id, entry);
      else rmSync(join(directory, name), { force: true }); // a half-written entry: its resources are leftovers
    }
  }

  get(id: string): JournalEntry | undefined {
    return this.#entries.get(id);
  }

  entries(): JournalEntry[] {
    return [...this.#entries.values()];
  }

  /** Replaces the entry in one step, so that a reader after a crash sees the old one or the new one. */
  write(entry: JournalEntry): void {
    const file = join(this.#directory, `${entry.id}.json`);
    writeFileSync(`${file}.new`, JSON.stringify(entry), { mode: 0o600 });
    renameSync(`${file}.new`, file);
    this.#entries.set(entry.id, entry);
  }

  remove(id: string): void {
    rmSync(join(this.#directory, `${id}.json`), { force: true });
    this.#entries.delete(id);
  }
}

function read(file: string): JournalEntry | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as JournalEntry;
  } catch {
    return undefined;
  }
}
