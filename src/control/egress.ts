/** Binds each sandbox's egress policy and secrets to the proxy, and writes what the proxy tells into the audit log. */
import { Readable } from 'node:stream';
import type { EgressPolicy } from '../../schema/policy.ts';
import { CasemateError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { EgressClient, EgressEvent, KernelRefusal, WrittenLevel } from '../egress/types.ts';
import type { LiveSandbox, SandboxNode } from '../node/types.ts';
import { levelsFor } from '../policy/levels.ts';
import { type Level, type Presets, parseLevel } from '../policy/policy.ts';
import { secretHosts } from '../policy/secretNames.ts';
import type { PolicyRow, SandboxRow, Store } from '../store/types.ts';
import type { Clock } from './clock.ts';
import type { Recorder } from './recorder.ts';
import type { Secrets } from './secrets.ts';

export interface EgressOptions {
  readonly store: Store;
  readonly node: SandboxNode;
  readonly clock: Clock;
  readonly proxy: EgressClient;
  /** What the server's own package clients use; they are being asked since the start. */
  readonly presets: Promise<Presets>;
  readonly secrets: Secrets;
  readonly recorder: Recorder;
  readonly log: Log;
}

/** Where programs look for authorities that they trust; the sandbox's own is added where TLS is terminated for it. */
const trustBundle = '/etc/ssl/certs/ca-certificates.crt';
const authorityFile = '/usr/local/share/ca-certificates/casemate.crt';
const trustEnvironment = {
  SSL_CERT_FILE: trustBundle,
  REQUESTS_CA_BUNDLE: trustBundle,
  NODE_EXTRA_CA_CERTS: authorityFile,
  GIT_SSL_CAINFO: trustBundle,
  GRPC_DEFAULT_SSL_ROOTS_FILE_PATH: trustBundle,
  AWS_CA_BUNDLE: trustBundle,
  DENO_CERT: authorityFile,
};

/** A policy and whose it is. */
export interface BoundEgress {
  readonly policy: EgressPolicy;
  readonly administrator: boolean;
}

/** What of a sandbox decides on what it may reach. */
export type Bound = Pick<
  SandboxRow,
  'tenantId' | 'workspaceId' | 'functionId' | 'template' | 'egress' | 'secrets' | 'learns'
>;

const noPresets: Presets = { pip: [], npm: [], apt: [], cargo: [], go: [] };
/** How long until a change is tried again that the proxy was not there for. */
const retryMs = 250;

export class Egress {
  readonly #options: EgressOptions;
  /** What is being bound to a sandbox now: the next waits, so that the last that was asked for is the last in force. */
  readonly #turns = new Map<string, Promise<unknown>>();
  /** The authority that each sandbox was told to trust. */
  readonly #trusted = new Map<string, string>();

  constructor(options: EgressOptions) {
    this.#options = options;
    options.proxy.onEvent((event) => this.#record(event));
  }

  /**
   * Whether a sandbox could be bound so.
   * @throws CasemateError `invalid_request` with what is wrong in it, `forbidden` for what an administrator opens only,
   *   `not_found` and `secret_unreadable` for a secret that it names
   */
  async check(bound: Bound): Promise<void> {
    const levels = parsed(this.#levelsOf(bound), await this.#presetsFor(bound));
    this.#options.secrets.check(bound, [...secretHosts(levels).keys()]);
  }

  /** Whether a policy could hold by itself. @throws CasemateError as `check` */
  async checkLevel(
    { tenantId, level }: { readonly tenantId: string; readonly level: PolicyRow['level'] | 'sandbox' },
    written: BoundEgress,
  ): Promise<void> {
    const levels = parsed([{ name: level, ...written }], await this.#options.presets);
    this.#options.secrets.check({ tenantId }, [...secretHosts(levels).keys()]);
  }

  /** Everything that a sandbox has to fit, as the store has it now. */
  #levelsOf(bound: Bound): WrittenLevel[] {
    const { policies } = this.#options.store;
    return levelsFor(bound, bound.egress, (level, subject) => policies.find(bound.tenantId, level, subject));
  }

  /** Waits for the clients only where there is a policy that may name their hosts. */
  #presetsFor({ egress }: Bound): Presets | Promise<Presets> {
    return egress === undefined ? noPresets : this.#options.presets;
  }

  /** One thing at a time is bound to a sandbox. */
  inTurn<Result>(id: string, work: () => Promise<Result>): Promise<Result> {
    const before = this.#turns.get(id) ?? Promise.resolve();
    const turn = before.then(work, work);
    const settled = turn
      .catch(() => {})
      .finally(() => {
        if (this.#turns.get(id) === settled) this.#turns.delete(id);
      });
    this.#turns.set(id, settled);
    return turn;
  }

  /**
   * Puts a sandbox's policy and secrets in force; when this resolves, what no longer complies is cut. One without any
   * waits for nothing: nothing of it passes whether the proxy runs or not. Call it in turn.
   * @throws CasemateError `policy_unenforceable`
   */
  async bind(live: LiveSandbox, bound: Bound): Promise<void> {
    if (bound.egress === undefined && bound.secrets === undefined && bound.learns !== true) {
      this.#set(live, bound, noPresets).catch((error: unknown) => this.#untold(live.id, error));
      return;
    }
    const presets = await this.#presetsFor(bound);
    const { caCertificate: certificate } = await this.#set(live, bound, presets);
    if (certificate === undefined || this.#trusted.get(live.id) === certificate) return;
    await trust(live, certificate);
    this.#trusted.set(live.id, certificate);
  }

  /** What is sent is what the store says at this moment. */
  async #set(
    { id, address }: LiveSandbox,
    bound: Bound,
    presets: Presets,
  ): Promise<{ readonly caCertificate?: string }> {
    const levels = this.#levelsOf(bound);
    const read = parsed(levels, presets);
    const ruled = secretHosts(read);
    const names = new Set([...(bound.secrets ?? []), ...ruled.keys()]);
    const secrets = this.#options.secrets.bindings(bound, [...names], ruled);
    const { proxy } = this.#options;
    const learns = bound.learns === true;
    return proxy.set({ id, address, levels, presets, secrets, learns });
  }

  /**
   * Something changed that the policies of running sandboxes are made of; when this resolves, it is in force.
   * @throws CasemateError `policy_unenforceable` while the proxy does not run: nothing passes then, and it is tried again
   */
  async refresh(concerns: (row: SandboxRow) => boolean): Promise<void> {
    const rows = this.#options.store.sandboxes.inStates(['running', 'pausing', 'resuming']).filter(concerns);
    const results = await Promise.allSettled(rows.map(({ id }) => this.#rebind(id)));
    const failed = results.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw CasemateError.from(failed.reason);
  }

  #rebind(id: string): Promise<void> {
    const { store, node, clock } = this.#options;
    return this.inTurn(id, async () => {
      const row = store.sandboxes.find(id);
      const used = row === undefined ? undefined : node.use(id); // one that is paused is bound when it resumes
      if (row === undefined || used === undefined) return;
      try {
        await this.bind(used.live, row);
      } catch (error) {
        this.#untold(id, error);
        clock.after(retryMs, () => void this.#rebind(id).catch(() => {})); // it is told each time
        throw error;
      } finally {
        used.done();
      }
    });
  }

  /** A secret of a tenant has another value, or none any more. */
  secretChanged(tenantId: string, name: string): Promise<void> {
    return this.refresh((row) => row.tenantId === tenantId && this.#uses(row, name));
  }

  #uses(row: SandboxRow, name: string): boolean {
    return (
      row.secrets?.includes(name) === true ||
      JSON.stringify(this.#levelsOf(row)).includes(`{{secret:${name}}}`)
    );
  }

  #untold(id: string, error: unknown): void {
    this.#options.log.warn('egress_not_told', { id, reason: String(error) });
  }

  /** What an earlier server bound and no longer runs is forgotten, before its address is somebody else's. */
  async keepOnly(ids: readonly string[]): Promise<void> {
    await this.#options.proxy.keepOnly(ids);
  }

  /** Before its network goes: the next sandbox may get the same address. */
  async forget(id: string): Promise<void> {
    this.#trusted.delete(id);
    await this.#options.proxy.remove(id).catch((error: unknown) => this.#untold(id, error));
  }

  /** The proxy makes an event of it that says which name and which rule. */
  refused(refusal: KernelRefusal): void {
    this.#options.proxy.refused(refusal);
  }

  #record(event: EgressEvent): void {
    const row: SandboxRow | undefined = this.#options.store.sandboxes.find(event.sandboxId);
    if (row === undefined) return;
    const { kind, sandboxId, ...detail } = event;
    const action = kind === 'denied' ? 'network.denied' : 'network.flow';
    this.#options.recorder.uninvited(row.tenantId, action, sandboxId, detail);
  }
}

function parsed(levels: readonly WrittenLevel[], presets: Presets): Level[] {
  return levels.map(({ name, administrator, policy }) =>
    parseLevel(policy, { name, administrator, presets }),
  );
}

/** @throws CasemateError `policy_unenforceable` where the sandbox's disk does not take it. */
async function trust({ guest }: LiveSandbox, certificate: string): Promise<void> {
  const bytes = Buffer.from(`${certificate.trim()}\n`);
  const write = (path: string, append: boolean): Promise<unknown> =>
    guest.fileWrite({ path, append, parents: true, user: 'root', mode: 0o644 }, Readable.from([bytes]));
  try {
    await write(authorityFile, false);
    await write(trustBundle, true);
    await guest.bind({ env: trustEnvironment });
  } catch (cause) {
    throw new CasemateError('policy_unenforceable', 'The sandbox could not be given its authority.', {
      cause,
    });
  }
}
