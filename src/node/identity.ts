/** What a copy of a machine must not share with another one. */
import { randomBytes } from 'node:crypto';
import type { GuestClient } from '../guest/client.ts';
import type { ClaimRequest } from './types.ts';

const entropyBytes = 64;

export function freshEntropy(): string {
  return randomBytes(entropyBytes).toString('base64');
}

export function newMachineId(): string {
  return randomBytes(16).toString('hex');
}

/**
 * A copy must not be its source: before anything of a user runs, all that has to be its own is made anew. One that has booted
 * on its files has a new kernel already.
 */
export function renew(
  guest: GuestClient,
  bind: ClaimRequest['bind'],
  { booted, isCopy }: { readonly booted: boolean; readonly isCopy: boolean },
): Promise<void> {
  return guest.bind({
    env: bind.env,
    restored: !booted,
    clockUnixMs: Date.now(),
    entropyBase64: freshEntropy(),
    ...(bind.user === undefined ? {} : { user: bind.user }),
    ...(bind.hostname === undefined ? {} : { hostname: bind.hostname }),
    ...(isCopy ? { machineId: newMachineId() } : {}),
  });
}
