/** Binds each sandbox's egress policy to the proxy, and writes what the proxy tells into the audit log. */
import { Readable } from 'node:stream';
import type { EgressPolicy } from '../../schema/policy.ts';
import { CasemateError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { EgressClient, EgressEvent, KernelRefusal } from '../egress/types.ts';
import type { LiveSandbox } from '../node/types.ts';
import { type Level, needsRequests, type Presets, parseLevel } from '../policy/policy.ts';
import type { SandboxRow, Store } from '../store/types.ts';
import type { Recorder } from './recorder.ts';

export interface EgressOptions {
  readonly store: Store;
  readonly proxy: EgressClient;
  /** What the server's own package clients use; they are being asked since the start. */
  readonly presets: Promise<Presets>;
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
};

/** A policy and whose it is. */
export interface BoundEgress {
  readonly policy: EgressPolicy;
  readonly administrator: boolean;
}

const closed: BoundEgress = { policy: {}, administrator: false };
const noPresets: Presets = { pip: [], npm: [], apt: [], cargo: [], go: [] };

export class Egress {
  readonly #options: EgressOptions;

  constructor(options: EgressOptions) {
    this.#options = options;
    options.proxy.onEvent((event) => this.#record(event));
  }

  /** @throws CasemateError `invalid_request` with what is wrong in it, `forbidden` for what an administrator opens only. */
  async check(egress: BoundEgress): Promise<void> {
    await this.#level(egress);
  }

  async #level({ policy, administrator }: BoundEgress): Promise<Level> {
    return parseLevel(policy, { name: 'sandbox', administrator, presets: await this.#options.presets });
  }

  /**
   * Puts a sandbox's policy in force; when this resolves, what no longer complies is cut. One without a policy waits for
   * nothing: nothing of it passes whether the proxy runs or not.
   * @throws CasemateError `policy_unenforceable`
   */
  async bind(live: LiveSandbox, egress: BoundEgress | undefined): Promise<void> {
    if (egress === undefined) {
      this.#set(live, closed, noPresets).catch((error: unknown) => this.#untold(live.id, error));
      return;
    }
    const { caCertificate } = await this.#set(live, egress, await this.#options.presets);
    const { allow, deny } = await this.#level(egress);
    if ([...allow, ...deny].some(needsRequests)) await trust(live, caCertificate);
  }

  #set(
    live: LiveSandbox,
    { policy, administrator }: BoundEgress,
    presets: Presets,
  ): Promise<{ caCertificate: string }> {
    const { id, address } = live;
    const levels = [{ name: 'sandbox', administrator, policy }];
    return this.#options.proxy.set({ id, address, levels, presets, secrets: [] });
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
