/** UDP where a rule opens it: one socket in the gate for each place, and a flow for each program that sends there. */
import type { RemoteInfo, Socket } from 'node:dgram';
import { CasemateError } from '../base/errors.ts';
import { inCidr, parseCidr, reachOf } from '../policy/address.ts';
import { allowsPrivate, judgeConnection, type Target, udpPlacesOf } from '../policy/match.ts';
import type { Policy } from '../policy/policy.ts';
import { DatagramFlow } from './datagramFlow.ts';
import { egressLimits } from './limits.ts';
import { formatAddress, isPinned } from './pins.ts';
import type { SandboxEgress } from './sandbox.ts';
import { targetOf } from './targets.ts';

export type OpenUdp = (address: string, port: number) => Promise<Socket>;

interface Place {
  readonly address: string;
  readonly port: number;
}

export class Datagrams {
  readonly #open: OpenUdp;
  readonly #sandboxAt: (address: string) => SandboxEgress | undefined;
  readonly #sockets = new Map<string, Promise<Socket>>();
  /** By the sandbox's address and port, and the place. */
  readonly #flows = new Map<string, DatagramFlow>();

  constructor(open: OpenUdp, sandboxAt: (address: string) => SandboxEgress | undefined) {
    this.#open = open;
    this.#sandboxAt = sandboxAt;
  }

  /**
   * Listens on what this sandbox's policy opens, and no longer on what nobody's does.
   * @throws CasemateError `policy_unenforceable`
   */
  async listenFor(sandbox: SandboxEgress, all: Iterable<SandboxEgress>): Promise<void> {
    this.closeUnneeded(all);
    await Promise.all(placesOf(sandbox).map((place) => this.#listen(place)));
  }

  closeUnneeded(all: Iterable<SandboxEgress>): void {
    if (this.#sockets.size === 0) return;
    const needed = new Set([...all].flatMap((sandbox) => placesOf(sandbox).map(keyOf)));
    for (const [key, opening] of this.#sockets) {
      if (needed.has(key)) continue;
      this.#sockets.delete(key);
      opening.then(
        (socket) => socket.close(),
        () => {}, // told to whoever opened it
      );
    }
  }

  async #listen(place: Place): Promise<void> {
    const key = keyOf(place);
    const known = this.#sockets.get(key);
    if (known !== undefined) return void (await known);
    if (this.#sockets.size >= egressLimits.udpPlacesMax) {
      throw new CasemateError(
        'policy_unenforceable',
        'The policies of this host open too many places for UDP.',
      );
    }
    const opening = this.#open(place.address, place.port);
    this.#sockets.set(key, opening);
    try {
      const socket = await opening;
      socket.on('error', () => {}); // one datagram that could not be sent
      socket.on('message', (bytes, from) => this.#arrived(socket, place, { bytes, from }));
    } catch (error) {
      this.#sockets.delete(key);
      throw error;
    }
  }

  #arrived(socket: Socket, place: Place, { bytes, from }: { bytes: Buffer; from: RemoteInfo }): void {
    const sandbox = this.#sandboxAt(from.address);
    if (sandbox === undefined || !sandbox.datagrams.take()) return;
    const key = `${from.address} ${from.port} ${keyOf(place)}`;
    const flow =
      this.#flows.get(key) ??
      this.#begin(key, sandbox, place, (answer) => {
        if (socket.getSendQueueSize() < egressLimits.datagramBytesQueuedMax)
          socket.send(answer, from.port, from.address);
      });
    flow?.send(bytes);
  }

  /** Undefined where the policy of this sandbox does not open what another's does, or its budget is used up. */
  #begin(
    key: string,
    sandbox: SandboxEgress,
    { address, port }: Place,
    answer: (bytes: Buffer) => void,
  ): DatagramFlow | undefined {
    const target = targetOf(sandbox, address, port);
    const deny = (code: Parameters<SandboxEgress['deny']>[0]['code'], rule: string, hint: string): void =>
      void sandbox.deny({ code, rule, hint, host: target?.host ?? address, port, protocol: 'udp' });
    if (target === undefined) {
      deny('address_not_allowed', 'default deny', 'This address stands for no name (any more): look it up.');
      return undefined;
    }
    const verdict = judgeConnection(sandbox.policy, target, 'udp');
    const refused = verdict.allowed ? sandbox.admit(target) : verdict;
    if (!refused.allowed) {
      deny(refused.code, refused.rule, refused.hint);
      return undefined;
    }
    const flow = new DatagramFlow({
      ...{ sandbox, target, literal: address, answer, deny },
      rule: verdict.rule,
      onEnd: () => this.#flows.delete(key),
    });
    this.#flows.set(key, flow);
    return flow;
  }
}

function keyOf({ address, port }: Place): string {
  return `${address} ${port}`;
}

/** Told of every sandbox whenever one of them changes. */
const targetsOf = new WeakMap<Policy, Target[]>();

/** Where the gate has to listen for a sandbox. IPv6 is not there in a sandbox. */
function placesOf(sandbox: SandboxEgress): Place[] {
  const targets = targetsOf.get(sandbox.policy) ?? udpPlacesOf(sandbox.policy);
  targetsOf.set(sandbox.policy, targets);
  return targets.flatMap((target) => {
    const { host, port } = target;
    if (host !== undefined) return [{ address: sandbox.pins.addressOf(host), port }];
    const address = literalOf(sandbox, target);
    return address === undefined ? [] : [{ address, port }];
  });
}

/** Where the sandboxes' own links lie: the only addresses that are not the gate's. */
const links = parseCidr('10.200.0.0/16');

/** An address that could be reached at all. */
function literalOf({ policy }: SandboxEgress, target: Target): string | undefined {
  const { address } = target;
  if (address === undefined || address.bits !== 32) return undefined;
  const reach = reachOf(address);
  if (inCidr(links, address)) return undefined;
  const reachable = reach === 'public' || (reach === 'private' && allowsPrivate(policy, target, address));
  const text = formatAddress(Number(address.value));
  return reachable && !isPinned(text) ? text : undefined;
}
