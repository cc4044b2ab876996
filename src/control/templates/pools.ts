/** Warm pools by the names that people use: each holds sandboxes of the version that its name means now. */
import type { Log } from '../../base/log.ts';
import type { PoolStatus, SandboxNode } from '../../node/types.ts';
import type { Catalog } from './catalog.ts';

interface Held {
  /** The tenant in whose eyes the name was read. */
  readonly tenantId: string;
  readonly template: string;
  readonly runtime: string;
  readonly size: number;
  readonly nodeName?: string;
}

export class TemplatePools {
  readonly #node: SandboxNode;
  readonly #catalog: Catalog;
  readonly #log: Log;
  readonly #held = new Map<string, Held>();

  constructor(node: SandboxNode, catalog: Catalog, log: Log) {
    this.#node = node;
    this.#catalog = catalog;
    this.#log = log;
  }

  set(tenantId: string, template: string, runtime: string, size: number): void {
    const key = `${tenantId} ${template} ${runtime}`;
    const before = this.#held.get(key);
    const wanted = { tenantId, template, runtime, size };
    try {
      const { nodeName, start } = this.#catalog.resolve(tenantId, template);
      if (before?.nodeName !== undefined && before.nodeName !== nodeName) this.#release(key, before);
      this.#held.set(key, { ...wanted, nodeName });
      this.#node.setPool(nodeName, runtime, this.#sizeOf(nodeName, runtime), start);
    } catch (error) {
      // It may be built later, which brings us here again.
      this.#held.set(key, wanted);
      this.#log.warn('pool_waits', { template, reason: String(error) });
    }
  }

  /** Two names of one version have one pool, as big as both want. */
  #sizeOf(nodeName: string, runtime: string): number {
    return [...this.#held.values()]
      .filter((held) => held.nodeName === nodeName && held.runtime === runtime)
      .reduce((sum, { size }) => sum + size, 0);
  }

  #release(key: string, { nodeName, runtime }: Held): void {
    this.#held.delete(key);
    if (nodeName !== undefined) this.#node.setPool(nodeName, runtime, this.#sizeOf(nodeName, runtime));
  }

  /** A tag was moved: pools turn over to what it means now. */
  refresh(): void {
    for (const { tenantId, template, runtime, size } of [...this.#held.values()])
      this.set(tenantId, template, runtime, size);
  }

  /** Names that the node holds warm sandboxes of. */
  nodeNames(): Set<string> {
    return new Set(
      [...this.#held.values()].flatMap(({ nodeName, size }) =>
        nodeName === undefined || size === 0 ? [] : [nodeName],
      ),
    );
  }

  list(): PoolStatus[] {
    const statuses = this.#node.pools();
    return [...this.#held.values()].map(({ template, runtime, size, nodeName }) => {
      const found = statuses.find((status) => status.template === nodeName && status.runtime === runtime);
      return { template, runtime, size, ready: found?.ready ?? 0, starting: found?.starting ?? 0 };
    });
  }
}
