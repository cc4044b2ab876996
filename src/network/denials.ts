/** The gate's nftables rules, and reading back what they refused. */
import { runCommand } from '../base/child.ts';

/**
 * A sandbox reaches three things in the gate: the proxy's resolver, whatever TCP port the proxy listens on (an address
 * without a listener is refused like any other), and the single addresses where it has a socket for UDP. Everything else is recorded (who, where to, which port) and
 * refused at once, so that a program sees an error and not a hang. With the proxy gone there are no listeners: all is
 * refused. The set is bounded; a full one only means that a refusal goes unrecorded, never that it passes.
 *
 * `never` comes before any allowance: this host, link-local with the clouds' metadata, the links themselves, multicast.
 * Only a SYN asks for a listener: half-open connections are no sockets yet to nft, and the rest of a connection that does
 * not exist is reset by the kernel anyway.
 * A packet whose source is not the address of the link it came in by is dropped: no sandbox speaks for another.
 */
export const denialTable = `
add table inet casemate
flush table inet casemate
delete table inet casemate
table inet casemate {
  set denied {
    type ifname . ipv4_addr . inet_proto . inet_service
    size 65536
    flags dynamic,timeout
    timeout 1m
  }
  set never {
    type ipv4_addr
    flags interval
    elements = { 0.0.0.0/8, 10.200.0.0/16, 100.100.100.200, 127.0.0.0/8, 169.254.0.0/16, 224.0.0.0/3 }
  }
  chain record {
    type filter hook prerouting priority -150; policy accept;
    iifname "lo" accept
    fib saddr . iif oif 0 drop
    ip daddr 198.18.0.1 udp dport 53 accept
    ip daddr != @never meta l4proto tcp socket wildcard 0 accept
    ip daddr != @never meta l4proto tcp socket wildcard 1 accept
    ip daddr != @never meta l4proto udp socket wildcard 0 accept
    tcp flags & (syn | ack) == syn add @denied { iifname . ip daddr . meta l4proto . th dport }
    meta l4proto udp add @denied { iifname . ip daddr . meta l4proto . th dport }
  }
  chain refuse {
    meta l4proto tcp reject with tcp reset
    meta l4proto udp reject with icmpx type port-unreachable
    ip protocol icmp drop
    reject with icmpx type admin-prohibited
  }
  chain input {
    type filter hook input priority 0; policy drop;
    iifname "lo" drop
    ip daddr 198.18.0.1 udp dport 53 accept
    ip daddr @never goto refuse
    tcp flags & (syn | ack) != syn accept
    meta l4proto tcp socket wildcard 0 accept
    meta l4proto tcp socket wildcard 1 accept
    meta l4proto udp socket wildcard 0 accept
    goto refuse
  }
  chain forward {
    type filter hook forward priority 0; policy drop;
    goto refuse
  }
}
`;

/** One place that a sandbox tried to reach. */
export interface Denial {
  readonly gateInterface: string;
  readonly address: string;
  readonly protocol: 'tcp' | 'udp';
  readonly port: number;
}

/** Takes what was refused since the last call out of the gate's set. */
export async function takeDenials(gate: string): Promise<Denial[]> {
  const inGate = ['ip', 'netns', 'exec', gate, 'nft'];
  const listed = await runCommand([...inGate, '-j', 'list', 'set', 'inet', 'casemate', 'denied']);
  const denials = parseDenials(listed.stdout);
  if (denials.length > 0) await runCommand([...inGate, 'flush', 'set', 'inet', 'casemate', 'denied']);
  return denials;
}

/** nft names a protocol only where the host has an /etc/protocols (Debian's package netbase); elsewhere it says the number. */
const protocols = new Map<unknown, Denial['protocol']>([
  ['tcp', 'tcp'],
  ['udp', 'udp'],
  [6, 'tcp'],
  [17, 'udp'],
]);

/** nft's JSON: elements are `{elem: {val: {concat: [interface, address, protocol, port]}}}` or the value itself. */
export function parseDenials(json: string): Denial[] {
  const parsed = JSON.parse(json) as { nftables?: { set?: { elem?: unknown[] } }[] };
  const elements = parsed.nftables?.find((entry) => entry.set !== undefined)?.set?.elem ?? [];
  const denials: Denial[] = [];
  for (const element of elements) {
    const outer = element as { elem?: { val?: { concat?: unknown[] } }; concat?: unknown[] };
    const concat = outer.elem?.val?.concat ?? outer.concat;
    if (!Array.isArray(concat)) continue;
    const [gateInterface, address, named, port] = concat;
    if (typeof gateInterface !== 'string' || typeof address !== 'string' || typeof port !== 'number')
      continue;
    const protocol = protocols.get(named);
    if (protocol === undefined) continue;
    denials.push({ gateInterface, address, protocol, port });
  }
  return denials;
}
