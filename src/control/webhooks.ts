/** Webhooks: tells addresses that tenants name what happened to their sandboxes, again where that fails, and keeps a log. */
import { CasemateError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import { limits } from '../base/limits.ts';
import type { Log } from '../base/log.ts';
import type { SandboxRow, SecretRow, Store } from '../store/types.ts';
import type { DeliveryAttempt, DeliveryRow, WebhookEvent, WebhookRow } from '../store/webhookTypes.ts';
import { needTenant, type Principal } from './access.ts';
import type { Clock } from './clock.ts';
import type { Recorder } from './recorder.ts';
import type { SecretBox } from './secretBox.ts';
import { post, type WebhookMessage } from './webhookPost.ts';

export interface WebhookRequest {
  readonly name: string;
  readonly url: string;
  readonly enabled: boolean;
  readonly actions: readonly string[];
  readonly secret: string;
}

/** How a protocol words an event; pure. */
export type WebhookFormat = (telling: {
  readonly webhook: WebhookRow;
  readonly deliveryId: string;
  readonly event: WebhookEvent;
  /** The sandbox that it happened to, as it is now. */
  readonly sandbox: SandboxRow | undefined;
  readonly secret: string;
}) => WebhookMessage;

export interface WebhooksOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly recorder: Recorder;
  readonly box: SecretBox;
  readonly log: Log;
}

/** After each failure, and no more tries after the last. */
const pausesMs = [1000, 10_000, 60_000, 600_000, 3_600_000, 6 * 3_600_000];

export class Webhooks {
  readonly #options: WebhooksOptions;
  readonly #formats = new Map<string, WebhookFormat>();
  readonly #going = new Map<string, Promise<void>>();
  readonly #stop = new AbortController();
  #forgetTimer: () => void = () => {};

  constructor(options: WebhooksOptions) {
    this.#options = options;
    options.recorder.onEvent((event) => this.#happened(event));
  }

  /** A gateway brings the words in which its clients' webhooks are told. */
  speak(format: string, words: WebhookFormat): void {
    this.#formats.set(format, words);
  }

  /** Goes on with what an earlier server did not come to. */
  start(): void {
    this.#lookLater();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    this.#forgetTimer();
    await Promise.all(this.#going.values());
  }

  /** @throws CasemateError `invalid_request`, `conflict` where the tenant has too many */
  create(principal: Principal, format: string, request: WebhookRequest): WebhookRow {
    needTenant(principal);
    const { store, clock, recorder } = this.#options;
    const { tenantId, scope } = principal;
    if (store.webhooks.list(tenantId).length >= limits.webhooksPerTenantMax)
      throw new CasemateError('conflict', `There are ${limits.webhooksPerTenantMax} webhooks already.`);
    const now = new Date(clock.now()).toISOString();
    const { secret, ...shown } = request;
    const row: WebhookRow = {
      id: newId(),
      tenantId,
      ...shown,
      url: checkedUrl(request.url),
      format,
      anyAddress: scope === 'admin',
      createdAt: now,
      updatedAt: now,
    };
    this.#put(row, secret);
    recorder.did(principal, 'webhook.set', undefined, { webhookId: row.id, name: row.name, url: row.url });
    return row;
  }

  /** Changes what is named; an address that is not public needs an administrator again. */
  change(principal: Principal, id: string, request: Partial<WebhookRequest>): WebhookRow {
    const { clock, recorder } = this.#options;
    const before = this.get(principal, id);
    const { secret = this.#secretOf(before), ...shown } = request;
    const row: WebhookRow = {
      ...before,
      ...shown,
      url: checkedUrl(request.url ?? before.url),
      anyAddress: principal.scope === 'admin' || (before.anyAddress && request.url === undefined),
      updatedAt: new Date(clock.now()).toISOString(),
    };
    this.#put(row, secret);
    recorder.did(principal, 'webhook.set', undefined, { webhookId: id, name: row.name, url: row.url });
    return row;
  }

  /** @throws CasemateError `not_found` */
  get(principal: Principal, id: string): WebhookRow {
    needTenant(principal);
    const row = this.#options.store.webhooks.find(id);
    if (row !== undefined && row.tenantId === principal.tenantId) return row;
    throw new CasemateError('not_found', `There is no webhook ${id.slice(0, 100)}.`);
  }

  list(principal: Principal): readonly WebhookRow[] {
    needTenant(principal);
    return this.#options.store.webhooks.list(principal.tenantId);
  }

  /** What was told and what is to be, the newest first; old ones are forgotten. */
  deliveries(principal: Principal, id: string): readonly DeliveryRow[] {
    this.get(principal, id);
    return this.#options.store.webhooks.deliveries(id, limits.webhookDeliveriesKept);
  }

  remove(principal: Principal, id: string): void {
    const { store, recorder } = this.#options;
    const { name } = this.get(principal, id);
    store.webhooks.remove(id);
    recorder.did(principal, 'webhook.remove', undefined, { webhookId: id, name });
  }

  #put(row: WebhookRow, secret: string): void {
    const { store, box } = this.#options;
    store.webhooks.put(row, box.seal(sealedAs(row), secret));
  }

  #secretOf(row: WebhookRow): string {
    const { store, box } = this.#options;
    const sealed = store.webhooks.secretOf(row.id);
    if (sealed === undefined) throw new CasemateError('not_found', `There is no webhook ${row.id}.`);
    return box.open(sealedAs(row), sealed);
  }

  #happened(event: WebhookEvent): void {
    const { store, clock } = this.#options;
    const wanted = store.webhooks
      .list(event.tenantId)
      .filter(({ enabled, actions }) => enabled && actions.includes(event.action));
    if (wanted.length === 0) return;
    const now = new Date(clock.now()).toISOString();
    for (const { id } of wanted)
      store.webhooks.putDelivery({
        id: newId(),
        webhookId: id,
        event,
        state: 'pending',
        createdAt: now,
        dueAt: now,
        attempts: [],
      });
    this.#lookLater();
  }

  /** At most one timer waits: for the next one that is due. */
  #lookLater(): void {
    const { store, clock } = this.#options;
    this.#forgetTimer();
    if (this.#stop.signal.aborted || this.#going.size >= limits.webhookDeliveriesAtOnceMax) return;
    const next = store.webhooks.nextDueAt();
    if (next !== undefined)
      this.#forgetTimer = clock.after(Date.parse(next) - clock.now(), () => this.#deliverDue());
  }

  #deliverDue(): void {
    const { store, clock } = this.#options;
    const room = limits.webhookDeliveriesAtOnceMax - this.#going.size;
    for (const row of store.webhooks.due(new Date(clock.now()).toISOString(), room)) {
      // Not due while it is on its way; a server that ends meanwhile tries again.
      const leased = new Date(clock.now() + 2 * limits.webhookAnswerMsMax).toISOString();
      store.webhooks.putDelivery({ ...row, dueAt: leased });
      const work = this.#deliver(row)
        .catch((error: unknown) => this.#options.log.error('webhook', { id: row.id, reason: String(error) }))
        .finally(() => {
          this.#going.delete(row.id);
          this.#lookLater();
        });
      this.#going.set(row.id, work);
    }
    this.#lookLater();
  }

  async #deliver(row: DeliveryRow): Promise<void> {
    const { store, clock } = this.#options;
    const webhook = store.webhooks.find(row.webhookId);
    if (webhook === undefined) return; // and with it went what it was to be told
    const from = clock.now();
    const outcome = await this.#tell(webhook, row).catch((error: unknown) => ({
      error: (error instanceof Error ? error.message : String(error)).slice(0, 200),
    }));
    if (this.#stop.signal.aborted || store.webhooks.find(webhook.id) === undefined) return;
    const attempt: DeliveryAttempt = {
      at: new Date(from).toISOString(),
      durationMs: clock.now() - from,
      ...outcome,
    };
    const attempts = [...row.attempts, attempt];
    const { dueAt: _over, ...over } = row;
    const pauseMs = pausesMs[attempts.length - 1];
    if ('status' in outcome && outcome.status >= 200 && outcome.status < 300)
      store.webhooks.putDelivery({ ...over, attempts, state: 'delivered' });
    else if (pauseMs === undefined) store.webhooks.putDelivery({ ...over, attempts, state: 'failed' });
    else
      store.webhooks.putDelivery({ ...row, attempts, dueAt: new Date(clock.now() + pauseMs).toISOString() });
    store.webhooks.trim(webhook.id, limits.webhookDeliveriesKept);
  }

  async #tell(webhook: WebhookRow, { id, event }: DeliveryRow): Promise<{ status: number }> {
    const { store } = this.#options;
    const words = this.#formats.get(webhook.format);
    if (words === undefined) throw new Error(`Nobody here speaks ${webhook.format}.`);
    const sandbox = event.sandboxId === undefined ? undefined : store.sandboxes.find(event.sandboxId);
    const secret = this.#secretOf(webhook);
    const message = words({ webhook, deliveryId: id, event, sandbox, secret });
    return post(webhook.url, message, { anyAddress: webhook.anyAddress, signal: this.#stop.signal });
  }
}

/** A secret is bound to the address that it was made for. */
function sealedAs({ id, tenantId, url, createdAt }: WebhookRow): SecretRow {
  return {
    id,
    tenantId,
    name: 'webhook',
    hosts: [url],
    env: '',
    version: 1,
    createdAt,
    updatedAt: createdAt,
  };
}

/** @throws CasemateError `invalid_request` */
function checkedUrl(text: string): string {
  const url = URL.parse(text);
  const isWeb = url?.protocol === 'https:' || url?.protocol === 'http:';
  if (url !== null && isWeb && url.username === '' && url.password === '') return url.href;
  throw new CasemateError(
    'invalid_request',
    'The address of a webhook is http:// or https://, without credentials.',
  );
}
