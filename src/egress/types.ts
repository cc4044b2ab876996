/** What egress tells and is told: events, settings of one sandbox, and the client that control holds. */
import type { DenialCode } from '../policy/match.ts';
import type { Presets } from '../policy/policy.ts';

/** Something was denied. The same content stands in the answer that the program in the sandbox sees. */
export interface DenialEvent {
  readonly kind: 'denied';
  readonly sandboxId: string;
  readonly at: string;
  readonly code: DenialCode;
  /** Canonical name, the address, or what was asked for in printable ASCII. */
  readonly host: string;
  readonly port?: number;
  readonly protocol: 'dns' | 'tls' | 'http' | 'tcp' | 'udp';
  readonly method?: string;
  readonly path?: string;
  readonly rule: string;
  readonly hint: string;
  /** Equal denials since the last event that told of them, this one included. */
  readonly count: number;
}

/** An allowed connection (or request, where requests are read) that has ended. */
export interface FlowEvent {
  readonly kind: 'flow';
  readonly sandboxId: string;
  readonly at: string;
  readonly host: string;
  readonly port: number;
  readonly protocol: 'tls' | 'http' | 'tcp' | 'udp';
  /** Whether the proxy read the requests inside. */
  readonly inspected: boolean;
  readonly rule: string;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly durationMs: number;
  readonly method?: string;
  readonly path?: string;
  readonly status?: number;
  /** Why it was cut, where it was. */
  readonly cut?: string;
}

export type EgressEvent = DenialEvent | FlowEvent;

export interface WrittenLevel {
  readonly name: string;
  readonly administrator: boolean;
  /** As the caller wrote it; `policy/parseLevel` has accepted it before it comes here. */
  readonly policy: unknown;
}

/** A value that the sandbox never sees: it holds the placeholder, the proxy puts the value in on the way to bound hosts. */
export interface BoundSecret {
  readonly name: string;
  readonly placeholder: string;
  /** None where it was removed or cannot be opened: then its placeholder is refused. */
  readonly value?: string;
  /** Host patterns of the policy language. */
  readonly hosts: readonly string[];
}

export interface SandboxSettings {
  readonly id: string;
  /** Its end of the link (`SandboxLink.sandboxAddress`), by which the proxy knows it. */
  readonly address: string;
  readonly levels: readonly WrittenLevel[];
  readonly presets: Presets;
  readonly secrets: readonly BoundSecret[];
  /**
   * Every name gets an address, which leads nowhere: so it is seen what a program would do with it. What is denied stays
   * denied.
   */
  readonly learns?: boolean;
}

/** What control asks of the proxy. Settings are kept by the client and sent again after the proxy was restarted. */
export interface EgressClient {
  /**
   * Binds or replaces the policy of a sandbox; when it resolves, the new policy is in force and connections that do not
   * comply are cut. Answers the certificate that a sandbox has to trust where TLS is terminated.
   * @throws CasemateError `policy_unenforceable` when the proxy does not run: then nothing of the sandbox passes.
   */
  set(settings: SandboxSettings): Promise<{ readonly caCertificate?: string }>;
  /**
   * Forgets a sandbox; idempotent. Has to be called *before* its link is given back: the next sandbox may get the same
   * address, and must not find this one's policy there.
   */
  remove(id: string): Promise<void>;
  /** Forgets every sandbox that is not named: at start, after the survivors are known and before anything is created. */
  keepOnly(ids: readonly string[]): Promise<void>;
  /** Tells the proxy what the kernel refused (root's `denied` event), so that it becomes a `DenialEvent` with its name. */
  refused(refusal: KernelRefusal): void;
  onEvent(listener: (event: EgressEvent) => void): void;
}

export interface KernelRefusal {
  readonly id: string;
  readonly address: string;
  readonly protocol: string;
  readonly port: number;
}
