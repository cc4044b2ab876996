/** Secrets of tenants: set and never read back; opened only on their way to the egress proxy. */
import { createHmac } from 'node:crypto';
import { CasemateError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import { limits } from '../base/limits.ts';
import type { BoundSecret } from '../egress/types.ts';
import { canonicalPattern } from '../policy/host.ts';
import type { Scope, SecretRow, Store } from '../store/types.ts';
import { needTenant, type Principal } from './access.ts';
import type { Clock } from './clock.ts';
import type { Recorder } from './recorder.ts';
import type { SecretBox } from './secretBox.ts';

export interface SecretRequest {
  readonly value: string;
  /** None: it goes where the header rules of a policy set it, and programs get no placeholder of it. */
  readonly hosts: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
  /** The variable in which programs find the placeholder; of the name by default. */
  readonly env?: string;
}

export interface SecretsOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly recorder: Recorder;
  readonly box: SecretBox;
  /** What placeholders are derived from. */
  readonly tokenSecret: Buffer;
  /** Called when a value that sandboxes may hold has changed; resolves when they have the new one. */
  readonly onChange: (tenantId: string, name: string) => Promise<void>;
}

export class Secrets {
  readonly #options: SecretsOptions;

  constructor(options: SecretsOptions) {
    this.#options = options;
  }

  /**
   * Makes a secret or gives it a new value; when this resolves, running sandboxes that use it have the new one.
   * @throws CasemateError `invalid_request`, `conflict` where the tenant has too many
   */
  async set(principal: Principal, name: string, request: SecretRequest): Promise<SecretRow> {
    needTenant(principal);
    const { store, clock, recorder, box, onChange } = this.#options;
    const { tenantId } = principal;
    if (Buffer.byteLength(request.value) > limits.secretValueBytesMax) {
      throw new CasemateError(
        'payload_too_large',
        `A secret has ${limits.secretValueBytesMax} bytes at most.`,
      );
    }
    const before = store.secrets.find({ tenantId }, name);
    if (before === undefined && store.secrets.list({ tenantId }).length >= limits.secretsPerTenantMax) {
      throw new CasemateError('conflict', `There are ${limits.secretsPerTenantMax} secrets already.`);
    }
    const now = new Date(clock.now()).toISOString();
    const row: SecretRow = {
      id: before?.id ?? newId(),
      tenantId,
      name,
      hosts: request.hosts.map(canonicalPattern),
      ...(request.labels === undefined ? {} : { labels: request.labels }),
      env: request.env ?? before?.env ?? name.toUpperCase().replaceAll('-', '_'),
      version: (before?.version ?? 0) + 1,
      createdAt: before?.createdAt ?? now,
      updatedAt: now,
    };
    store.secrets.put(row, box.seal(row, request.value));
    const { hosts, env, version } = row;
    recorder.did(principal, 'secret.set', undefined, { secret: name, version, hosts, env });
    await onChange(tenantId, name);
    return row;
  }

  /** @throws CasemateError `not_found` */
  get(principal: Principal, name: string): SecretRow {
    needTenant(principal);
    return this.#need(principal, name);
  }

  list(principal: Principal): readonly SecretRow[] {
    needTenant(principal);
    return this.#options.store.secrets.list({ tenantId: principal.tenantId });
  }

  /** Running sandboxes lose it: what still sends its placeholder is refused. @throws CasemateError `not_found` */
  async remove(principal: Principal, name: string): Promise<void> {
    needTenant(principal);
    const { store, recorder, onChange } = this.#options;
    store.secrets.remove(this.#need({ tenantId: principal.tenantId }, name).id);
    recorder.did(principal, 'secret.remove', undefined, { secret: name });
    await onChange(principal.tenantId, name);
  }

  /**
   * What programs of a sandbox see of the secrets that it asks for: variables with placeholders.
   * @throws CasemateError `not_found`, `secret_unreadable`: a sandbox does not start without what it was to have
   */
  environment(scope: Scope, names: readonly string[]): Record<string, string> {
    const rows = names.map((name) => this.#need(scope, name));
    for (const row of rows) this.#open(row);
    const ruled = rows.find(({ hosts }) => hosts.length === 0);
    if (ruled !== undefined)
      throw new CasemateError(
        'invalid_request',
        `The secret ${ruled.name} has no hosts: it goes where header rules set it, and into no environment.`,
      );
    return Object.fromEntries(rows.map(({ env, name }) => [env, this.#placeholder(scope.tenantId, name)]));
  }

  /** Whether all are there and can be opened. @throws CasemateError `not_found`, `secret_unreadable` */
  check(scope: Scope, names: readonly string[]): void {
    for (const name of names) this.#open(this.#need(scope, name));
  }

  /** For the egress proxy; `ruled` has the hosts of header rules by the secrets that they name. One that is gone or cannot be opened comes without a value: the proxy refuses its placeholder. */
  bindings(
    scope: Scope,
    names: readonly string[],
    ruled: ReadonlyMap<string, readonly string[]>,
  ): BoundSecret[] {
    return names.map((name) => {
      const placeholder = this.#placeholder(scope.tenantId, name);
      const row = this.#find(scope, name);
      if (row === undefined) return { name, placeholder, hosts: [] };
      const hosts = row.hosts.length > 0 ? row.hosts : (ruled.get(name) ?? []);
      try {
        return { name, placeholder, hosts, value: this.#open(row) };
      } catch {
        return { name, placeholder, hosts };
      }
    });
  }

  /** The narrowest scope that has the name counts. */
  #find({ tenantId, workspaceId, functionId }: Scope, name: string): SecretRow | undefined {
    const { secrets } = this.#options.store;
    const scopes: Scope[] = [
      ...(functionId === undefined ? [] : [{ tenantId, functionId }]),
      ...(workspaceId === undefined ? [] : [{ tenantId, workspaceId }]),
      { tenantId },
    ];
    for (const scope of scopes) {
      const row = secrets.find(scope, name);
      if (row !== undefined) return row;
    }
    return undefined;
  }

  #need(scope: Scope, name: string): SecretRow {
    const row = this.#find(scope, name);
    if (row === undefined) throw new CasemateError('not_found', `There is no secret ${name}.`);
    return row;
  }

  #open(row: SecretRow): string {
    const { store, box } = this.#options;
    const sealed = store.secrets.sealedOf(row.id);
    if (sealed === undefined) throw new CasemateError('not_found', `There is no secret ${row.name}.`);
    return box.open(row, sealed);
  }

  /** The same in every sandbox of the tenant, so that programs of a snapshot hold one that counts; it opens nothing. */
  #placeholder(tenantId: string, name: string): string {
    const seal = createHmac('sha256', this.#options.tokenSecret).update(`placeholder ${tenantId} ${name}`);
    return `casemate-secret-${seal.digest('hex').slice(0, 32)}`;
  }
}
