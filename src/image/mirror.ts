/** Where this machine gets Debian's packages from: its own sources say, no host name stands in this repository. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** The first Debian archive that apt is configured with. @throws Error when there is none. */
export async function debianMirror(etcApt = '/etc/apt'): Promise<string> {
  const folder = join(etcApt, 'sources.list.d');
  const names = await readdir(folder).catch(() => []);
  const files = [join(etcApt, 'sources.list'), ...names.sort().map((name) => join(folder, name))];
  for (const file of files) {
    const mirror = findMirror(await readFile(file, 'utf8').catch(() => ''));
    if (mirror !== undefined) return mirror;
  }
  throw new Error('apt on this machine has no Debian archive among its sources');
}

/** Reads both of apt's formats; a Debian archive is an address that ends in `/debian`. */
export function findMirror(text: string): string | undefined {
  for (const line of text.split('\n')) {
    const found = /^(?:URIs:|deb\s+(?:\[[^\]]*\]\s+)?)\s*(\S+\/debian)\/?(?:\s|$)/.exec(line);
    if (found?.[1] !== undefined) return found[1];
  }
  return undefined;
}
