/** The smallest policy that lets pass what was denied: for people who look at it before they set it. */
import type { AllowCidr, AllowHost, EgressPolicy } from '../../schema/policy.ts';
import { parseAddress, reachOf } from './address.ts';
import { builtinDenial } from './builtin.ts';
import { protocolOfPort } from './match.ts';
import { isPlainPath } from './policy.ts';

/** A denial, as far as it matters here; from events, so that anything may stand in it. */
export interface Denied {
  readonly code: string;
  readonly host: string;
  readonly port?: number | undefined;
  readonly protocol: string;
  readonly method?: string | undefined;
  readonly path?: string | undefined;
}

export interface Learned {
  readonly policy: EgressPolicy;
  /** What no rule of a caller opens, and why. */
  readonly remarks: readonly string[];
}

const ofNoRule = new Set([
  'name_not_allowed',
  'address_not_allowed',
  'port_not_allowed',
  'protocol_not_allowed',
  'method_not_allowed',
  'path_not_allowed',
]);
const rulesMax = 256;
const pathsOfRuleMax = 32;

/** What one host was asked for on one port: requests, or `undefined` for what only a connection is known of. */
interface Asked {
  readonly port: number;
  readonly protocol: string;
  readonly requests: Map<string, Set<string>>;
  whole: boolean;
}

export function learn(denials: readonly Denied[]): Learned {
  const remarks = new Set<string>();
  const hosts = new Map<string, Map<string, Asked>>();
  for (const denied of denials) {
    const remark = remarkOn(denied);
    if (remark !== undefined) {
      remarks.add(remark);
      continue;
    }
    const ports = hosts.get(denied.host) ?? new Map<string, Asked>();
    hosts.set(denied.host, ports);
    if (denied.port !== undefined) note(ports, { ...denied, port: denied.port });
  }
  const allow = [...hosts].flatMap(([host, ports]) => rulesOf(host, [...ports.values()]));
  if (allow.length > rulesMax) remarks.add(`${allow.length - rulesMax} more rules were left out.`);
  return { policy: { allow: allow.slice(0, rulesMax) }, remarks: [...remarks] };
}

function remarkOn({ code, host, port, protocol }: Denied): string | undefined {
  const where = port === undefined ? host : `${host}:${port}`;
  if (!ofNoRule.has(code)) return `${where}: ${code}, which no allow rule changes.`;
  if (protocol === 'udp' && port === 443) return `${where}: QUIC; programs take TLS over TCP instead.`;
  const address = parseAddress(host);
  if (address !== undefined && reachOf(address) === 'never') return `${where}: nobody reaches this address.`;
  const kind = port === undefined ? undefined : builtinDenial(port);
  if (kind !== undefined) return `${where}: that port (${kind}) is opened by administrators alone.`;
  if (address !== undefined && port === undefined) return `${host}: an address without a port.`;
  return undefined;
}

function note(ports: Map<string, Asked>, { port, protocol, method, path }: Denied & { port: number }): void {
  // The kernel refuses before anything is spoken: then the port tells.
  const told = protocol === 'tls' || protocol === 'http' || protocol === 'udp';
  const spoken = told ? protocol : protocolOfPort(port);
  const key = `${port} ${spoken}`;
  const asked = ports.get(key) ?? {
    port,
    protocol: spoken,
    requests: new Map<string, Set<string>>(),
    whole: false,
  };
  ports.set(key, asked);
  if (method === undefined || path === undefined || !isPlainPath(path) || !/^[A-Z]{1,16}$/.test(method)) {
    asked.whole = true;
    return;
  }
  asked.requests.set(path, (asked.requests.get(path) ?? new Set()).add(method));
}

function rulesOf(host: string, asked: readonly Asked[]): (AllowHost | AllowCidr)[] {
  const address = parseAddress(host);
  if (address !== undefined) {
    const cidr = `${host}/${host.includes(':') ? 128 : 32}`;
    return asked.map(({ port, protocol }) => ({ cidr, ports: [port], ...protocolFor(port, protocol) }));
  }
  if (asked.length === 0) return [{ host }]; // looked up and never connected to: the usual ports
  return asked.flatMap(({ port, protocol, requests, whole }) => {
    const rule = { host, ports: [port], ...protocolFor(port, protocol) };
    return whole ? [rule] : requestRules(requests).map((conditions) => ({ ...rule, ...conditions }));
  });
}

function protocolFor(port: number, protocol: string): { protocol?: string } {
  return protocol === protocolOfPort(port) ? {} : { protocol };
}

/** Paths that were asked for by the same methods share a rule, and no others: a rule allows all its pairs. */
function requestRules(
  requests: ReadonlyMap<string, ReadonlySet<string>>,
): { methods: string[]; paths: string[] }[] {
  const byMethods = new Map<string, string[]>();
  for (const [path, methods] of requests) {
    const key = [...methods].sort().join(' ');
    byMethods.set(key, [...(byMethods.get(key) ?? []), path]);
  }
  return [...byMethods].flatMap(([methods, paths]) => {
    const parts: string[][] = [];
    for (let at = 0; at < paths.length; at += pathsOfRuleMax)
      parts.push(paths.slice(at, at + pathsOfRuleMax));
    return parts.map((part) => ({ methods: methods.split(' '), paths: part }));
  });
}
