/** Everything of a server that is not one sandbox: templates, runtimes, pools, keys, audit. */
import { CasemateError, errorFromWire } from './errors.ts';
import { type ConnectionOptions, jsonLines, Transport } from './transport.ts';
import type {
  AuditChain,
  AuditEvent,
  BuildProgress,
  KeyInfo,
  Page,
  PoolInfo,
  RuntimeInfo,
  SnapshotInfo,
  TemplateInfo,
} from './types.ts';

type BuildLine =
  | ({ readonly type: 'progress' } & BuildProgress)
  | { readonly type: 'done'; readonly template: TemplateInfo }
  | { readonly type: 'error' };

/**
 * @example
 * const casemate = new Casemate()
 * await casemate.templates.build('python', ({ percent, message }) => console.log(percent, message))
 */
export class Casemate {
  readonly #transport: Transport;

  constructor(options: ConnectionOptions = {}) {
    this.#transport = new Transport(options);
  }

  readonly templates = {
    list: async (): Promise<TemplateInfo[]> => this.#items('/v1/templates'),
    /** Builds it unless its definition is unchanged. @throws CasemateError `template_not_ready` */
    build: async (name: string, onProgress?: (progress: BuildProgress) => void): Promise<TemplateInfo> => {
      const response = await this.#transport.request(
        'POST',
        `/v1/templates/${encodeURIComponent(name)}/build`,
      );
      for await (const line of jsonLines<BuildLine>(response)) {
        if (line.type === 'done') return line.template;
        if (line.type === 'error') throw errorFromWire(line);
        onProgress?.(line);
      }
      throw new CasemateError('internal', 'The build ended without an answer.');
    },
    remove: (name: string): Promise<void> =>
      this.#transport.done('DELETE', `/v1/templates/${encodeURIComponent(name)}`),
  };

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
