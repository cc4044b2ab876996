/** Slots: what a start needs that is known before anybody asks for it, staged while nothing is being started. */
import type { Log } from '../base/log.ts';
import type { SandboxLimits } from '../runtime/driver.ts';
import type { JournalEntry } from './journal.ts';

/** What a slot is for. Without a source it serves every template. */
export interface SlotKind {
  readonly runtime: string;
  readonly limits: SandboxLimits;
  readonly source?: {
    readonly templateRoot: string;
    readonly snapshot?: { readonly id: string; readonly directory: string };
  };
}

export interface SlotsOptions {
  /** The kind that is always kept, where there is a runtime. */
  readonly usual: SlotKind | undefined;
  readonly usualCount: number;
  /** How many of a kind with a source to keep ahead (`RuntimeDriver.stagedAhead`). */
  readonly aheadOf: (runtime: string) => number;
  readonly stage: (kind: SlotKind) => Promise<JournalEntry>;
  readonly destroy: (id: string) => Promise<unknown>;
  /** Whether nobody is starting anything, so that a slot competes with nobody. */
  readonly isQuiet: () => boolean;
  readonly log: Log;
}

interface Slot {
  readonly kind: SlotKind;
  readonly entry: JournalEntry;
}

/** Slots are made when nothing was started for this long, so that they do not compete with it. */
const quietMs = 60;
/** Slots of a kind that nobody asked for during this time are given back. */
const unusedMsMax = 60_000;
/** Kinds with a source that slots are kept of: those asked for last. */
const kindsMax = 2;

export class Slots {
  readonly #options: SlotsOptions;
  #slots: Slot[] = [];
  /** Kinds with a source, the one asked for last first. */
  #wanted: { readonly kind: SlotKind; readonly askedMs: number }[] = [];
  #fillTimer: NodeJS.Timeout | undefined;
  #unusedTimer: NodeJS.Timeout | undefined;
  #work: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: SlotsOptions) {
    this.#options = options;
  }

  /** One whose disk is big enough: a bigger one is staged for itself, because not every host lets a disk grow. */
  take(kind: SlotKind): JournalEntry | undefined {
    if (this.#options.aheadOf(kind.runtime) > 0) this.#want(kind);
    const index = this.#slots.findIndex(({ kind: held }) =>
      held.source === undefined
        ? held.runtime === kind.runtime && kind.limits.diskMib <= held.limits.diskMib
        : sameKind(held, kind),
    );
    return index < 0 ? undefined : this.#slots.splice(index, 1)[0]?.entry;
  }

  #want(kind: SlotKind): void {
    const others = this.#wanted.filter((wanted) => !sameKind(wanted.kind, kind));
    this.#wanted = [{ kind, askedMs: Date.now() }, ...others].slice(0, kindsMax);
    clearTimeout(this.#unusedTimer);
    this.#unusedTimer = setTimeout(() => void this.#giveBackUnused(), unusedMsMax).unref();
  }

  /** Fills up when all has been quiet for a moment. */
  fillLater(): void {
    clearTimeout(this.#fillTimer);
    if (this.#stopped) return;
    this.#fillTimer = setTimeout(() => {
      this.#work = this.#work.then(() => this.#fill());
    }, quietMs);
  }

  /** One slot at a time; stops as soon as somebody wants to start something. */
  async #fill(): Promise<void> {
    const { isQuiet, stage, log } = this.#options;
    for (let kind = this.#lacking(); kind !== undefined && isQuiet(); kind = this.#lacking()) {
      if (this.#stopped) return;
      try {
        const entry = await stage(kind); // the list may be another one afterwards
        this.#slots.push({ kind, entry });
      } catch (error) {
        log.warn('slot_failed', { reason: String(error) });
        const failed = kind;
        this.#wanted = this.#wanted.filter((wanted) => wanted.kind !== failed);
        return;
      }
    }
    await this.#giveBackUnused();
  }

  #lacking(): SlotKind | undefined {
    const { usual, usualCount, aheadOf } = this.#options;
    const usualOnes = this.#slots.filter(({ kind }) => kind.source === undefined).length;
    if (usual !== undefined && usualOnes < usualCount) return usual;
    const ahead = (kind: SlotKind): number =>
      this.#slots.filter(({ kind: held }) => sameKind(held, kind)).length;
    return this.#wanted.find(({ kind }) => ahead(kind) < aheadOf(kind.runtime))?.kind;
  }

  /** What waits takes memory: kinds that others have taken the place of, or that nobody asks for any more. */
  async #giveBackUnused(): Promise<void> {
    this.#wanted = this.#wanted.filter(({ askedMs }) => Date.now() - askedMs < unusedMsMax);
    await this.#giveBack(
      ({ source, ...kind }) =>
        source !== undefined && !this.#wanted.some((wanted) => sameKind(wanted.kind, { ...kind, source })),
    );
  }

  /** Lets go of a snapshot, which is to go. */
  async forgetSnapshot(snapshotId: string): Promise<void> {
    const ofIt = ({ source }: SlotKind): boolean => source?.snapshot?.id === snapshotId;
    this.#wanted = this.#wanted.filter(({ kind }) => !ofIt(kind));
    await this.#giveBack(ofIt);
  }

  async #giveBack(goes: (kind: SlotKind) => boolean): Promise<void> {
    const going = this.#slots.filter(({ kind }) => goes(kind));
    this.#slots = this.#slots.filter((slot) => !going.includes(slot));
    for (const { entry } of going) await this.#options.destroy(entry.id);
  }

  /** Gives all of them back. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#fillTimer);
    clearTimeout(this.#unusedTimer);
    await this.#work;
    await this.#giveBack(() => true);
  }
}

function sameKind(one: SlotKind, other: SlotKind): boolean {
  return JSON.stringify(keyOf(one)) === JSON.stringify(keyOf(other));
}

function keyOf({ runtime, limits, source }: SlotKind): unknown[] {
  const { cpus, memoryMib, diskMib, pids } = limits;
  return [runtime, cpus, memoryMib, diskMib, pids, source?.templateRoot, source?.snapshot?.id];
}
