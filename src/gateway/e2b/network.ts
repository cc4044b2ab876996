/** E2B's rules of the network as a policy: there allow beats deny and the rest is open, here it is the other way round. */
import type { Static } from '@sinclair/typebox';
import type { NetworkRules } from '../../../schema/e2b/rest.ts';
import { type AllowCidr, type AllowHost, type EgressPolicy, presetNames } from '../../../schema/policy.ts';
import { CasemateError } from '../../base/errors.ts';
import type { Cidr } from '../../policy/address.ts';
import { hostMatches, parseHostPattern } from '../../policy/host.ts';
import type { Presets } from '../../policy/policy.ts';
import { parseRange, rangeText, without } from '../../policy/ranges.ts';
import { unsupported } from './errors.ts';

/** What "the internet" stands for on this server. */
export type InternetCeiling = 'packages' | 'open' | 'closed';

/** E2B's rules know no ports; a sandbox may speak to these of what they open. */
const openPorts = [
  22, 80, 443, 3000, 3306, 5000, 5432, 6379, 8000, 8080, 8081, 8443, 8888, 9000, 9092, 9200, 9418, 27_017,
];
const webPorts = [80, 443];
const denyRulesMax = 256;
const everywhere = ['0.0.0.0/0', '::/0'];

/** Said with every denial, because nobody who comes from E2B expects one. */
export const ceilingNotes: Readonly<Record<InternetCeiling, string>> = {
  packages:
    'This server gives E2B clients the package indexes alone for "the internet" (--e2b-internet packages): name hosts in network.allowOut with denyOut 0.0.0.0/0, or start the server with --e2b-internet open.',
  open: 'This server gives E2B clients the internet (--e2b-internet open), so a rule of this sandbox, or what no sandbox may reach, is the reason.',
  closed: 'This server gives E2B clients no network at all (--e2b-internet closed).',
};

export type WrittenNetwork = Static<typeof NetworkRules> & {
  readonly allow_internet_access?: boolean | null;
};

/** @throws CasemateError `invalid_request`, `forbidden`, `unsupported` */
export function policyOf(written: WrittenNetwork, ceiling: InternetCeiling, presets: Presets): EgressPolicy {
  const asked = readRules(written);
  const note = ceilingNotes[ceiling];
  const { hosts, ranges, denied, isClosed, rules } = asked;
  if (ceiling === 'closed') {
    if (hosts.length === 0 && ranges.length === 0) return { note };
    throw new CasemateError('forbidden', note);
  }
  if (hosts.length > 0 && !isClosed) {
    throw new CasemateError(
      'invalid_request',
      `When specifying allowed domains in allow out, you must include '0.0.0.0/0' in deny out to block all other traffic.`,
    );
  }
  const isOpen = !isClosed && ceiling === 'open';
  const deny = isClosed
    ? []
    : denied.flatMap((range) => without(range, ranges)).map((range) => ({ cidr: rangeText(range) }));
  if (deny.length > denyRulesMax) {
    throw new CasemateError(
      'invalid_request',
      `denyOut without allowOut makes more than ${denyRulesMax} ranges.`,
    );
  }
  const reached = (host: string): boolean =>
    isOpen || hosts.some((name) => name === host || hostMatches(parseHostPattern(name), host));
  const known = presetNames.filter((name) => presets[name].length > 0);
  return {
    allow: [
      ...(isOpen ? anywhere : []),
      ...(isClosed || isOpen ? [] : known.map((preset) => ({ preset }))),
      ...hosts.map((host): AllowHost => ({ host })),
      ...ranges.map((range): AllowCidr => ({ cidr: rangeText(range), ports: openPorts })),
      ...rules.filter(({ host }) => reached(host)),
    ],
    deny,
    note,
  };
}

const anywhere: readonly (AllowHost | AllowCidr)[] = [
  { host: '*', ports: openPorts },
  ...everywhere.map((cidr) => ({ cidr, ports: openPorts })),
];

interface Asked {
  readonly hosts: readonly string[];
  readonly ranges: readonly Cidr[];
  readonly denied: readonly Cidr[];
  /** Whether all is denied that is not allowed. */
  readonly isClosed: boolean;
  readonly rules: readonly AllowHost[];
}

function readRules(written: WrittenNetwork): Asked {
  const { allowOut, denyOut, rules, allow_internet_access: internet } = written;
  const allowed = allowOut ?? [];
  const denied = (denyOut ?? []).map(parseRange);
  const isName = (text: string): boolean => /[a-z*]/i.test(text) && !text.includes(':');
  return {
    hosts: allowed.filter(isName),
    // All of it is what "the internet" stands for, and that is the ceiling's to say.
    ranges: allowed
      .filter((text) => !isName(text))
      .map(parseRange)
      .filter(({ prefix }) => prefix > 0),
    denied,
    isClosed: internet === false || denied.some(({ bits, prefix }) => bits === 32 && prefix === 0),
    rules: Object.entries(rules ?? {}).flatMap(([host, list]) => transformsOf(host, list)),
  };
}

function transformsOf(host: string, list: NonNullable<WrittenNetwork['rules']>[string]): AllowHost[] {
  const headers = (list ?? []).flatMap(({ transform }) => Object.entries(transform?.headers ?? {}));
  if (headers.length === 0) return [];
  return [
    {
      host,
      ports: webPorts,
      headers: headers.map(([name, value]) => ({ name, value: placeholders(value) })),
    },
  ];
}

/** E2B's words for a secret become Casemate's; what nobody fills in is refused, not sent as it is. */
function placeholders(value: string): string {
  const filled = value.replaceAll(/\$\{e2b\.secrets\.([A-Za-z0-9_-]+)\}/g, '{{secret:$1}}');
  if (filled.includes('${e2b.')) throw unsupported('placeholders of workload identity (iam)');
  return filled;
}

/** The rules as E2B's clients read them, from the policy in force. */
export function networkView(policy: EgressPolicy | undefined): object {
  const allow = policy?.allow ?? [];
  const isDefault = allow.some((rule) => 'preset' in rule) || isOpen(policy);
  const plain = allow.flatMap((rule) => {
    if ('preset' in rule) return [];
    if ('host' in rule) return rule.host === '*' || rule.headers !== undefined ? [] : [rule.host];
    return everywhere.includes(rule.cidr) ? [] : [rule.cidr];
  });
  const denied = (policy?.deny ?? []).flatMap((rule) => ('cidr' in rule ? [rule.cidr] : []));
  const rules = allow.flatMap((rule) =>
    'host' in rule && rule.headers !== undefined
      ? [[rule.host, [{ transform: { headers: named(rule.headers) } }]]]
      : [],
  );
  return {
    allowOut: plain,
    denyOut: isDefault ? denied : ['0.0.0.0/0'],
    ...(rules.length === 0 ? {} : { rules: Object.fromEntries(rules) as object }),
  };
}

export function isOpen(policy: EgressPolicy | undefined): boolean {
  return (policy?.allow ?? []).some((rule) => 'host' in rule && rule.host === '*');
}

function named(headers: NonNullable<AllowHost['headers']>): Record<string, string> {
  return Object.fromEntries(headers.map(({ name, value }) => [name, value]));
}
