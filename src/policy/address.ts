/** Addresses as numbers: strict parsing, CIDR, and the ranges that nobody reaches through the proxy. */
import { isIPv4, isIPv6 } from 'node:net';
import { CasemateError } from '../base/errors.ts';

export interface Address {
  readonly bits: 32 | 128;
  readonly value: bigint;
}

export interface Cidr extends Address {
  readonly prefix: number;
}

/** Strict dotted quads and RFC 4291 text only; an IPv4 address inside IPv6 (mapped, NAT64, 6to4) comes out as IPv4. */
export function parseAddress(text: string): Address | undefined {
  if (isIPv4(text)) return { bits: 32, value: quad(text) };
  if (!isIPv6(text) || text.includes('%')) return undefined;
  return embedded(sixteenBytes(text));
}

function quad(text: string): bigint {
  return text.split('.').reduce((value, part) => (value << 8n) | BigInt(Number(part)), 0n);
}

function sixteenBytes(text: string): bigint {
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  const plain = dotted === null ? text : `${dotted[1]}${quadAsGroups(dotted[2] ?? '')}`;
  const [head = '', tail] = plain.split('::');
  const groups = (part: string): string[] => (part === '' ? [] : part.split(':'));
  const before = groups(head);
  const after = tail === undefined ? [] : groups(tail);
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => '0');
  return [...before, ...zeros, ...after].reduce((value, group) => (value << 16n) | BigInt(`0x${group}`), 0n);
}

function quadAsGroups(text: string): string {
  const value = quad(text);
  return `${(value >> 16n).toString(16)}:${(value & 0xffffn).toString(16)}`;
}

const low32 = 0xffff_ffffn;

/** ::ffff:a.b.c.d, ::a.b.c.d, 64:ff9b::/96, 64:ff9b:1::/48 (last 32 bits) and 2002::/16 carry an IPv4 address. */
function embedded(value: bigint): Address {
  const high96 = value >> 32n;
  if (high96 === 0xffffn || high96 === 0x0064_ff9b_0000_0000_0000_0000n)
    return { bits: 32, value: value & low32 };
  if (value >> 80n === 0x0064_ff9b_0001n) return { bits: 32, value: value & low32 };
  if (high96 === 0n && value > 0xffffn) return { bits: 32, value: value & low32 };
  if (value >> 112n === 0x2002n) return { bits: 32, value: (value >> 80n) & low32 };
  return { bits: 128, value };
}

/** @throws CasemateError `invalid_request` */
export function parseCidr(text: string): Cidr {
  const match = /^([0-9a-fA-F.:]+)\/(\d{1,3})$/.exec(text);
  const literal = match?.[1] ?? '';
  const address = parseAddress(literal);
  const prefix = Number(match?.[2]);
  const mixed = isIPv6(literal) && address?.bits === 32;
  if (match === null || address === undefined || mixed || prefix > address.bits) {
    throw new CasemateError('invalid_request', `"${text.replace(/[^\x20-\x7e]/g, '?')}" is no network.`, {
      hint: 'Write 203.0.113.0/24 or 2001:db8::/32; IPv4 addresses as IPv4.',
    });
  }
  const shift = BigInt(address.bits - prefix);
  if ((address.value >> shift) << shift !== address.value) {
    throw new CasemateError('invalid_request', `"${text}" has bits set behind its prefix.`, {
      hint: 'A network ends in zeros: 203.0.113.0/24, not 203.0.113.7/24.',
    });
  }
  return { ...address, prefix };
}

export function inCidr(cidr: Cidr, address: Address): boolean {
  const shift = BigInt(cidr.bits - cidr.prefix);
  return cidr.bits === address.bits && address.value >> shift === cidr.value >> shift;
}

function list(...texts: string[]): Cidr[] {
  return texts.map(parseCidr);
}

/** Never reachable, whatever a policy says: this host, link-local with the clouds' metadata, multicast, reserved. */
const neverRanges = [
  ...list('0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '192.0.0.0/24', '224.0.0.0/3', '100.100.100.200/32'),
  ...list('::/96', 'fe80::/10', 'fec0::/10', 'ff00::/8', 'fd00:ec2::/32', '100::/64'),
];

/** Reachable only where an administrator's rule says `allowPrivate`. */
const privateRanges = [
  ...list('10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', '198.18.0.0/15'),
  ...list('192.0.2.0/24', '198.51.100.0/24', '203.0.113.0/24', '192.88.99.0/24'),
  ...list('fc00::/7', '2001:db8::/32', '2001::/23', '3fff::/20', '5f00::/16'),
];

/** What may be done with an address: `never`, only with `allowPrivate`, or `public`. */
export function reachOf(address: Address): 'never' | 'private' | 'public' {
  if (neverRanges.some((range) => inCidr(range, address))) return 'never';
  return privateRanges.some((range) => inCidr(range, address)) ? 'private' : 'public';
}
