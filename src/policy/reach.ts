/** How far an address lies from this host: its own ones are as closed as a private network. */
import { networkInterfaces } from 'node:os';
import { type Address, parseAddress, reachOf } from './address.ts';

/** An address that the host has just got is closed after this long. */
const ownAddressesKeptMs = 1000;

/** As `reachOf`, but an address that this host itself has is `private` at best, by whichever of its interfaces. */
export function reachFromHere(address: Address): ReturnType<typeof reachOf> {
  const reach = reachOf(address);
  return reach === 'public' && isOwnAddress(address) ? 'private' : reach;
}

let own: { readonly values: ReadonlySet<bigint>; readonly until: number } | undefined;

/** Asking the kernel takes longer than all other checks of a connection together, so its answer counts for a moment. */
function isOwnAddress(address: Address): boolean {
  const now = performance.now();
  if (own === undefined || own.until <= now) {
    const entries = Object.values(networkInterfaces()).flatMap((some) => some ?? []);
    const values = entries.flatMap((entry) => parseAddress(entry.address)?.value ?? []);
    own = { values: new Set(values), until: now + ownAddressesKeptMs };
  }
  return own.values.has(address.value);
}
