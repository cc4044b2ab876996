/** One address per name for one sandbox: the address that it connects to *is* the name. */
import { createHash } from 'node:crypto';

/** 198.18.0.0/15, set aside for tests of networks (RFC 2544): no real host has such an address. */
const rangeStart = (198 << 24) | (18 << 16);
const rangeSize = 1 << 17;
/** The first 256 are Casemate's own: the resolver and the page that tells the policy. */
const reserved = 256;

export const serviceAddress = '198.18.0.1';

/** Names that one sandbox may hold; the one that was unused longest goes first, and only this sandbox pays for it. */
export const pinsMax = 4096;

export class Pins {
  /** In order of use, the longest unused first. */
  readonly #slotOf = new Map<string, number>();
  readonly #nameAt = new Map<number, string>();

  /**
   * The same name gets the same address after a restart of the proxy (unless others took its place before), so that what
   * a program has cached goes on working.
   */
  addressOf(name: string): string {
    let slot = this.#slotOf.get(name);
    if (slot === undefined) {
      if (this.#slotOf.size >= pinsMax) this.#evict();
      slot = this.#freeSlot(name);
      this.#nameAt.set(slot, name);
    }
    this.#slotOf.delete(name);
    this.#slotOf.set(name, slot);
    return formatAddress(rangeStart + slot);
  }

  nameOf(address: string): string | undefined {
    const slot = slotIn(address);
    return slot === undefined ? undefined : this.#nameAt.get(slot);
  }

  has(name: string): boolean {
    return this.#slotOf.has(name);
  }

  get size(): number {
    return this.#slotOf.size;
  }

  #freeSlot(name: string): number {
    const start = createHash('sha256').update(name).digest().readUInt32BE(0);
    for (let step = 0; ; step += 1) {
      const slot = reserved + ((start + step) % (rangeSize - reserved));
      if (!this.#nameAt.has(slot)) return slot; // ends: far fewer names than slots
    }
  }

  #evict(): void {
    const [oldest] = this.#slotOf;
    if (oldest === undefined) return;
    this.#slotOf.delete(oldest[0]);
    this.#nameAt.delete(oldest[1]);
  }
}

export function formatAddress(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join('.');
}

function slotIn(address: string): number | undefined {
  const match = /^198\.(18|19)\.(\d{1,3})\.(\d{1,3})$/.exec(address);
  if (match === null) return undefined;
  return ((Number(match[1]) - 18) << 16) | (Number(match[2]) << 8) | Number(match[3]);
}

/** Whether an address stands for a name (or for Casemate itself). */
export function isPinned(address: string): boolean {
  return slotIn(address) !== undefined;
}
