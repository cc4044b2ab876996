/** Which secrets the header rules of levels name (`Bearer {{secret:github}}`), and for which hosts. */
import { isAnyHost, patternText } from './host.ts';
import type { Level } from './policy.ts';

/** Host patterns by secret. A rule for every host names no place where a secret could be at home. */
export function secretHosts(levels: readonly Level[]): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const { host, headers } of levels.flatMap(({ allow }) => allow)) {
    for (const { value } of headers)
      for (const [, name = ''] of value.matchAll(/\{\{secret:([^}]*)\}\}/g)) {
        const hosts = host === undefined || isAnyHost(host) ? [] : [patternText(host)];
        found.set(name, [...new Set([...(found.get(name) ?? []), ...hosts])]);
      }
  }
  return found;
}
