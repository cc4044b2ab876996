/** Judges names, connections and requests by a policy: every level has to allow, deny beats allow, all else is denied. */
import { type Address, type Cidr, inCidr } from './address.ts';
import { builtinDenial, neverOpens } from './builtin.ts';
import { hostMatches } from './host.ts';
import { isPlainPath, type Level, needsRequests, type Policy, type Protocol, type Rule } from './policy.ts';

/** Why something was denied; stable, for programs. */
export type DenialCode =
  | 'name_not_allowed'
  | 'name_malformed'
  | 'address_not_allowed'
  | 'address_private'
  | 'port_not_allowed'
  | 'denied_by_rule'
  | 'method_not_allowed'
  | 'path_not_allowed'
  | 'path_ambiguous'
  | 'protocol_not_allowed'
  | 'host_mismatch'
  | 'request_too_large'
  | 'response_too_large'
  | 'tls_refused'
  | 'budget_exhausted'
  | 'rate_limited'
  | 'secret_refused'
  | 'upstream_unreachable';

export interface Target {
  /** Canonical name; or `address` where the sandbox connected to one without a name. */
  readonly host?: string;
  readonly address?: Address;
  readonly port: number;
}

export interface RequestLine {
  readonly method: string;
  readonly path: string;
}

export type Verdict =
  | { readonly allowed: true; readonly rule: string }
  | { readonly allowed: false; readonly code: DenialCode; readonly rule: string; readonly hint: string };

const defaultDeny = 'default deny';

function denied(code: DenialCode, rule: string, hint: string): Verdict {
  return { allowed: false, code, rule, hint };
}

function placeMatches(rule: Rule, target: Target): boolean {
  if (target.host !== undefined) return rule.host !== undefined && hostMatches(rule.host, target.host);
  return rule.cidr !== undefined && target.address !== undefined && inCidr(rule.cidr, target.address);
}

function portMatches(rule: Rule, port: number): boolean {
  return rule.ports.length === 0 || rule.ports.includes(port);
}

/** What a port speaks where no rule says so. */
export function protocolOfPort(port: number): Protocol {
  if (port === 443 || port === 8443) return 'tls';
  return port === 80 || port === 8080 ? 'http' : 'tcp';
}

function speaks(rule: Rule, target: Target, protocol: Protocol): boolean {
  return (rule.protocol ?? protocolOfPort(target.port)) === protocol;
}

const conditional = (rule: Rule): boolean => rule.methods !== undefined || rule.paths !== undefined;

/** Whether DNS answers for the name: every level mentions it, none denies it outright. */
export function judgeName(policy: Policy, host: string): Verdict {
  let rule = defaultDeny;
  for (const level of policy.levels) {
    const target = { host, port: 0 };
    const no = level.deny.find(
      (entry) =>
        placeMatches(entry, target) &&
        entry.ports.length === 0 &&
        !conditional(entry) &&
        entry.protocol !== 'udp',
    );
    if (no !== undefined)
      return denied('denied_by_rule', no.text, `${host} is denied by the ${level.name}'s policy.`);
    const yes = level.allow.find((entry) => placeMatches(entry, target));
    if (yes === undefined) return nameUnknown(host, level.name);
    rule = yes.text;
  }
  return policy.levels.length === 0 ? nameUnknown(host) : { allowed: true, rule };
}

function nameUnknown(host: string, level?: string): Verdict {
  const whose = level === undefined ? 'There is no policy that' : `No rule of the ${level}'s policy`;
  return denied(
    'name_not_allowed',
    defaultDeny,
    `${whose} allows ${host}. Ask for a rule that allows this host.`,
  );
}

/** Judges a connection by what it says it speaks; conditions on requests are judged later, by `judgeRequest`. */
export function judgeConnection(policy: Policy, target: Target, protocol: Protocol): Verdict {
  if (policy.levels.length === 0) return placeUnknown(target);
  const blocked = blockedPort(policy, target);
  if (blocked !== undefined) return blocked;
  let rule = defaultDeny;
  for (const level of policy.levels) {
    const no = level.deny.find(
      (entry) =>
        placeMatches(entry, target) &&
        portMatches(entry, target.port) &&
        (!conditional(entry) || protocol === 'tcp' || protocol === 'udp') &&
        (entry.protocol !== 'udp' || protocol === 'udp'),
    );
    if (no !== undefined) return denied('denied_by_rule', no.text, `The ${level.name}'s policy denies this.`);
    const here = level.allow.filter((entry) => placeMatches(entry, target));
    if (here.length === 0) return placeUnknown(target, level.name);
    const yes = here.filter((entry) => portMatches(entry, target.port));
    if (yes.length === 0) return portUnknown(target, here, level.name);
    const spoken = yes.find((entry) => speaks(entry, target, protocol));
    if (spoken === undefined) {
      const hint = `Port ${target.port} is open for another protocol than ${protocol} there.`;
      return denied('protocol_not_allowed', defaultDeny, hint);
    }
    rule = spoken.text;
  }
  if (protocol === 'udp' && needsTermination(policy, target)) {
    const hint = 'Requests to this host are read, and those in QUIC cannot be: use TLS over TCP.';
    return denied('protocol_not_allowed', rule, hint);
  }
  return { allowed: true, rule };
}

function placeUnknown(target: Target, level?: string): Verdict {
  if (target.host !== undefined) return nameUnknown(target.host, level);
  const hint = 'Connect to a name that the policy allows; addresses need a cidr rule.';
  return denied('address_not_allowed', defaultDeny, hint);
}

function portUnknown(target: Target, here: readonly Rule[], level: string): Verdict {
  const open = [...new Set(here.flatMap((rule) => rule.ports))].sort((a, b) => a - b).join(', ');
  const hint = `The ${level}'s policy opens ${target.host ?? 'this address'} on ${open}, not on ${target.port}.`;
  return denied('port_not_allowed', defaultDeny, hint);
}

function blockedPort(policy: Policy, target: Target): Verdict | undefined {
  const kind = builtinDenial(target.port);
  if (kind === undefined) return undefined;
  const opened = policy.levels.some(
    (level) =>
      level.administrator &&
      level.allow.some((rule) => placeMatches(rule, target) && rule.ports.includes(target.port)),
  );
  if (opened && !neverOpens(target.port)) return undefined;
  const hint = `Port ${target.port} (${kind}) is denied unless an administrator opens it.`;
  return denied('port_not_allowed', 'built-in denial', hint);
}

/** What a connection to `target` may speak: the first kind that every level allows. */
export function protocolOf(policy: Policy, target: Target): Protocol {
  const kinds: readonly Protocol[] = ['tls', 'http', 'tcp'];
  const allowed = kinds.find((kind) => judgeConnection(policy, target, kind).allowed);
  return allowed ?? protocolOfPort(target.port);
}

function rulesAt(level: Level, target: Target, protocol: Protocol): { allow: Rule[]; deny: Rule[] } {
  const at = (rule: Rule): boolean => placeMatches(rule, target) && portMatches(rule, target.port);
  return {
    allow: level.allow.filter((rule) => at(rule) && speaks(rule, target, protocol)),
    deny: level.deny.filter((rule) => at(rule) && (rule.protocol !== 'udp' || protocol === 'udp')),
  };
}

/** Whether TLS to `target` has to be terminated for the policy to be judged. */
export function needsTermination(policy: Policy, target: Target): boolean {
  return policy.levels.some((level) => {
    const { allow, deny } = rulesAt(level, target, 'tls');
    return allow.some(needsRequests) || deny.some(conditional);
  });
}

/** Judges one request on a connection that `judgeConnection` allowed. */
export function judgeRequest(
  policy: Policy,
  target: Target,
  protocol: Protocol,
  request: RequestLine,
): Verdict {
  const connection = judgeConnection(policy, target, protocol);
  if (!connection.allowed) return connection;
  const path = request.path.split(/[?#]/, 1)[0] ?? '';
  let rule = connection.rule;
  for (const level of policy.levels) {
    const { allow, deny } = rulesAt(level, target, protocol);
    if (!isPlainPath(path) && [...allow, ...deny].some((entry) => entry.paths !== undefined)) {
      const hint =
        'Send the path without "..", "//", ";", backslashes and encoded dots, slashes or percent signs.';
      return denied('path_ambiguous', defaultDeny, hint);
    }
    const fits = (entry: Rule): boolean => methodFits(entry, request.method) && pathFits(entry, path);
    const no = deny.find(fits);
    if (no !== undefined)
      return denied('denied_by_rule', no.text, `The ${level.name}'s policy denies this request.`);
    const yes = allow.find(fits);
    if (yes === undefined) return requestUnknown(allow, request, path, level.name);
    rule = yes.text;
  }
  return { allowed: true, rule };
}

function methodFits(rule: Rule, method: string): boolean {
  return rule.methods === undefined || rule.methods.includes(method);
}

function pathFits(rule: Rule, path: string): boolean {
  const fits = (prefix: string): boolean =>
    path.startsWith(prefix) &&
    (prefix.endsWith('/') || path.length === prefix.length || path[prefix.length] === '/');
  return rule.paths === undefined || rule.paths.some(fits);
}

function requestUnknown(allow: readonly Rule[], request: RequestLine, path: string, level: string): Verdict {
  const samePath = allow.filter((rule) => pathFits(rule, path));
  if (samePath.length > 0) {
    const methods = [...new Set(samePath.flatMap((rule) => rule.methods ?? []))].join(', ');
    return denied(
      'method_not_allowed',
      defaultDeny,
      `The ${level}'s policy allows ${methods} here, not ${request.method}.`,
    );
  }
  const paths = [...new Set(allow.flatMap((rule) => rule.paths ?? []))].slice(0, 8).join(', ');
  return denied(
    'path_not_allowed',
    defaultDeny,
    `The ${level}'s policy allows paths below ${paths} on this host.`,
  );
}

/**
 * Whether an administrator, or the server's own set-up by way of a preset, lets connections to `target` end at `address`
 * though it is private.
 */
export function allowsPrivate(policy: Policy, target: Target, address: Address): boolean {
  return policy.levels.some((level) =>
    level.allow.some(
      (rule) =>
        rule.allowPrivate &&
        (level.administrator || rule.fromPreset) &&
        rule.ports.includes(target.port) &&
        (placeMatches(rule, target) || (rule.cidr !== undefined && inCidr(rule.cidr, address))),
    ),
  );
}

/** Whether some level's cidr rule denies ending at `address`, whatever name led there. */
export function deniesAddress(policy: Policy, port: number, address: Address): Rule | undefined {
  return policy.levels
    .flatMap((level) => level.deny)
    .find((rule) => rule.cidr !== undefined && inCidr(rule.cidr, address) && portMatches(rule, port));
}

/** Headers that the rules of this request set. */
export function headersFor(
  policy: Policy,
  target: Target,
  protocol: Protocol,
  request: RequestLine,
): Rule['headers'] {
  const path = request.path.split(/[?#]/, 1)[0] ?? '';
  return policy.levels.flatMap((level) =>
    rulesAt(level, target, protocol)
      .allow.filter((rule) => methodFits(rule, request.method) && pathFits(rule, path))
      .flatMap((rule) => rule.headers),
  );
}

/** Bytes that the bodies of a request and of its answer may have. */
export interface BodyLimits {
  readonly requestBytesMax: number;
  readonly responseBytesMax: number;
}

/** In each level the widest of the rules that allow the request counts, and of the levels the narrowest. */
export function bodyLimitsOf(
  policy: Policy,
  target: Target,
  protocol: Protocol,
  request: RequestLine,
): BodyLimits {
  const path = request.path.split(/[?#]/, 1)[0] ?? '';
  const least = (key: keyof BodyLimits): number =>
    Math.min(
      ...policy.levels.map((level) => {
        const { allow } = rulesAt(level, target, protocol);
        const fitting = allow.filter((rule) => methodFits(rule, request.method) && pathFits(rule, path));
        return Math.max(...fitting.map((rule) => rule[key] ?? Number.POSITIVE_INFINITY));
      }),
    );
  return { requestBytesMax: least('requestBytesMax'), responseBytesMax: least('responseBytesMax') };
}

/** Every TCP port that the proxy has to listen on for this policy. */
export function portsOf(policy: Policy): Set<number> {
  const rules = policy.levels.flatMap(({ allow }) => allow.filter(({ protocol }) => protocol !== 'udp'));
  return new Set(rules.flatMap(({ ports }) => ports));
}

/** Every place that a sandbox's own policy opens for UDP: a name, or an address, with its port. */
export function udpPlacesOf(policy: Policy): Target[] {
  const own = policy.levels.find(({ name }) => name === 'sandbox');
  const rules = own?.allow.filter(({ protocol }) => protocol === 'udp') ?? [];
  const places = rules.flatMap(({ host, cidr, ports }): Target[] => {
    const hosts: Omit<Target, 'port'>[] = host === undefined ? [] : [{ host: host.name }];
    if (cidr !== undefined) hosts.push(...addressesOf(cidr).map((address) => ({ address })));
    return hosts.flatMap((where) => ports.map((port) => ({ ...where, port })));
  });
  return places.filter((place) => judgeConnection(policy, place, 'udp').allowed);
}

/** Of a small network. */
function addressesOf({ bits, value, prefix }: Cidr): Address[] {
  const count = 2 ** (bits - prefix);
  return Array.from({ length: count }, (_, index) => ({ bits, value: value + BigInt(index) }));
}

/** Names without a wildcard that every level may mention; they get their addresses before anybody asks. */
export function exactNames(policy: Policy): string[] {
  const names = new Set(
    policy.levels.flatMap((level) =>
      level.allow.flatMap((rule) => (rule.host === undefined || rule.host.wildcard ? [] : [rule.host.name])),
    ),
  );
  return [...names].filter((name) => judgeName(policy, name).allowed);
}
