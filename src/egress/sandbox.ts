/** What the proxy knows of one sandbox: its policy, pins, secrets, open flows, what it used, what it was denied last. */
import type { EventEmitter } from 'node:events';
import { type HostPattern, hostMatches, parseHostPattern, printable } from '../policy/host.ts';
import {
  type DenialCode,
  exactNames,
  judgeConnection,
  needsTermination,
  type Target,
  type Verdict,
} from '../policy/match.ts';
import {
  emptyPolicy,
  narrow,
  needsRequests,
  type Policy,
  type Protocol,
  parseLevel,
} from '../policy/policy.ts';
import { type Authority, createAuthority } from './authority.ts';
import { egressLimits } from './limits.ts';
import { Pins } from './pins.ts';
import { TokenBucket } from './tokenBucket.ts';
import type { BoundSecret, DenialEvent, EgressEvent, SandboxSettings } from './types.ts';

/** An open connection of a sandbox, as far as cutting and counting it goes. */
export interface Flow {
  readonly target: Target;
  readonly protocol: Protocol;
  readonly inspected: boolean;
  /** It carries nothing but the answer that it is refused. */
  readonly refused?: boolean;
  /** Bytes both ways until now. */
  bytes(): number;
  /** Ends both sides at once. */
  cut(reason: string): void;
  /** Whether what it carries at this moment is allowed by the policy as it is now. */
  complies(): boolean;
}

export interface Secret extends Omit<BoundSecret, 'hosts'> {
  readonly hosts: readonly HostPattern[];
}

export type Denial = Omit<DenialEvent, 'kind' | 'sandboxId' | 'at' | 'count'>;

export class SandboxEgress {
  readonly id: string;
  readonly address: string;
  readonly pins = new Pins();
  readonly flows = new Set<Flow>();
  readonly queries = new TokenBucket(egressLimits.queriesPerSecond, egressLimits.queriesBurst);
  readonly datagrams = new TokenBucket(egressLimits.datagramsPerSecond, egressLimits.datagramsPerSecond);
  readonly newNames = new TokenBucket(egressLimits.namesPerSecond, egressLimits.namesBurst);
  /** Lookups at the host's resolver that wait. */
  lookups = 0;
  /** Accepted sockets, those that will be refused included. */
  sockets = 0;
  learns = false;
  policy: Policy = emptyPolicy;
  secrets: readonly Secret[] = [];
  #authority: Promise<Authority> | undefined;
  readonly #stateDir: string;
  readonly #events: EventEmitter<{ event: [EgressEvent] }>;
  readonly #lastDenials: DenialEvent[] = [];
  readonly #recent = new Map<string, { event: DenialEvent; unsaid: number }>();
  /** Apart, so that a flood of names does not hide what else was denied. */
  readonly #eventTokens = {
    names: new TokenBucket(egressLimits.denialsPerSecond, egressLimits.denialsBurst),
    rest: new TokenBucket(egressLimits.denialsPerSecond, egressLimits.denialsBurst),
  };
  readonly #perHost = new Map<string, TokenBucket>();
  readonly #paces = new Map<string, TokenBucket>();
  #bytesOfEnded = 0;

  constructor(
    settings: Pick<SandboxSettings, 'id' | 'address'>,
    stateDir: string,
    events: EventEmitter<{ event: [EgressEvent] }>,
  ) {
    this.id = settings.id;
    this.address = settings.address;
    this.#events = events;
    this.#stateDir = stateDir;
  }

  /** Made at its first use: its keys cost several milliseconds of a processor, and most sandboxes never need them. */
  authority(): Promise<Authority> {
    this.#authority ??= createAuthority(this.#stateDir, this.id);
    return this.#authority;
  }

  /** Nothing of an authority is written after this. */
  async authorityWritten(): Promise<void> {
    await this.#authority?.catch(() => {});
  }

  /** Whether there is a place where TLS has to be terminated, so that the sandbox has to trust its authority. */
  terminates(): boolean {
    const conditional = this.policy.levels.some(({ allow, deny }) => [...allow, ...deny].some(needsRequests));
    return conditional || this.secrets.length > 0;
  }

  /** Replaces the policy; what no longer complies is cut before this returns. */
  apply(settings: SandboxSettings): void {
    const policy = narrow(
      settings.levels.map(({ name, administrator, policy: written }) =>
        parseLevel(written, { name, administrator, presets: settings.presets }),
      ),
    );
    const secrets = settings.secrets.map((secret) => ({
      ...secret,
      hosts: secret.hosts.map(parseHostPattern),
    }));
    this.policy = policy;
    this.learns = settings.learns === true;
    this.secrets = secrets;
    this.#perHost.clear();
    this.#paces.clear();
    for (const name of exactNames(policy).slice(0, egressLimits.namesPinnedAhead)) this.pins.addressOf(name);
    for (const flow of [...this.flows]) {
      const allowed = judgeConnection(policy, flow.target, flow.protocol).allowed;
      const blind = !flow.inspected && flow.protocol === 'tls' && this.mustInspect(flow.target);
      if (!allowed || blind || !flow.complies()) flow.cut('policy changed');
    }
  }

  /** Whether TLS to this place has to be terminated: for the policy's sake, or because a secret is bound to it. */
  mustInspect(target: Target): boolean {
    return needsTermination(this.policy, target) || this.secretsFor(target.host).length > 0;
  }

  secretsFor(host: string | undefined): readonly Secret[] {
    if (host === undefined) return [];
    return this.secrets.filter((secret) => secret.hosts.some((pattern) => hostMatches(pattern, host)));
  }

  /** Whether a rule names this host itself, not by a wildcard. */
  namesExactly(name: string): boolean {
    return this.policy.levels.some((level) =>
      level.allow.some((rule) => rule.host?.wildcard === false && rule.host.name === name),
    );
  }

  /** Judges whether one more connection fits the budgets; counts it where it does. */
  admit(target: Target): Verdict {
    const { budgets } = this.policy;
    const refuse = (code: DenialCode, hint: string): Verdict => ({
      allowed: false,
      code,
      rule: 'budget',
      hint,
    });
    const open = Math.min(budgets.connectionsMax ?? egressLimits.connectionsMax, egressLimits.connectionsMax);
    if (this.flows.size >= open) {
      return refuse('budget_exhausted', `No more than ${open} connections may be open at once; close some.`);
    }
    if (budgets.bytesMax !== undefined && this.bytesUsed() >= budgets.bytesMax) return this.outOfBytes();
    if (!this.#bucketOf(target).take()) {
      return refuse('rate_limited', 'Too many new connections to this host; reuse connections or wait.');
    }
    return { allowed: true, rule: '' };
  }

  outOfBytes(): Verdict & { allowed: false } {
    const hint = `The budget of ${this.policy.budgets.bytesMax} bytes is used up.`;
    return { allowed: false, code: 'budget_exhausted', rule: 'budget', hint };
  }

  #bucketOf(target: Target): TokenBucket {
    const perMinute = this.policy.budgets.connectionsPerMinuteMax ?? egressLimits.connectionsPerMinute;
    return this.#kept(this.#perHost, target, () => new TokenBucket(perMinute / 60, perMinute));
  }

  /** Whether its hosts have a rate of bytes. */
  get paced(): boolean {
    return this.policy.budgets.bytesPerSecondMax !== undefined;
  }

  /** For how many milliseconds nothing more may be carried from or to this place after these bytes. */
  pace(target: Target, bytes: number): number {
    return this.paced ? this.#paceOf(target).spend(bytes) : 0;
  }

  /** Whether these bytes fit into the place's rate now: for what is lost where it cannot wait. */
  inPace(target: Target, bytes: number): boolean {
    return !this.paced || this.#paceOf(target).take(bytes);
  }

  #paceOf(target: Target): TokenBucket {
    const perSecond = this.policy.budgets.bytesPerSecondMax ?? 0;
    const burst = Math.max(egressLimits.paceBurstBytes, perSecond / 4);
    return this.#kept(this.#paces, target, () => new TokenBucket(perSecond, burst));
  }

  #kept(buckets: Map<string, TokenBucket>, target: Target, make: () => TokenBucket): TokenBucket {
    const key = target.host ?? String(target.address?.value);
    const known = buckets.get(key);
    if (known !== undefined) return known;
    if (buckets.size >= egressLimits.hostsCounted) buckets.clear();
    const made = make();
    buckets.set(key, made);
    return made;
  }

  bytesUsed(): number {
    let bytes = this.#bytesOfEnded;
    for (const flow of this.flows) bytes += flow.bytes();
    return bytes;
  }

  /** Called every now and then: cuts everything once the bytes are used up. */
  enforceBytes(): void {
    const max = this.policy.budgets.bytesMax;
    if (max === undefined || this.flows.size === 0 || this.bytesUsed() < max) return;
    for (const flow of [...this.flows]) if (flow.refused !== true) flow.cut('budget of bytes used up');
  }

  /** A flow has ended: its bytes stay counted. */
  closed(flow: Flow): void {
    if (this.flows.delete(flow)) this.#bytesOfEnded += flow.bytes();
  }

  cutAll(reason: string): void {
    for (const flow of [...this.flows]) flow.cut(reason);
  }

  emit(event: EgressEvent): void {
    this.#events.emit('event', event);
  }

  /** Tells a denial; equal ones within a second are told once with their number, and a flood of them is bounded. */
  deny(denial: Denial): DenialEvent {
    const key = JSON.stringify([
      denial.code,
      denial.host,
      denial.port,
      denial.method,
      denial.path,
      denial.hint,
    ]);
    const at = new Date();
    const known = this.#recent.get(key);
    const event: DenialEvent = {
      ...denial,
      hint: [denial.hint, ...this.policy.levels.flatMap(({ note }) => note ?? [])].join(' '),
      host: printable(denial.host),
      kind: 'denied',
      sandboxId: this.id,
      at: at.toISOString(),
      count: (known?.unsaid ?? 0) + 1,
    };
    this.#remember(event);
    const young =
      known !== undefined && at.getTime() - Date.parse(known.event.at) < egressLimits.denialRepeatMs;
    const tokens = denial.protocol === 'dns' ? this.#eventTokens.names : this.#eventTokens.rest;
    if (young || !tokens.take()) {
      if (known !== undefined) known.unsaid += 1;
      return event;
    }
    this.#recent.delete(key);
    if (this.#recent.size >= egressLimits.denialsRemembered) this.#recent.clear();
    this.#recent.set(key, { event, unsaid: 0 });
    this.emit(event);
    return event;
  }

  #remember(event: DenialEvent): void {
    this.#lastDenials.push(event);
    if (this.#lastDenials.length > egressLimits.denialsShown) this.#lastDenials.shift();
  }

  lastDenials(): readonly DenialEvent[] {
    return this.#lastDenials;
  }
}
