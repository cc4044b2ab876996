/** What the addresses that a sandbox uses mean to it. */
import { parseAddress } from '../policy/address.ts';
import type { Target } from '../policy/match.ts';
import { isPinned } from './pins.ts';
import type { SandboxEgress } from './sandbox.ts';

/** Undefined for an address of the pins' range that means nothing. */
export function targetOf(sandbox: SandboxEgress, literal: string, port: number): Target | undefined {
  if (isPinned(literal)) {
    const host = sandbox.pins.nameOf(literal);
    return host === undefined ? undefined : { host, port };
  }
  const address = parseAddress(literal);
  return address === undefined ? undefined : { address, port };
}
