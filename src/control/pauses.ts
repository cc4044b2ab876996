/** Pause and resume: a sandbox that is written to disk, costs nothing else, and is the same sandbox afterwards. */
import { CasemateError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import type { SandboxNode } from '../node/types.ts';
import type { SandboxRow, Store } from '../store/types.ts';
import type { Clock } from './clock.ts';
import type { Egress } from './egress.ts';
import type { Catalog } from './templates/catalog.ts';
import type { Reaper } from './reaper.ts';
import { advance } from './state.ts';

export interface PausesOptions {
  readonly store: Store;
  readonly node: SandboxNode;
  readonly clock: Clock;
  readonly reaper: Reaper;
  readonly egress: Egress;
  readonly catalog: Catalog;
}

export class Pauses {
  readonly #options: PausesOptions;
  /** Pauses, resumes and snapshots under way, by sandbox: one at a time, and calls wait for their end. */
  readonly #changing = new Map<string, Promise<unknown>>();

  constructor(options: PausesOptions) {
    this.#options = options;
  }

  /** Resolves when nothing of this kind is under way for the sandbox; with what it came to all the same. */
  async settled(id: string): Promise<void> {
    for (let work = this.#changing.get(id); work !== undefined; work = this.#changing.get(id)) {
      await work.catch(() => {});
    }
  }

  /** Runs `work` when the sandbox is free for it. */
  async alone<Result>(id: string, work: () => Promise<Result>): Promise<Result> {
    await this.settled(id);
    const running = work();
    this.#changing.set(id, running);
    try {
      return await running;
    } finally {
      this.#changing.delete(id);
    }
  }

  /**
   * @param keepMemory false ends every program first: only files are there afterwards, and where its runtime reboots another
   *   kernel starts on them.
   * @throws CasemateError `conflict` unless it runs, `unsupported` where its runtime takes no snapshots.
   */
  pause(id: string, options: { readonly keepMemory: boolean }): Promise<SandboxRow> {
    return this.alone(id, async () => {
      const row = this.#row(id);
      if (row.state === 'paused') return row;
      const { node, reaper } = this.#options;
      const pauseId = newId();
      this.#advance({ ...row, pauseId }, 'pausing');
      try {
        const filesOnly = !options.keepMemory;
        await node.snapshot(id, pauseId, { keepRunning: false, transient: false, filesOnly });
      } catch (error) {
        const current = this.#row(id);
        if (current.state === 'pausing') this.#advance(withoutPause(current), 'running');
        throw error;
      }
      reaper.forget(id);
      const written = this.#row(id);
      if (written.state !== 'pausing') return written; // killed meanwhile: its end waits for this one
      const paused = { ...written, pausedAt: this.#now(), pausedFilesOnly: !options.keepMemory };
      return this.#advance(paused, 'paused');
    });
  }

  /** @param timeoutMs its time limit from now; as at its creation by default. */
  resume(id: string, timeoutMs?: number): Promise<SandboxRow> {
    return this.alone(id, async () => {
      const row = this.#row(id);
      if (row.state === 'running') return row;
      const { node, clock, reaper, egress, catalog } = this.#options;
      const resuming = this.#advance(row, 'resuming');
      const pauseId = row.pauseId ?? '';
      try {
        const live = await node.restore({
          snapshotId: pauseId,
          id,
          bind: { env: {} },
          limits: row.limits,
          held: row.volumes ?? [],
          ...catalog.startOf(row.templateVersionId),
          onTaken: () => {},
        });
        await egress.inTurn(id, () => egress.bind(live, this.#row(id))); // it came back with another address
      } catch (error) {
        await node.destroy(id);
        if (this.#row(id).state === 'resuming') this.#advance(resuming, 'paused');
        throw error;
      }
      const restored = this.#row(id);
      if (restored.state !== 'resuming') return restored; // killed meanwhile, as above
      const endsAtMs = clock.now() + (timeoutMs ?? row.timeoutMs);
      const running = { ...withoutPause(resuming), endsAt: new Date(endsAtMs).toISOString() };
      const resumed = this.#advance(running, 'running');
      reaper.watch(id, endsAtMs, row.idleTimeoutMs);
      await node.removeSnapshot(pauseId);
      return resumed;
    });
  }

  #row(id: string): SandboxRow {
    const row = this.#options.store.sandboxes.find(id);
    if (row === undefined) throw new CasemateError('not_found', `There is no sandbox ${id}.`);
    return row;
  }

  #advance(row: SandboxRow, state: SandboxRow['state']): SandboxRow {
    const next = advance(row, state, this.#now());
    this.#options.store.sandboxes.update(next);
    return next;
  }

  #now(): string {
    return new Date(this.#options.clock.now()).toISOString();
  }
}

export function withoutPause(row: SandboxRow): SandboxRow {
  const { pauseId: _pauseId, pausedAt: _pausedAt, pausedFilesOnly: _filesOnly, ...rest } = row;
  return rest;
}
