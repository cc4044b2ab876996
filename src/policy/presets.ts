/** Presets: which hosts the server's own package clients are set up to use. No host name is written in here. */
import { lookup } from 'node:dns/promises';
import { readdir, readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { runCommand } from '../base/child.ts';
import { parseAddress } from './address.ts';
import { canonicalHost } from './host.ts';
import type { PresetHost, Presets } from './policy.ts';
import { reachFromHere } from './reach.ts';

const askMsMax = 10_000;
const lookupMsMax = 5000;

/** What stands in a client's configuration; where its name leads is another question. */
type WrittenHost = Pick<PresetHost, 'host' | 'port'>;

/** Asks every client once; one that is missing or silent has no hosts, and its preset is refused when used. */
export async function readPresets(): Promise<Presets> {
  const texts = [
    pipText(),
    ask(['npm', 'config', 'get', 'registry']),
    aptText(),
    cargoText(),
    ask(['go', 'env', 'GOPROXY']),
  ];
  const [pip = [], npm = [], apt = [], cargo = [], go = []] = await Promise.all(
    texts.map(async (text) => Promise.all(hostsIn(await text).map(withReach))),
  );
  return { pip, npm, apt, cargo, go };
}

/**
 * A name of the operator's own network is known by where it leads today: to private addresses and nowhere else. One that
 * is public today, or does not answer, may not lead to a private address tomorrow.
 */
export async function withReach({ host, port }: WrittenHost): Promise<PresetHost> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error('timeout')), lookupMsMax);
  const found = await Promise.race([lookup(`${host}.`, { all: true }), late.promise]).catch(() => []);
  clearTimeout(timer);
  const isPrivate =
    found.length > 0 &&
    found.every(({ address }) => {
      const parsed = parseAddress(address);
      return parsed !== undefined && reachFromHere(parsed) === 'private';
    });
  return { host, port, isPrivate };
}

/** Hosts of all http(s) URLs in `text`, once each. `direct` and `off` of GOPROXY, comments and options are no URLs. */
export function hostsIn(text: string): WrittenHost[] {
  const found = new Map<string, WrittenHost>();
  for (const line of text.split('\n')) {
    if (/^\s*[#;]/.test(line)) continue;
    for (const match of line.matchAll(/(?:sparse\+)?(https?:\/\/[^\s'"|,\]]+)/g)) {
      const url = URL.parse(match[1] ?? '');
      const host = canonicalHost(url?.hostname ?? '');
      if (url === null || host === undefined) continue;
      const port = Number(url.port || (url.protocol === 'https:' ? 443 : 80));
      found.set(`${host}:${port}`, { host, port });
    }
  }
  return [...found.values()];
}

async function ask(argv: readonly string[]): Promise<string> {
  return runCommand(argv, { timeoutMs: askMsMax }).then(
    ({ stdout }) => stdout,
    () => '',
  );
}

/** pip has no command that tells its built-in index, so its own module is asked where the configuration is silent. */
async function pipText(): Promise<string> {
  const set = await ask(['pip', 'config', 'list']);
  const index = /^[^\n]*index-url[^\n]*$/gm;
  const lines = set.match(index)?.join('\n') ?? '';
  if (/(^|[.])index-url/m.test(lines)) return lines;
  const program =
    'from pip._internal.models.index import PyPI as i; print(i.simple_url); print("https://" + i.file_storage_domain)';
  const builtIn = await ask(['python3', '-c', program]);
  return `${lines}\n${builtIn}`;
}

async function aptText(): Promise<string> {
  const folder = '/etc/apt/sources.list.d';
  const more = await readdir(folder).catch(() => []);
  const files = ['/etc/apt/sources.list', ...more.map((name) => join(folder, name))];
  const texts = await Promise.all(files.map((file) => readFile(file, 'utf8').catch(() => '')));
  return texts.join('\n');
}

async function cargoText(): Promise<string> {
  const home = process.env.CARGO_HOME ?? join(homedir(), '.cargo');
  const files = ['config.toml', 'config'].map((name) => join(home, name));
  const texts = await Promise.all(files.map((file) => readFile(file, 'utf8').catch(() => '')));
  return texts.join('\n');
}
