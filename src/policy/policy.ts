/** Reads policies: schema first, then names and networks; several levels make one policy that only narrows. */
import { Value } from '@sinclair/typebox/value';
import {
  type AllowCidr,
  type AllowHost,
  type AllowPreset,
  type Budgets,
  type DenyCidr,
  type DenyHost,
  EgressPolicy,
  type PresetName,
} from '../../schema/policy.ts';
import { CasemateError } from '../base/errors.ts';
import { type Cidr, parseCidr } from './address.ts';
import { builtinDenial, neverOpens } from './builtin.ts';
import { anyHost, type HostPattern, isAnyHost, parseHostPattern, printable } from './host.ts';

export type Protocol = 'tls' | 'http' | 'tcp' | 'udp';

export interface HeaderRule {
  readonly name: string;
  readonly value: string;
}

export interface Rule {
  /** How the rule is shown to people: `allow api.example.com:443 GET /v1`. */
  readonly text: string;
  readonly host?: HostPattern;
  readonly cidr?: Cidr;
  /** Empty means every port; only deny rules have it so. */
  readonly ports: readonly number[];
  readonly protocol?: Protocol;
  readonly methods?: readonly string[];
  readonly paths?: readonly string[];
  readonly inspect: boolean;
  readonly headers: readonly HeaderRule[];
  /** Of one body. */
  readonly requestBytesMax?: number;
  readonly responseBytesMax?: number;
  readonly allowPrivate: boolean;
  /** Nobody but the operator chose its host and port, by the server's own package clients. */
  readonly fromPreset: boolean;
}

export interface Level {
  /** Whose rules they are: `tenant`, `template`, `sandbox`, … */
  readonly name: string;
  /** Only an administrator's level opens private addresses and the ports that are denied by default. */
  readonly administrator: boolean;
  readonly allow: readonly Rule[];
  readonly deny: readonly Rule[];
  readonly budgets: Budgets;
  /** Said with every denial. */
  readonly note?: string;
}

/** A flow passes where every level allows it. No level at all allows nothing. */
export interface Policy {
  readonly levels: readonly Level[];
  readonly budgets: Budgets;
}

export const emptyPolicy: Policy = { levels: [], budgets: {} };

export type Presets = Readonly<Record<PresetName, readonly PresetHost[]>>;

export interface PresetHost {
  readonly host: string;
  readonly port: number;
  /** Whether the name led to private addresses alone when the server started: then it is the operator's own mirror. */
  readonly isPrivate: boolean;
}

export interface ParseOptions {
  readonly name: string;
  readonly administrator: boolean;
  /** What the server's own package clients use. */
  readonly presets: Presets;
}

/**
 * One level out of what a caller wrote.
 * @throws CasemateError `invalid_request` whose message names the place (`allow[2].ports`), or `forbidden` for what only
 *   an administrator may open.
 */
export function parseLevel(written: unknown, options: ParseOptions): Level {
  if (!Value.Check(EgressPolicy, written)) throw schemaError(written);
  const place = <Result>(where: string, work: () => Result): Result => {
    try {
      return work();
    } catch (error) {
      const known = CasemateError.from(error);
      throw new CasemateError(known.code, `${where}: ${known.message}`, { hint: known.hint });
    }
  };
  const allow = (written.allow ?? []).flatMap((rule, index) =>
    place(`allow[${index}]`, () => allowRules(rule, options)),
  );
  if (options.name === 'sandbox') checkDatagrams(allow);
  return {
    name: options.name,
    administrator: options.administrator,
    allow,
    deny: (written.deny ?? []).map((rule, index) => place(`deny[${index}]`, () => denyRule(rule))),
    budgets: written.budgets ?? {},
    ...(written.note === undefined ? {} : { note: written.note }),
  };
}

/** Places that one sandbox opens for UDP. */
const udpPlacesMax = 64;

/** Each place for UDP is listened on by itself: the levels above may be wide, a sandbox's own policy names places. */
function checkDatagrams(rules: readonly Rule[]): void {
  let places = 0;
  for (const { protocol, host, cidr, ports } of rules) {
    if (protocol !== 'udp') continue;
    if (host?.wildcard === true) throw new CasemateError('invalid_request', 'a rule for UDP names one host.');
    places += ports.length * (cidr === undefined ? 1 : 2 ** (cidr.bits - cidr.prefix));
  }
  if (places <= udpPlacesMax) return;
  throw new CasemateError(
    'invalid_request',
    `rules for UDP open at most ${udpPlacesMax} places: hosts or addresses, each with a port.`,
  );
}

function schemaError(written: unknown): CasemateError {
  const first = Value.Errors(EgressPolicy, written).First();
  const where =
    first?.path
      .replace(/^\//, '')
      .replace(/\/(\d+)/g, '[$1]')
      .replaceAll('/', '.') || 'policy';
  return new CasemateError('invalid_request', `${where}: ${first?.message ?? 'is no policy'}.`, {
    hint: 'A rule is {host, ports?, protocol?, methods?, paths?, inspect?, headers?}, {cidr, ports} or {preset}; unknown fields are refused.',
  });
}

function allowRules(rule: AllowHost | AllowCidr | AllowPreset, options: ParseOptions): Rule[] {
  if ('preset' in rule) return presetRules(rule.preset as PresetName, options.presets);
  const checked = 'cidr' in rule ? cidrRule(rule) : hostRule(rule);
  if (options.administrator) return [checked];
  if (checked.host !== undefined && isAnyHost(checked.host)) {
    throw new CasemateError('forbidden', 'only an administrator opens every name.');
  }
  if (checked.allowPrivate) {
    throw new CasemateError('forbidden', 'only an administrator opens private addresses.');
  }
  const blocked = checked.ports.find((port) => builtinDenial(port) !== undefined);
  if (blocked !== undefined) {
    throw new CasemateError(
      'forbidden',
      `port ${blocked} (${builtinDenial(blocked)}) is denied unless an administrator's policy opens it.`,
    );
  }
  return [checked];
}

function hostRule(rule: AllowHost): Rule {
  const host = rule.host === '*' ? anyHost : parseHostPattern(rule.host);
  const ports = checkedPorts(rule.ports ?? [443, 80]);
  const made = {
    ...common(rule),
    host,
    ports,
    inspect: rule.inspect ?? false,
    headers: rule.headers ?? [],
    ...(rule.requestBytesMax === undefined ? {} : { requestBytesMax: rule.requestBytesMax }),
    ...(rule.responseBytesMax === undefined ? {} : { responseBytesMax: rule.responseBytesMax }),
    allowPrivate: rule.allowPrivate ?? false,
    fromPreset: false,
  };
  if ((rule.protocol === 'tcp' || rule.protocol === 'udp') && needsRequests(made)) {
    throw new CasemateError(
      'invalid_request',
      `methods, paths, inspect, headers and limits of bodies need HTTP, not protocol ${rule.protocol}.`,
    );
  }
  if (rule.protocol === 'udp' && rule.ports === undefined) {
    throw new CasemateError('invalid_request', 'a rule for UDP names its ports.');
  }
  return { ...made, text: ruleText('allow', rule.host, rule.ports ?? [], rule) };
}

function cidrRule(rule: AllowCidr): Rule {
  const cidr = parseCidr(rule.cidr);
  return {
    text: ruleText('allow', rule.cidr, rule.ports, rule),
    cidr,
    ports: checkedPorts(rule.ports),
    ...(rule.protocol === undefined ? {} : { protocol: rule.protocol as Protocol }),
    inspect: false,
    headers: [],
    allowPrivate: rule.allowPrivate ?? false,
    fromPreset: false,
  };
}

function denyRule(rule: DenyHost | DenyCidr): Rule {
  const rest = {
    ...{ ports: rule.ports ?? [], inspect: false, headers: [] },
    ...{ allowPrivate: false, fromPreset: false },
  };
  if ('cidr' in rule) {
    return { ...rest, text: ruleText('deny', rule.cidr, rest.ports, {}), cidr: parseCidr(rule.cidr) };
  }
  return {
    ...rest,
    ...common(rule),
    text: ruleText('deny', rule.host, rest.ports, rule),
    host: parseHostPattern(rule.host),
  };
}

function common(rule: DenyHost): Pick<Rule, 'protocol' | 'methods' | 'paths'> {
  for (const path of rule.paths ?? []) {
    if (!isPlainPath(path)) {
      throw new CasemateError(
        'invalid_request',
        `the path prefix "${printable(path)}" can be read in two ways.`,
      );
    }
  }
  return {
    ...(rule.protocol === undefined ? {} : { protocol: rule.protocol as Protocol }),
    ...(rule.methods === undefined ? {} : { methods: rule.methods }),
    ...(rule.paths === undefined ? {} : { paths: rule.paths }),
  };
}

function checkedPorts(ports: readonly number[]): readonly number[] {
  const never = ports.find(neverOpens);
  if (never === undefined) return ports;
  throw new CasemateError(
    'invalid_request',
    `port ${never} stays closed: names are answered by Casemate alone.`,
  );
}

function presetRules(name: PresetName, presets: Presets): Rule[] {
  const hosts = presets[name];
  if (hosts.length === 0) {
    throw new CasemateError('invalid_request', `the preset "${name}" knows no host on this server.`, {
      hint: `The server's own ${name} is not installed or not set up; write host rules instead.`,
    });
  }
  return hosts.map(({ host, port, isPrivate }) => ({
    ...hostRule({ host, ports: [port], allowPrivate: isPrivate }),
    fromPreset: true,
    text: `allow preset ${name} (${host}:${port})`,
  }));
}

function ruleText(
  action: string,
  what: string,
  ports: readonly number[],
  rule: { protocol?: string; methods?: readonly string[]; paths?: readonly string[] },
): string {
  const place = printable(what) + (ports.length === 0 ? '' : `:${ports.join(',')}`);
  const udp = rule.protocol === 'udp' ? 'udp' : undefined;
  return [action, place, udp, rule.methods?.join(','), rule.paths?.join(',')].filter(Boolean).join(' ');
}

/** Whether a rule can only be judged where requests are read. */
export function needsRequests(
  rule: Pick<Rule, 'methods' | 'paths' | 'inspect' | 'headers' | 'requestBytesMax' | 'responseBytesMax'>,
): boolean {
  const { methods, paths, requestBytesMax, responseBytesMax } = rule;
  const conditions = [methods, paths, requestBytesMax, responseBytesMax];
  return rule.inspect || rule.headers.length > 0 || conditions.some((condition) => condition !== undefined);
}

/** A path that every server reads alike: nothing that one of them would decode, collapse or climb. */
export function isPlainPath(path: string): boolean {
  if (!/^\/[\x21-\x7e]*$/.test(path) || /[\\;]|\/\/|%(?:2e|2f|5c|25|00)/i.test(path)) return false;
  return !path.split('/').some((segment) => segment === '.' || segment === '..');
}

/** Puts levels on top of each other: each may only narrow, budgets take the smallest. */
export function narrow(levels: readonly Level[]): Policy {
  const least = (key: keyof Budgets): Budgets => {
    const given = levels.flatMap((level) => level.budgets[key] ?? []);
    return given.length === 0 ? {} : { [key]: Math.min(...given) };
  };
  return {
    levels,
    budgets: {
      ...{ ...least('bytesMax'), ...least('connectionsMax') },
      ...{ ...least('connectionsPerMinuteMax'), ...least('bytesPerSecondMax') },
    },
  };
}
