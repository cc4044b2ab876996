/** Lets a sandbox that nobody uses stand still: a runtime's housekeeping costs processor time even when nothing runs. */
import { writeFileSync } from 'node:fs';
import type { FreezerAddress, RuntimeCapabilities } from '../runtime/driver.ts';

/** What it needs of a sandbox: how to stop it, and how many processes run in it (the agent is one). */
export interface Restable {
  /** `quiet` ones take no processor time when nothing runs in them, and stay as they are. */
  readonly idle: RuntimeCapabilities['idle'];
  readonly freezer: FreezerAddress;
  countProcesses(): Promise<number>;
}

/** Unused for this long, and with nothing running inside, it stands still. */
const unusedMs = 1000;
/** While programs run inside, the next look comes later and later. */
const busyMsMin = 2000;
const busyMsMax = 60_000;

export class Rest {
  readonly #sandbox: Restable;
  #uses = 0;
  #timer: NodeJS.Timeout | undefined;
  #busyMs = busyMsMin;
  #still = false;
  #ended = false;

  constructor(sandbox: Restable) {
    this.#sandbox = sandbox;
  }

  get isStill(): boolean {
    return this.#still;
  }

  /** Stands still at once; for a sandbox in which nothing of a user runs yet. */
  standStill(): void {
    if (this.#sandbox.idle === 'restless') this.#write(true);
  }

  /** @returns whether it stood still. */
  wake(): boolean {
    if (!this.#still) return false;
    this.#write(false);
    return true;
  }

  /** It goes on; the returned function, called once, says that this use is over. */
  use(): () => void {
    this.#uses += 1;
    clearTimeout(this.#timer);
    this.wake();
    let over = false;
    return () => {
      if (over) return;
      over = true;
      this.#uses -= 1;
      this.#busyMs = busyMsMin;
      this.#lookLater(unusedMs);
    };
  }

  /** No more looks; the sandbox stays as it is. */
  end(): void {
    this.#ended = true;
    clearTimeout(this.#timer);
  }

  #lookLater(delayMs: number): void {
    clearTimeout(this.#timer);
    if (this.#ended || this.#uses > 0 || this.#sandbox.idle === 'quiet') return;
    this.#timer = setTimeout(() => void this.#look(), delayMs);
    this.#timer.unref();
  }

  /** Programs that were left running go on; without any, only the agent is there, and it can wait. */
  async #look(): Promise<void> {
    const processes = await this.#sandbox.countProcesses().catch(() => undefined);
    if (this.#uses > 0 || this.#ended || processes === undefined) return;
    if (processes <= 1) return this.#write(true);
    this.#lookLater(this.#busyMs);
    this.#busyMs = Math.min(this.#busyMs * 2, busyMsMax);
  }

  #write(still: boolean): void {
    const { file, frozen, thawed } = this.#sandbox.freezer;
    try {
      writeFileSync(file, still ? frozen : thawed);
      this.#still = still;
    } catch {
      this.#ended = true; // the group is gone, and the sandbox with it
    }
  }
}

/** Before a sandbox that an earlier server left can be spoken to: it may stand still. */
export function wake({ file, thawed }: FreezerAddress): void {
  try {
    writeFileSync(file, thawed);
  } catch {
    // gone: attaching tells the same
  }
}
