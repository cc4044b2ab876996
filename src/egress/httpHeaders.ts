/** Headers on their way through: what belongs to one connection stays behind, and two versions' forms meet here. */
import type { OutgoingHttpHeaders } from 'node:http';

/** Of one connection, not of the message (RFC 9110 §7.6.1). */
const hopByHop = new Set([
  ...['connection', 'keep-alive', 'proxy-connection', 'proxy-authorization', 'te', 'trailer'],
  ...['transfer-encoding', 'upgrade', 'expect', 'http2-settings'],
]);

/** Name, value, name, value, …: what goes from end to end; pseudo-headers of HTTP/2 are none of it. */
export function endToEnd(raw: readonly string[]): string[] {
  const named = new Set<string>();
  for (const [name, value] of pairs(raw)) {
    if (name.toLowerCase() !== 'connection') continue;
    for (const part of value.split(',')) named.add(part.trim().toLowerCase());
  }
  named.delete('host');
  return pairs(raw).flatMap(([name, value]) => {
    const lower = name.toLowerCase();
    return lower.startsWith(':') || hopByHop.has(lower) || named.has(lower) ? [] : [name, value];
  });
}

export function pairs(raw: readonly string[]): [string, string][] {
  const made: [string, string][] = [];
  for (let at = 0; at + 1 < raw.length; at += 2) made.push([raw[at] ?? '', raw[at + 1] ?? '']);
  return made;
}

/** HTTP/2 may split a cookie into several lines (RFC 9113 §8.2.3); HTTP/1.1 has one. */
export function joinCookies(raw: readonly string[]): string[] {
  const isCookie = ([name]: [string, string]): boolean => name.toLowerCase() === 'cookie';
  const cookies = pairs(raw).filter(isCookie);
  if (cookies.length < 2) return [...raw];
  const rest = pairs(raw).filter((pair) => !isCookie(pair));
  return [...rest.flat(), 'cookie', cookies.map(([, value]) => value).join('; ')];
}

/** As Node's HTTP/2 takes them: lower case, and a list where a name stands more than once. */
export function asObject(raw: readonly string[]): OutgoingHttpHeaders {
  const made = new Map<string, string[]>();
  for (const [name, value] of pairs(raw)) {
    const lower = name.toLowerCase();
    made.set(lower, [...(made.get(lower) ?? []), value]);
  }
  return Object.fromEntries(
    [...made].map(([name, values]) => [name, values.length === 1 ? values[0] : values]),
  );
}
