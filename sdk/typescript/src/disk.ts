/** Who takes up the server's disk, and taking away what nobody owns. */
import type { Transport } from './transport.ts';

export interface DiskEntry {
  readonly kind:
    | 'sandbox'
    | 'snapshot'
    | 'volume'
    | 'layer'
    | 'cache'
    | 'machine'
    | 'upload'
    | 'template'
    | 'database';
  readonly id: string;
  readonly name?: string;
  /** Several where a layer is shared; none of what is the host's own or nobody's. */
  readonly tenantIds: readonly string[];
  readonly bytes: number;
  /** Nothing in the database names it. */
  readonly ownerless: boolean;
}

export interface DiskReport {
  /** For administrators. With less than `reservedBytes` left nothing is started, taken in or built. */
  readonly host?: {
    readonly totalBytes: number;
    readonly freeBytes: number;
    readonly reservedBytes: number;
  };
  /** A layer that several share counts for each of them. */
  readonly tenants: readonly { readonly tenantId: string; readonly bytes: number }[];
  /** The biggest first. */
  readonly entries: readonly DiskEntry[];
}

export class Disk {
  readonly #transport: Transport;

  /** @internal */
  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** All of it with an administrator's key, the tenant's own with others. */
  report(): Promise<DiskReport> {
    return this.#transport.json('GET', '/v1/disk');
  }

  /** What has no owner goes; with `dryRun` it is only named. @throws CasemateError `forbidden` */
  clean(
    options: { dryRun?: boolean } = {},
  ): Promise<{ readonly entries: readonly DiskEntry[]; readonly bytes: number }> {
    return this.#transport.json('POST', '/v1/disk/clean', { json: options });
  }
}
