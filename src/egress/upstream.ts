/** Connects to the outside: names by the host's own resolver, and every address checked again before it is used. */
import { lookup } from 'node:dns/promises';
import { connect, type Socket } from 'node:net';
import { parseAddress } from '../policy/address.ts';
import { allowsPrivate, type DenialCode, deniesAddress, type Target } from '../policy/match.ts';
import { reachFromHere } from '../policy/reach.ts';
import type { Inflow } from './inflow.ts';
import { egressLimits } from './limits.ts';
import type { SandboxEgress } from './sandbox.ts';

/** Why there is no connection, in the words of a denial. */
export class UpstreamRefusal extends Error {
  readonly code: DenialCode;
  readonly rule: string;

  constructor(code: DenialCode, hint: string, rule = 'default deny') {
    super(hint);
    this.code = code;
    this.rule = rule;
  }
}

interface Kept {
  readonly addresses: Promise<readonly string[]>;
  readonly until: number;
}
const kept = new Map<string, Kept>();

/**
 * The addresses of a place that may be used, each checked now.
 * @throws UpstreamRefusal where there is none
 */
export async function addressesFor(
  sandbox: SandboxEgress,
  target: Target,
  literal: string,
): Promise<readonly string[]> {
  const found = target.host === undefined ? [literal] : await addressesOf(sandbox, target.host);
  const checked = found.map((text) => ({ text, refusal: refusalOf(sandbox, target, text) }));
  const usable = checked.filter(({ refusal }) => refusal === undefined);
  if (usable.length === 0) {
    const refusal = checked.find((entry) => entry.refusal !== undefined)?.refusal;
    throw refusal ?? new UpstreamRefusal('upstream_unreachable', `${target.host} has no address.`);
  }
  return usable.map(({ text }) => text);
}

/** Of a connection that serves one client alone. */
export interface Relayed {
  /** With its end the connection ends, or is no longer tried. */
  readonly client: Socket;
  /** Reads the connection, which stands still until it is resumed. */
  readonly inflow: Inflow;
}

/**
 * Resolves with a connected socket.
 * @throws UpstreamRefusal
 */
export async function connectUpstream(
  sandbox: SandboxEgress,
  target: Target,
  literal: string,
  relayed?: Relayed,
): Promise<Socket> {
  const usable = await addressesFor(sandbox, target, literal);
  let last: unknown;
  for (const text of usable.slice(0, egressLimits.addressesTried)) {
    if (relayed?.client.destroyed === true) break;
    try {
      return await connectTo(text, target.port, relayed);
    } catch (error) {
      last = error;
    }
  }
  const how = (last as NodeJS.ErrnoException | undefined)?.code ?? 'no answer';
  throw new UpstreamRefusal(
    'upstream_unreachable',
    `${target.host ?? literal} cannot be reached: ${how}.`,
    'none',
  );
}

/** Undefined where the address may be used. */
function refusalOf(sandbox: SandboxEgress, target: Target, text: string): UpstreamRefusal | undefined {
  const address = parseAddress(text);
  const name = target.host ?? text;
  if (address === undefined) return new UpstreamRefusal('address_private', `${name} has an odd address.`);
  const deny = deniesAddress(sandbox.policy, target.port, address);
  if (deny !== undefined)
    return new UpstreamRefusal('denied_by_rule', `${name} leads to a denied network.`, deny.text);
  const reach = reachFromHere(address);
  if (reach === 'public') return undefined;
  if (reach !== 'never' && allowsPrivate(sandbox.policy, target, address)) return undefined;
  const hint = `${name} leads to a private address; only an administrator's rule with allowPrivate opens those.`;
  return new UpstreamRefusal('address_private', hint);
}

async function addressesOf(sandbox: SandboxEgress, host: string): Promise<readonly string[]> {
  const now = performance.now();
  const known = kept.get(host);
  if (known !== undefined && known.until > now) return known.addresses;
  if (sandbox.lookups >= egressLimits.lookupsMax) {
    throw new UpstreamRefusal(
      'rate_limited',
      'Too many names are being looked up at once; wait a moment.',
      'budget',
    );
  }
  sandbox.lookups += 1;
  const addresses = resolve(host, () => {
    sandbox.lookups -= 1;
  });
  if (kept.size >= egressLimits.lookupsKept) kept.clear();
  kept.set(host, { addresses, until: now + egressLimits.lookupKeptMs });
  try {
    return await addresses;
  } catch (error) {
    kept.delete(host);
    throw error;
  }
}

/** @param ended is called when the resolver is done: it may keep its thread long after nobody waits for it any more. */
async function resolve(host: string, ended: () => void): Promise<readonly string[]> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error('timeout')), egressLimits.lookupMsMax);
  try {
    // With the dot at its end the name is looked up as it stands, without the host's search domains.
    const asked = lookup(`${host}.`, { all: true, order: 'ipv4first' });
    asked.then(ended, ended);
    const found = await Promise.race([asked, late.promise]);
    return found.map(({ address }) => address);
  } catch {
    throw new UpstreamRefusal(
      'upstream_unreachable',
      `The host's resolver has no address for ${host}.`,
      'none',
    );
  } finally {
    clearTimeout(timer);
  }
}

function connectTo(address: string, port: number, relayed: Relayed | undefined): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const reading = relayed === undefined ? {} : { onread: relayed.inflow.onread };
    const socket = connect({ host: address, port, allowHalfOpen: true, noDelay: true, ...reading });
    if (relayed !== undefined) {
      socket.pause();
      relayed.client.once('close', () => socket.destroy());
    }
    const timer = setTimeout(() => socket.destroy(new Error('timeout')), egressLimits.connectMsMax);
    socket.once('connect', () => {
      clearTimeout(timer);
      resolve(socket);
    });
    socket.once('error', reject);
    socket.once('close', () => {
      clearTimeout(timer);
      reject(new Error('closed')); // by its client, without an error
    });
  });
}
