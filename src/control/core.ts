/** The core API that every gateway calls: one method a request, each with who asks for it. */
import type { Duplex } from 'node:stream';
import { CasemateError } from '../base/errors.ts';
import { newId, newKeySecret } from '../base/ids.ts';
import type { Log } from '../base/log.ts';
import type { ExecStartParams, ExecStream, GuestExec } from '../guest/types.ts';
import type {
  BuildProgress,
  LiveSandbox,
  PoolStatus,
  RuntimeInfo,
  SandboxNode,
  TemplateInfo,
} from '../node/types.ts';
import type {
  AuditChain,
  AuditFilter,
  AuditRow,
  KeyRow,
  Page,
  PageRequest,
  PoolRow,
  Store,
} from '../store/types.ts';
import { authenticate, hashSecret, needAdmin, needTenant, type Principal, sandboxFor } from './access.ts';
import type { Presets } from '../policy/policy.ts';
import type { Clock } from './clock.ts';
import type { EgressClient, KernelRefusal } from '../egress/types.ts';
import { Disk } from './disk.ts';
import { Egress } from './egress.ts';
import { type LearnedFrom, learnedFrom } from './learning.ts';
import { Policies } from './policies.ts';
import { Previews } from './previews.ts';
import { type AuditAction, Recorder } from './recorder.ts';
import { Sandboxes } from './sandboxes.ts';
import { SecretBox } from './secretBox.ts';
import { Secrets } from './secrets.ts';
import { Snapshots } from './snapshots.ts';
import { Turnstile } from './turnstile.ts';
import { Blobs } from './templates/blobs.ts';
import { Templates } from './templates/templates.ts';
import { SandboxTokens } from './tokens.ts';
import { VolumeBackups } from './volumeBackups.ts';
import { VolumeFiles } from './volumeFiles.ts';
import { Volumes } from './volumes.ts';
import { Usage } from './usage.ts';
import { Webhooks } from './webhooks.ts';

export interface CoreOptions {
  readonly store: Store;
  readonly node: SandboxNode;
  readonly clock: Clock;
  readonly log: Log;
  /** The egress proxy, and what the server's package clients use. */
  readonly proxy: EgressClient;
  readonly presets: Promise<Presets>;
  /** What tokens for single sandboxes are derived from; it has to outlive the server. */
  readonly tokenSecret: Buffer;
  /** The server's folder of what builds take in. */
  readonly contextsDir: string;
  /** What secrets are sealed with. */
  readonly secretKey: Buffer;
}

/** The tenant that a fresh server starts with. */
const firstTenant = 'default';

export interface SandboxMetrics {
  readonly at: string;
  readonly memoryBytes: number;
  readonly memoryLimitBytes: number;
  readonly cpuMicroseconds: number;
  readonly diskBytes: number;
  readonly diskLimitBytes: number;
  readonly pids: number;
  readonly processes: number;
  readonly uptimeMs: number;
}

export class Core {
  readonly sandboxes: Sandboxes;
  readonly snapshots: Snapshots;
  /** Templates that tenants build. */
  readonly images: Templates;
  readonly volumes: Volumes;
  readonly volumeFiles: VolumeFiles;
  readonly volumeBackups: VolumeBackups;
  readonly disk: Disk;
  readonly tokens: SandboxTokens;
  readonly secrets: Secrets;
  readonly webhooks: Webhooks;
  readonly policies: Policies;
  readonly previews: Previews;
  readonly usage: Usage;
  readonly #options: CoreOptions;
  readonly #recorder: Recorder;
  readonly #egress: Egress;
  readonly #turnstile = new Turnstile();

  constructor(options: CoreOptions) {
    this.#options = options;
    this.#recorder = new Recorder(options.store);
    const shared = { ...options, recorder: this.#recorder };
    const box = new SecretBox(options.secretKey);
    this.webhooks = new Webhooks({ ...shared, box });
    this.secrets = new Secrets({
      ...shared,
      box,
      onChange: (tenantId, name) => this.#egress.secretChanged(tenantId, name),
    });
    this.#egress = new Egress({ ...shared, secrets: this.secrets });
    this.policies = new Policies({ ...shared, egress: this.#egress });
    this.images = new Templates({
      ...shared,
      egress: this.#egress,
      blobs: new Blobs(options.contextsDir),
      useSandbox: (principal, id) => this.sandboxes.use(principal, id),
    });
    this.volumes = new Volumes({ ...options, recorder: this.#recorder });
    this.volumeFiles = new VolumeFiles({ ...shared, volumes: this.volumes });
    this.volumeBackups = new VolumeBackups({ ...shared, volumes: this.volumes });
    this.disk = new Disk({ ...shared, images: this.images });
    this.sandboxes = new Sandboxes({
      ...shared,
      egress: this.#egress,
      secrets: this.secrets,
      catalog: this.images.catalog,
      volumes: this.volumes,
      turnstile: this.#turnstile,
    });
    this.usage = new Usage({ ...shared, sandboxes: this.sandboxes });
    this.snapshots = new Snapshots({ ...options, recorder: this.#recorder, sandboxes: this.sandboxes });
    this.tokens = new SandboxTokens(options.tokenSecret);
    this.previews = new Previews({ ...shared, sandboxes: this.sandboxes });
  }

  /** @param pools wanted now; they win over those that were set through the API earlier. */
  async start(pools: readonly PoolRow[]): Promise<void> {
    await this.images.reconcile();
    for (const { template, runtime, size } of [...this.#options.store.pools.list(), ...pools])
      this.images.pools.set(firstTenant, template, runtime, size);
    await this.sandboxes.reconcile();
    await this.snapshots.reconcile();
    await this.volumes.reconcile();
    this.webhooks.start();
    this.usage.start();
  }

  async stop(): Promise<void> {
    this.usage.stop();
    this.sandboxes.stop();
    this.snapshots.stop();
    await this.images.stop();
    await this.webhooks.stop();
    await this.#options.node.stop();
    this.#options.store.close();
  }

  get hasKeys(): boolean {
    return this.#options.store.keys.count() > 0;
  }

  /** Makes the first tenant and an admin key, whose text it answers, this once. */
  makeAdminKey(): string {
    this.#options.store.tenants.ensure(firstTenant);
    const { id, scope, key } = this.#makeKey(firstTenant, 'made at start', 'admin');
    this.#recorder.happened(firstTenant, 'key.create', undefined, { keyId: id, scope });
    return key;
  }

  #makeKey(tenantId: string, name: string, scope: string): KeyRow & { key: string } {
    const secret = newKeySecret();
    const row: KeyRow = {
      id: newId(),
      tenantId,
      name,
      scope,
      createdAt: new Date(this.#options.clock.now()).toISOString(),
    };
    this.#options.store.keys.insert(row, hashSecret(secret));
    return { ...row, key: `casemate_${secret}` };
  }

  /** @throws CasemateError `unauthenticated` */
  authenticate(keyText: string | undefined): Principal {
    return authenticate(this.#options.store, keyText);
  }

  /**
   * Who somebody is that a gateway lets at one sandbox by other means than a key: by a token of `tokens`, or because
   * its ports are public. @throws CasemateError `not_found`
   */
  holderOf(sandboxId: string): Principal {
    const row = this.#options.store.sandboxes.find(sandboxId);
    if (row === undefined) throw new CasemateError('not_found', `There is no sandbox ${sandboxId}.`);
    return { tenantId: row.tenantId, keyId: 'token', scope: `sandbox:${sandboxId}` };
  }

  /** Who somebody is that a gateway lets do one thing of a tenant's, by a token of `tokens`. */
  tenantHolder(tenantId: string): Principal {
    return { tenantId, keyId: 'token', scope: 'tenant' };
  }

  /** The first running sandbox of any tenant that fits; for credentials that do not say which sandbox they are for. */
  findRunning(fits: (sandboxId: string) => boolean): string | undefined {
    return this.#options.store.sandboxes.inStates(['running']).find(({ id }) => fits(id))?.id;
  }

  /** Does something with a running sandbox's guest and records it; the sandbox counts as used meanwhile. */
  async withGuest<Result>(
    principal: Principal,
    id: string,
    record: { action: AuditAction; detail: Record<string, unknown> } | undefined,
    work: (guest: LiveSandbox['guest']) => Promise<Result>,
  ): Promise<Result> {
    const { live, done } = await this.sandboxes.use(principal, id);
    if (record !== undefined) this.#recorder.did(principal, record.action, id, record.detail);
    try {
      return await work(live.guest);
    } finally {
      done();
    }
  }

  /** Like `withGuest`, for something that goes on after the answer: the use ends when `ended` resolves. */
  async withGuestStream<Result>(
    principal: Principal,
    id: string,
    record: { action: AuditAction; detail: Record<string, unknown> },
    work: (guest: LiveSandbox['guest']) => Promise<{ result: Result; ended: Promise<unknown> }>,
  ): Promise<Result> {
    const { live, done } = await this.sandboxes.use(principal, id);
    this.#recorder.did(principal, record.action, id, record.detail);
    try {
      const { result, ended } = await work(live.guest);
      ended.then(done, done);
      return result;
    } catch (error) {
      done();
      throw error;
    }
  }

  startExec(
    principal: Principal,
    id: string,
    params: Omit<ExecStartParams, 'execId'>,
    signal?: AbortSignal,
  ): Promise<{ execId: string; stream: ExecStream }> {
    const execId = newId();
    const { argv, command, user, cwd } = params;
    const detail = {
      execId,
      ...(argv ? { argv } : { command }),
      ...(user ? { user } : {}),
      ...(cwd ? { cwd } : {}),
    };
    return this.withGuestStream(principal, id, { action: 'exec.start', detail }, async (guest) => {
      const stream = await this.#turnstile.pass(
        principal.tenantId,
        'exec',
        () => guest.execStart({ ...params, execId }, signal === undefined ? {} : { signal }),
        ({ exited }) => exited,
      );
      return { result: { execId, stream }, ended: stream.exited };
    });
  }

  attachExec(
    principal: Principal,
    id: string,
    execId: string,
    options: { follow: boolean; signal?: AbortSignal },
  ): Promise<ExecStream> {
    return this.withGuestStream(
      principal,
      id,
      { action: 'exec.attach', detail: { execId } },
      async (guest) => {
        const stream = await guest.execAttach(execId, options);
        return { result: stream, ended: stream.exited };
      },
    );
  }

  /** A connection to a port of the sandbox; `done` says that it is over. @throws CasemateError `port_unreachable` */
  async connectPort(
    principal: Principal,
    id: string,
    port: number,
  ): Promise<{ port: Duplex; done: () => void }> {
    const { live, done } = await this.sandboxes.use(principal, id);
    this.#recorder.did(principal, 'port.connect', id, { port });
    try {
      return { port: await live.guest.tcpConnect({ port }), done };
    } catch (error) {
      done();
      throw error;
    }
  }

  async listExecs(principal: Principal, id: string): Promise<GuestExec[]> {
    return this.withGuest(principal, id, undefined, (guest) => guest.execList());
  }

  /** @throws CasemateError `exec_not_found` */
  async getExec(principal: Principal, id: string, execId: string): Promise<GuestExec> {
    const found = (await this.listExecs(principal, id)).find((exec) => exec.execId === execId);
    if (found === undefined) throw new CasemateError('exec_not_found', `There is no exec ${execId}.`);
    return found;
  }

  async metrics(principal: Principal, id: string): Promise<SandboxMetrics> {
    const { live, row, done } = await this.sandboxes.use(principal, id);
    try {
      const [outside, inside] = await Promise.all([this.#options.node.inspect(id), live.guest.metrics()]);
      return {
        at: new Date(this.#options.clock.now()).toISOString(),
        memoryBytes: outside.memoryBytes,
        memoryLimitBytes: row.limits.memoryMib * 1024 * 1024,
        cpuMicroseconds: outside.cpuMicroseconds,
        diskBytes: outside.diskBytes,
        diskLimitBytes: row.limits.diskMib * 1024 * 1024,
        pids: outside.pids,
        processes: inside.processes,
        uptimeMs: inside.uptimeMs,
      };
    } finally {
      done();
    }
  }

  /** What the server's own package clients use; a policy names them as presets. */
  presets(): Promise<Presets> {
    return this.#options.presets;
  }

  runtimes(): Promise<readonly RuntimeInfo[]> {
    return this.#options.node.runtimes();
  }

  templates(): Promise<readonly TemplateInfo[]> {
    return this.#options.node.templates();
  }

  async buildTemplate(
    principal: Principal,
    name: string,
    onProgress: (progress: BuildProgress) => void,
  ): Promise<TemplateInfo> {
    needAdmin(principal);
    this.#recorder.did(principal, 'template.build', undefined, { template: name });
    return this.#options.node.buildTemplate(name, onProgress);
  }

  async removeTemplate(principal: Principal, name: string): Promise<void> {
    if (!(await this.templates()).some((shipped) => shipped.name === name))
      return this.images.remove(principal, name);
    needAdmin(principal);
    this.images.needUnusedBase(await this.templates(), name);
    await this.#options.node.removeTemplate(name);
    this.#recorder.did(principal, 'template.remove', undefined, { template: name });
  }

  pools(principal: Principal): readonly PoolStatus[] {
    needAdmin(principal);
    return this.images.pools.list();
  }

  /** @throws CasemateError `not_found` for a template that does not exist */
  async setPool(principal: Principal, template: string, runtime: string, size: number): Promise<PoolStatus> {
    needAdmin(principal);
    const shipped = (await this.templates()).some((candidate) => candidate.name === template);
    if (!shipped && this.images.catalog.findVersion(principal.tenantId, template) === undefined)
      throw new CasemateError('not_found', `There is no template ${template}.`);
    if (!(await this.runtimes()).some((candidate) => candidate.name === runtime)) {
      throw new CasemateError('runtime_unavailable', `There is no runtime ${runtime}.`);
    }
    this.images.pools.set(principal.tenantId, template, runtime, size);
    this.#options.store.pools.put(principal.tenantId, { template, runtime, size });
    this.#recorder.did(principal, 'pool.set', undefined, { template, runtime, size });
    const status = this.images.pools
      .list()
      .find((pool) => pool.template === template && pool.runtime === runtime);
    return status ?? { template, runtime, size, ready: 0, starting: 0 };
  }

  listKeys(principal: Principal): readonly KeyRow[] {
    needTenant(principal);
    return this.#options.store.keys.list(principal.scope === 'admin' ? undefined : principal.tenantId);
  }

  /** Admins make any key; tenant keys make keys for one sandbox of their own. */
  createKey(
    principal: Principal,
    request: { name: string; scope: string; tenantId?: string },
  ): KeyRow & { key: string } {
    needTenant(principal);
    const tenantId = request.tenantId ?? principal.tenantId;
    if (!request.scope.startsWith('sandbox:') || tenantId !== principal.tenantId) needAdmin(principal);
    if (request.scope.startsWith('sandbox:')) {
      sandboxFor(this.#options.store, { ...principal, tenantId }, request.scope.slice('sandbox:'.length));
    }
    this.#options.store.tenants.ensure(tenantId);
    const made = this.#makeKey(tenantId, request.name, request.scope);
    this.#recorder.did(principal, 'key.create', undefined, { keyId: made.id, scope: made.scope, tenantId });
    return made;
  }

  removeKey(principal: Principal, id: string): void {
    needTenant(principal);
    const key = this.#options.store.keys.find(id);
    if (key === undefined || (principal.scope !== 'admin' && key.tenantId !== principal.tenantId)) {
      throw new CasemateError('not_found', `There is no key ${id}.`);
    }
    if (principal.scope !== 'admin' && !key.scope.startsWith('sandbox:')) needAdmin(principal);
    this.#options.store.keys.remove(id);
    this.#recorder.did(principal, 'key.remove', undefined, { keyId: id });
  }

  audit(principal: Principal, filter: Omit<AuditFilter, 'tenantId'>, page: PageRequest): Page<AuditRow> {
    needTenant(principal);
    return this.#options.store.audit.list({ ...filter, tenantId: principal.tenantId }, page);
  }

  /** Whether any event of any tenant was changed or taken out. @throws CasemateError `forbidden` */
  verifyAudit(principal: Principal): Promise<AuditChain> {
    needAdmin(principal);
    return this.#options.store.audit.verify();
  }

  /** A key that does not exist, or a call that its scope does not cover. */
  recordAuthDenied(route: string, principal?: Principal): void {
    const detail = { route };
    if (principal === undefined) this.#recorder.uninvited(firstTenant, 'auth.denied', undefined, detail);
    else this.#recorder.did(principal, 'auth.denied', undefined, detail);
  }

  /** The smallest policy that allows what a sandbox was denied. It is told, and not set. */
  learned(principal: Principal, id: string): LearnedFrom {
    const { tenantId } = this.sandboxes.get(principal, id);
    return learnedFrom(this.#options.store, tenantId, id);
  }

  /** A place that the kernel refused a sandbox. */
  recordDenied(refusal: KernelRefusal): void {
    this.#egress.refused(refusal);
  }
}

export function createCore(options: CoreOptions): Core {
  return new Core(options);
}
