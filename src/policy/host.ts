/** One canonical form of a host name; whatever two parsers could read differently is refused. */
import { domainToASCII } from 'node:url';
import { CasemateError } from '../base/errors.ts';

const nameCharactersMax = 253;
const labelPattern = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/;

/** Canonical name, or undefined for anything that is not plainly one. Hostile input is welcome; never throws. */
export function canonicalHost(text: string): string | undefined {
  if (text.length > nameCharactersMax + 1) return undefined;
  if (/[^\x21-\x7e]|[%\\/@:[\]?#"'<>^`{|}*]/.test(text)) return undefined;
  const name = (text.endsWith('.') ? text.slice(0, -1) : text).toLowerCase();
  if (name === '' || name.length > nameCharactersMax) return undefined;
  const labels = name.split('.');
  if (!labels.every((label) => labelPattern.test(label))) return undefined;
  if (looksNumeric(labels.at(-1) ?? '')) return undefined;
  if (!labels.some((label) => label.startsWith('xn--'))) return name;
  return URL.parse(`http://${name}/`)?.hostname === name ? name : undefined; // checks the punycode too
}

/** `inet_aton` reads 127.1, 0177.0.0.1, 0x7f000001 and 2130706433 as addresses: a last label that is a number is no name. */
function looksNumeric(label: string): boolean {
  return /^(\d+|0x[0-9a-f]*)$/.test(label);
}

export interface HostPattern {
  readonly name: string;
  /** Matches every name below `name`, and not `name` itself. */
  readonly wildcard: boolean;
}

/** @throws CasemateError `invalid_request` that says which part is wrong. */
export function parseHostPattern(text: string): HostPattern {
  const wildcard = text.startsWith('*.');
  const written = wildcard ? text.slice(2) : text;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: names of other scripts are written by people here
  const name = canonicalHost(/[^\x00-\x7f]/.test(written) ? domainToASCII(written) : written);
  if (name === undefined) {
    throw new CasemateError('invalid_request', `"${printable(text)}" is no host name.`, {
      hint: 'Write a name (api.example.com), or *.example.com for all names below it; addresses go into "cidr".',
    });
  }
  if (wildcard && !name.includes('.')) {
    throw new CasemateError('invalid_request', `"${printable(text)}" would allow a whole top-level domain.`, {
      hint: 'A wildcard needs a domain of two labels at least.',
    });
  }
  return { name, wildcard };
}

/** Every name; never read out of a pattern by itself, so that nobody writes it by accident. */
export const anyHost: HostPattern = { name: '', wildcard: true };

export function isAnyHost({ name }: HostPattern): boolean {
  return name === '';
}

/** How a pattern is kept: the one canonical form. @throws CasemateError `invalid_request` */
export function canonicalPattern(text: string): string {
  return patternText(parseHostPattern(text));
}

export function patternText({ name, wildcard }: HostPattern): string {
  return wildcard ? `*.${name}` : name;
}

export function hostMatches(pattern: HostPattern, host: string): boolean {
  if (isAnyHost(pattern)) return true;
  return pattern.wildcard ? host.endsWith(`.${pattern.name}`) : host === pattern.name;
}

/** Hostile text for a message: printable ASCII, and not long. */
export function printable(text: string): string {
  return text.slice(0, 256).replace(/[^\x20-\x7e]/g, '?');
}
