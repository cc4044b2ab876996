/** Ranges of addresses as people write them, and taking some out of others. */
import { CasemateError } from '../base/errors.ts';
import { type Address, type Cidr, inCidr, parseAddress } from './address.ts';

/** An address alone, or a network whose bits behind the prefix do not matter. @throws CasemateError `invalid_request` */
export function parseRange(text: string): Cidr {
  const match = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text);
  const address = parseAddress(match?.[1] ?? '');
  const prefix = match?.[2] === undefined ? address?.bits : Number(match[2]);
  if (address === undefined || prefix === undefined || prefix > address.bits) {
    throw new CasemateError(
      'invalid_request',
      `"${text.replace(/[^\x20-\x7e]/g, '?')}" is no address or network.`,
    );
  }
  const shift = BigInt(address.bits - prefix);
  return { bits: address.bits, value: (address.value >> shift) << shift, prefix };
}

export function rangeText({ bits, value, prefix }: Cidr): string {
  const size = bits === 32 ? 8n : 16n;
  const parts = Array.from({ length: bits === 32 ? 4 : 8 }, (_, place) => {
    const shift = BigInt(bits) - size * BigInt(place + 1);
    const part = (value >> shift) & ((1n << size) - 1n);
    return part.toString(bits === 32 ? 10 : 16);
  });
  return `${parts.join(bits === 32 ? '.' : ':')}/${prefix}`;
}

/** `from` without the addresses of `holes`, in as few ranges as there are. */
export function without(from: Cidr, holes: readonly Cidr[]): Cidr[] {
  if (holes.some((hole) => hole.prefix <= from.prefix && inCidr(hole, from))) return [];
  const inside = holes.filter((hole) => hole.prefix > from.prefix && inCidr(from, hole));
  if (inside.length === 0) return [from];
  return halves(from).flatMap((half) => without(half, inside));
}

function halves({ bits, value, prefix }: Cidr): Cidr[] {
  const upper = 1n << BigInt(bits - prefix - 1);
  return [value, value | upper].map((start) => ({ bits, value: start, prefix: prefix + 1 }));
}

export function inAny(ranges: readonly Cidr[], address: Address): boolean {
  return ranges.some((range) => inCidr(range, address));
}
