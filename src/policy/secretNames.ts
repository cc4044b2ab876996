/** Which secrets the header rules of levels name: `Bearer {{secret:github}}`. */
import type { Level } from './policy.ts';

/** Each name once. */
export function secretNames(levels: readonly Level[]): string[] {
  const headers = levels.flatMap(({ allow }) => allow.flatMap((rule) => rule.headers));
  const named = headers.flatMap(({ value }) => [...value.matchAll(/\{\{secret:([^}]*)\}\}/g)]);
  return [...new Set(named.map(([, name = '']) => name))];
}
