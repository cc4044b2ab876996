/** Egress policies of tenants and templates: each narrows what sandboxes below it may reach, at once. */
import type { EgressPolicy } from '../../schema/policy.ts';
import { CasemateError } from '../base/errors.ts';
import type { PolicyRow, Store } from '../store/types.ts';
import { needAdmin, needTenant, type Principal } from './access.ts';
import type { Clock } from './clock.ts';
import type { Egress } from './egress.ts';
import type { Recorder } from './recorder.ts';

/** Whose policy is meant. */
export interface PolicyPlace {
  /** Of this template in the tenant; of the whole tenant where left out. */
  readonly template?: string;
  /** Another tenant than the key's: for administrators. */
  readonly tenantId?: string;
}

export interface PoliciesOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly recorder: Recorder;
  readonly egress: Egress;
}

export class Policies {
  readonly #options: PoliciesOptions;

  constructor(options: PoliciesOptions) {
    this.#options = options;
  }

  /** What was set there; undefined narrows nothing. @throws CasemateError `not_found` for a tenant that does not exist */
  get(principal: Principal, place: PolicyPlace): EgressPolicy | undefined {
    return this.#find(principal, place)?.policy;
  }

  #find(principal: Principal, place: PolicyPlace): PolicyRow | undefined {
    const { tenantId, level, subject } = this.#keyOf(principal, place);
    return this.#options.store.policies.find(tenantId, level, subject);
  }

  #keyOf(
    principal: Principal,
    { template, tenantId = principal.tenantId }: PolicyPlace,
  ): Pick<PolicyRow, 'tenantId' | 'level' | 'subject'> {
    needTenant(principal);
    if (tenantId !== principal.tenantId) needAdmin(principal);
    if (!this.#options.store.tenants.exists(tenantId)) {
      throw new CasemateError('not_found', `There is no tenant ${tenantId}.`);
    }
    return template === undefined
      ? { tenantId, level: 'tenant', subject: tenantId }
      : { tenantId, level: 'template', subject: template };
  }

  /**
   * When this resolves, it is in force on every running sandbox below, and connections that do not comply are cut.
   * @throws CasemateError `invalid_request`; `forbidden` for what an administrator has set
   */
  async set(principal: Principal, place: PolicyPlace, policy: EgressPolicy): Promise<EgressPolicy> {
    const { store, clock, egress } = this.#options;
    const key = this.#changeable(principal, place);
    const administrator = principal.scope === 'admin';
    await egress.checkLevel(key, { policy, administrator });
    store.policies.put({
      ...key,
      policy,
      administrator,
      updatedAt: new Date(clock.now()).toISOString(),
    });
    await this.#changed(principal, key, policy);
    return policy;
  }

  /** It narrows nothing any more. */
  async remove(principal: Principal, place: PolicyPlace): Promise<void> {
    const key = this.#changeable(principal, place);
    this.#options.store.policies.remove(key.tenantId, key.level, key.subject);
    await this.#changed(principal, key);
  }

  /** Otherwise a tenant could widen what an administrator has narrowed. */
  #changeable(principal: Principal, place: PolicyPlace): Pick<PolicyRow, 'tenantId' | 'level' | 'subject'> {
    if (this.#find(principal, place)?.administrator === true && principal.scope !== 'admin') {
      throw new CasemateError('forbidden', 'An administrator has set this policy.');
    }
    return this.#keyOf(principal, place);
  }

  async #changed(
    principal: Principal,
    { tenantId, level, subject }: Pick<PolicyRow, 'tenantId' | 'level' | 'subject'>,
    policy?: EgressPolicy,
  ): Promise<void> {
    const { recorder, egress } = this.#options;
    const action = policy === undefined ? 'policy.remove' : 'policy.set';
    recorder.did(principal, action, undefined, { tenantId, level, subject, policy });
    await egress.refresh(
      (row) => row.tenantId === tenantId && (level === 'tenant' || row.template === subject),
    );
  }
}
