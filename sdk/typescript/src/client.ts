/** Everything of a server that is not one sandbox: templates, runtimes, pools, keys, audit. */
import { Templates } from './templates.ts';
import { type ConnectionOptions, Transport } from './transport.ts';
import type {
  AuditChain,
  AuditEvent,
  EgressPolicy,
  KeyInfo,
  Page,
  PolicyPlace,
  PoolInfo,
  RuntimeInfo,
  SecretInfo,
  SnapshotInfo,
} from './types.ts';
import { Disk } from './disk.ts';
import { Volumes } from './volumes.ts';

/**
 * @example
 * const casemate = new Casemate()
 * await casemate.templates.build('python', ({ percent, message }) => console.log(percent, message))
 */
export class Casemate {
  readonly #transport: Transport;

  constructor(options: ConnectionOptions = {}) {
    this.#transport = new Transport(options);
    this.templates = new Templates(this.#transport);
    this.volumes = new Volumes(this.#transport);
    this.disk = new Disk(this.#transport);
  }

  readonly templates: Templates;
  readonly volumes: Volumes;
  readonly disk: Disk;

  readonly runtimes = {
    list: async (): Promise<RuntimeInfo[]> => this.#items('/v1/runtimes'),
  };

  readonly pools = {
    list: async (): Promise<PoolInfo[]> => this.#items('/v1/pools'),
    /** How many warm sandboxes are kept. */
    set: (template: string, options: { size: number; runtime?: string }): Promise<PoolInfo> =>
      this.#transport.json('PUT', `/v1/pools/${encodeURIComponent(template)}`, { json: options }),
  };

  readonly snapshots = {
    /** All of them, page after page, newest first. */
    list: async (): Promise<SnapshotInfo[]> => {
      const all: SnapshotInfo[] = [];
      let cursor: string | undefined;
      do {
        const page: Page<SnapshotInfo> = await this.#transport.json('GET', '/v1/snapshots', {
          query: { cursor },
        });
        all.push(...page.items);
        cursor = page.nextCursor;
      } while (cursor !== undefined);
      return all;
    },
    get: (idOrName: string): Promise<SnapshotInfo> =>
      this.#transport.json('GET', `/v1/snapshots/${encodeURIComponent(idOrName)}`),
    /** Sandboxes that were started from it go on. */
    remove: (idOrName: string): Promise<void> =>
      this.#transport.done('DELETE', `/v1/snapshots/${encodeURIComponent(idOrName)}`),
  };

  readonly secrets = {
    list: async (): Promise<SecretInfo[]> => this.#items('/v1/secrets'),
    get: (name: string): Promise<SecretInfo> =>
      this.#transport.json('GET', `/v1/secrets/${encodeURIComponent(name)}`),
    /**
     * Makes it or gives it a new value, which running sandboxes have when this resolves.
     * @example
     * await casemate.secrets.set('openai', { value, hosts: ['api.openai.com'], env: 'OPENAI_API_KEY' })
     * await Sandbox.create({ secrets: ['openai'], policy: { allow: [{ host: 'api.openai.com' }] } })
     */
    set: (
      name: string,
      options: { value: string; hosts: readonly string[]; env?: string },
    ): Promise<SecretInfo> =>
      this.#transport.json('PUT', `/v1/secrets/${encodeURIComponent(name)}`, { json: options }),
    /** Running sandboxes lose it. */
    remove: (name: string): Promise<void> =>
      this.#transport.done('DELETE', `/v1/secrets/${encodeURIComponent(name)}`),
  };

  /** Policies above those of single sandboxes: each narrows. `{}` is your tenant's, `{ template }` a template's in it. */
  readonly policies = {
    /** Null where none was set. */
    get: async (place: PolicyPlace = {}): Promise<EgressPolicy | null> =>
      (await this.#transport.json<{ policy: EgressPolicy | null }>('GET', ...this.#policyAt(place))).policy,
    /** In force on running sandboxes when this resolves. @throws CasemateError `forbidden` for an administrator's */
    set: async (place: PolicyPlace, policy: EgressPolicy): Promise<EgressPolicy> => {
      const [path, options] = this.#policyAt(place);
      const answer = await this.#transport.json<{ policy: EgressPolicy }>('PUT', path, {
        ...options,
        json: policy,
      });
      return answer.policy;
    },
    remove: (place: PolicyPlace = {}): Promise<void> =>
      this.#transport.done('DELETE', ...this.#policyAt(place)),
  };

  readonly keys = {
    list: async (): Promise<KeyInfo[]> => this.#items('/v1/keys'),
    /** `key` is in this answer and nowhere else. Scopes: `admin`, `tenant`, `sandbox:<id>`. */
    create: (options: {
      name: string;
      scope: string;
      tenantId?: string;
    }): Promise<KeyInfo & { key: string }> => this.#transport.json('POST', '/v1/keys', { json: options }),
    remove: (id: string): Promise<void> =>
      this.#transport.done('DELETE', `/v1/keys/${encodeURIComponent(id)}`),
  };

  readonly audit = {
    /** Newest first, at most `limit` (100 by default). */
    list: async (
      options: { sandboxId?: string; action?: string; limit?: number } = {},
    ): Promise<AuditEvent[]> => {
      const events: AuditEvent[] = [];
      let cursor: string | undefined;
      const wanted = options.limit ?? 100;
      do {
        const limit = Math.min(100, wanted - events.length);
        const page: Page<AuditEvent> = await this.#transport.json('GET', '/v1/audit', {
          query: { ...options, limit, cursor },
        });
        events.push(...page.items);
        cursor = page.nextCursor;
      } while (cursor !== undefined && events.length < wanted);
      return events;
    },
    /** Checks that no event was changed or taken out; for administrators. */
    verify: (): Promise<AuditChain> => this.#transport.json('GET', '/v1/audit/chain'),
  };

  #policyAt({ template, tenantId }: PolicyPlace): [string, { query: { tenantId: string | undefined } }] {
    const path = template === undefined ? 'tenant' : `templates/${encodeURIComponent(template)}`;
    return [`/v1/policies/${path}`, { query: { tenantId } }];
  }

  async #items<Item>(path: string): Promise<Item[]> {
    return (await this.#transport.json<{ items: Item[] }>('GET', path)).items;
  }
}
