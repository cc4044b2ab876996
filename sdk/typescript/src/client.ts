/** Everything of a server that is not one sandbox: templates, runtimes, pools, keys, audit. */
import { Templates } from './templates.ts';
import { type ConnectionOptions, Transport } from './transport.ts';
import type { AuditChain, AuditEvent, KeyInfo, Page, PoolInfo, RuntimeInfo, SnapshotInfo } from './types.ts';
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
  }

  readonly templates: Templates;
  readonly volumes: Volumes;

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

  async #items<Item>(path: string): Promise<Item[]> {
    return (await this.#transport.json<{ items: Item[] }>('GET', path)).items;
  }
}
