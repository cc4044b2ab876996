/** What sandboxes use, read on the host from their control groups: no sandbox is asked, and none that stands still wakes. */
import type { Inspection } from '../runtime/driver.ts';
import { limits } from '../base/limits.ts';
import type { RootClient } from './rootClient.ts';
import type { LiveSandbox } from './types.ts';

export class HostUsage {
  readonly #root: RootClient;
  readonly #live: ReadonlyMap<string, LiveSandbox>;

  constructor(root: RootClient, live: ReadonlyMap<string, LiveSandbox>) {
    this.#root = root;
    this.#live = live;
  }

  awake(): string[] {
    return [...this.#live.values()].filter(({ rest }) => !rest.isStill).map(({ id }) => id);
  }

  /** The root process has other things to do as well: a few at a time. */
  async of(ids: readonly string[]): Promise<ReadonlyMap<string, Inspection>> {
    const found = new Map<string, Inspection>();
    for (let from = 0; from < ids.length; from += limits.usageReadsMax) {
      const part = ids.slice(from, from + limits.usageReadsMax);
      const answer = await this.#root.call('inspectAll', { ids: part });
      for (const [id, inspection] of Object.entries(answer)) found.set(id, inspection);
    }
    return found;
  }
}
