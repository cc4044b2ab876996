/** How far an address lies from this host: its own ones are as closed as a private network. */
import { networkInterfaces } from 'node:os';
import { type Address, parseAddress, reachOf } from './address.ts';

/** As `reachOf`, but an address that this host itself has is `private` at best, by whichever of its interfaces. */
export function reachFromHere(address: Address): ReturnType<typeof reachOf> {
  const reach = reachOf(address);
  return reach === 'public' && isOwnAddress(address) ? 'private' : reach;
}

function isOwnAddress(address: Address): boolean {
  return Object.values(networkInterfaces()).some((entries) =>
    entries?.some((entry) => parseAddress(entry.address)?.value === address.value),
  );
}
