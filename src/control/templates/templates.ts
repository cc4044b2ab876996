/** Templates that tenants build: builds under way, what they leave, and what goes when nobody needs it. */
import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { CasemateError } from '../../base/errors.ts';
import { imageName } from '../../base/imageName.ts';
import { newId } from '../../base/ids.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import type { LiveSandbox, SandboxNode } from '../../node/types.ts';
import type { BuildFileRow } from '../../store/buildFiles.ts';
import type { TemplateConfig, TemplateVersionRow } from '../../store/templateTypes.ts';
import type { SandboxRow, Store } from '../../store/types.ts';
import { needAdmin, needTenant, type Principal } from '../access.ts';
import type { Clock } from '../clock.ts';
import type { Egress } from '../egress.ts';
import type { Recorder } from '../recorder.ts';
import type { Blobs, ContextEntry } from './blobs.ts';
import { BuildLog } from './buildLog.ts';
import { Builder, type UsedSandbox } from './builder.ts';
import { Catalog, nodeStart, notFound } from './catalog.ts';
import { Collection, type Collected } from './collection.ts';
import { describeTemplate, type TemplateDetail, versionInfo, type VersionInfo } from './describe.ts';
import { parseDockerfile } from './dockerfile.ts';
import { TemplatePools } from './pools.ts';
import { defaultTag } from './reference.ts';
import { Runner } from './runner.ts';
import { type BuildRequest, checkBuildPolicy } from './spec.ts';

export interface TemplatesOptions {
  readonly store: Store;
  readonly node: SandboxNode;
  readonly clock: Clock;
  readonly recorder: Recorder;
  readonly egress: Egress;
  readonly blobs: Blobs;
  readonly log: Log;
  /** As `Sandboxes.use`, which is made later. */
  readonly useSandbox: (
    principal: Principal,
    id: string,
  ) => Promise<{ live: LiveSandbox; row: SandboxRow; done: () => void }>;
}

/** A build under way or over; its id is its version's. */
export interface Build {
  readonly id: string;
  readonly template: string;
  readonly tag: string;
  readonly log: BuildLog;
  /** Never rejects: how it ended stands in the row. */
  readonly ended: Promise<TemplateVersionRow>;
}

interface RunningBuild extends Build {
  readonly tenantId: string;
  readonly cancel: AbortController;
  readonly layers: Set<string>;
  over: boolean;
}

/** Builds whose logs are kept for late readers. */
const buildsKept = 50;

export class Templates {
  readonly catalog: Catalog;
  readonly pools: TemplatePools;
  readonly blobs: Blobs;
  readonly #options: TemplatesOptions;
  readonly #builds = new Map<string, RunningBuild>();
  readonly #shipped = new Set<string>();
  readonly #collection: Collection;
  readonly #queue: (() => void)[] = [];
  #running = 0;

  constructor(options: TemplatesOptions) {
    this.#options = options;
    this.blobs = options.blobs;
    const { store, recorder, node, log } = options;
    this.catalog = new Catalog({
      store,
      recorder,
      shipped: this.#shipped,
      onMoved: () => this.pools.refresh(),
    });
    this.pools = new TemplatePools(node, this.catalog, log);
    this.#collection = new Collection({
      ...options,
      pools: this.pools,
      buildLayers: () => [...this.#builds.values()].flatMap(({ over, layers }) => (over ? [] : [...layers])),
    });
  }

  /** What an earlier server was building is not built any more. */
  async reconcile(): Promise<void> {
    const { store, node } = this.#options;
    for (const { name } of await node.templates()) this.#shipped.add(name);
    for (const version of store.templates.versionsInState('building'))
      store.templates.updateVersion({
        ...version,
        state: 'failed',
        error: 'The server ended during this build.',
        finishedAt: this.#now(),
      });
    await this.blobs.sweep();
  }

  #now(): string {
    return new Date(this.#options.clock.now()).toISOString();
  }

  /**
   * Starts a build; what is wrong with the request itself is thrown at once. The tag is moved when it is ready, and
   * what it pointed at before serves until then, and on where the build fails.
   * @throws CasemateError `invalid_request`, `build_failed` (the Dockerfile does not read), `conflict` (a shipped name)
   */
  async build(principal: Principal, request: BuildRequest): Promise<Build> {
    needTenant(principal);
    const { store, egress, recorder } = this.#options;
    const { tenantId } = principal;
    checkBuildPolicy(request.policy);
    this.#options.node.builds.admit();
    const administrator = principal.scope === 'admin' || request.policyIsOperators === true;
    if (request.policy !== undefined) {
      await egress.checkLevel({ tenantId, level: 'sandbox' }, { policy: request.policy, administrator });
    }
    const parsed = parseDockerfile(request.dockerfile, request.buildArgs ?? {});
    const entries = request.context === undefined ? [] : await this.blobs.entries(tenantId, request.context);
    const template = this.catalog.ownOrNew(principal, request.name, () => ({
      id: newId(),
      tenantId,
      visibility: 'private',
      createdAt: this.#now(),
    }));
    if (request.id !== undefined && store.templates.version(request.id) !== undefined)
      throw new CasemateError('conflict', `There is a build ${request.id} already.`);
    const version: TemplateVersionRow = {
      id: request.id ?? newId(),
      templateId: template.id,
      tenantId,
      number: store.templates.nextNumber(template.id),
      state: 'building',
      createdAt: this.#now(),
      source: parsed.stages.at(-1)?.from ?? '',
    };
    store.templates.insertVersion(version);
    const tag = request.tag ?? defaultTag;
    recorder.did(principal, 'template.build', undefined, { template: request.name, tag });
    const log = new BuildLog();
    const cancel = new AbortController();
    const layers = new Set<string>();
    const onLayer = (digest: string): void => {
      layers.add(digest);
      this.#owns('layer', digest, tenantId);
    };
    const runner = new Runner({
      node: this.#options.node,
      egress,
      log,
      tenantId,
      administrator,
      limits: buildLimits(request),
      noCache: request.noCache ?? false,
      signal: cancel.signal,
      onLayer,
      onCache: (id) => this.#owns('cache', id, tenantId),
      ...(request.policy === undefined ? {} : { policy: request.policy }),
    });
    const builder = new Builder({
      node: this.#options.node,
      blobs: this.blobs,
      log,
      runner,
      tenantId,
      request,
      parsed,
      entries,
      onLayer,
      template: (reference) => this.#base(tenantId, reference),
      sandbox: (id) => this.#sandbox(principal, id),
    });
    const ended = this.#turn(() =>
      this.#finish(version, [tag, ...(request.moreTags ?? [])], request, builder, log),
    ).finally(() => {
      build.over = true;
      log.end();
    });
    const build: RunningBuild = {
      id: version.id,
      template: request.name,
      tag,
      log,
      ended,
      tenantId,
      cancel,
      layers,
      over: false,
    };
    this.#keep(build);
    return build;
  }

  /** Written before it is on the disk, so that nothing there is without an owner. */
  #owns(kind: BuildFileRow['kind'], id: string, tenantId: string): void {
    if (id.startsWith('template-')) return; // a shipped template's root is the host's
    this.#options.store.buildFiles.put({ kind, id, tenantId, usedAt: this.#now() });
  }

  #keep(build: RunningBuild): void {
    this.#builds.set(build.id, build);
    for (const [id, { over }] of this.#builds) {
      if (this.#builds.size <= buildsKept) break;
      if (over) this.#builds.delete(id);
    }
  }

  /** A few at once: each is a sandbox that works hard. */
  async #turn<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#running >= limits.buildsAtOnceMax)
      await new Promise<void>((resolve) => this.#queue.push(resolve));
    else this.#running += 1;
    try {
      return await work();
    } finally {
      const next = this.#queue.shift();
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }

  async #finish(
    version: TemplateVersionRow,
    tags: readonly string[],
    { start, sandboxLimits }: BuildRequest,
    builder: Builder,
    log: BuildLog,
  ): Promise<TemplateVersionRow> {
    const { store, node } = this.#options;
    try {
      const state = await builder.build();
      const inherited = state.config();
      const config: TemplateConfig = {
        ...inherited,
        user: inherited.user === '' ? 'user' : inherited.user,
        ...(start === undefined ? {} : { start }),
        ...(sandboxLimits === undefined ? {} : { limits: sandboxLimits }),
      };
      const settings = createHash('sha256').update(JSON.stringify(config)).digest('hex');
      const digest = await node.builds.defineImage(state.layers, settings);
      const done = { ...version, digest, layers: state.layers, bytes: state.bytes, config };
      if (start !== undefined) await this.#tryStart(done, log);
      const ready: TemplateVersionRow = { ...done, state: 'ready', finishedAt: this.#now() };
      store.templates.updateVersion(ready);
      for (const tag of tags) this.catalog.point(version.templateId, tag, version.id);
      log.progress(100);
      log.write('build', `version ${version.number} is ready`);
      return ready;
    } catch (thrown) {
      const error = CasemateError.from(thrown);
      if (error.code === 'internal')
        this.#options.log.error('build_failed', { id: version.id, reason: String(error.cause ?? error) });
      const failed: TemplateVersionRow = {
        ...version,
        state: 'failed',
        error: error.message,
        finishedAt: this.#now(),
      };
      store.templates.updateVersion(failed);
      log.write('build', error.message);
      return failed;
    }
  }

  /** A template that does not start is not one: found out before its tag is moved. */
  async #tryStart(version: TemplateVersionRow, log: BuildLog): Promise<void> {
    log.write('build', 'starting it once');
    const { node } = this.#options;
    const { config, digest } = version;
    const start = config === undefined ? undefined : nodeStart(config);
    if (start === undefined || digest === undefined) return;
    const { env, user, cwd } = start;
    try {
      const sandbox = await node.claim({
        template: imageName(digest),
        runtime: 'gvisor',
        limits: { ...defaultLimits, ...config?.limits },
        bind: { env, user, ...(cwd === undefined ? {} : { cwd }) },
        start,
        onTaken: () => {},
      });
      await node.destroy(sandbox.id);
    } catch (error) {
      throw new CasemateError('build_failed', CasemateError.from(error).message, { cause: error });
    }
  }

  /** A running sandbox, and what it was started from: the row names the version, whatever its tag points at now. */
  async #sandbox(principal: Principal, id: string): Promise<UsedSandbox> {
    const { row, live, done } = await this.#options.useSandbox(principal, id);
    try {
      const { templateVersionId, template } = row;
      const version =
        templateVersionId === undefined
          ? undefined
          : this.#options.store.templates.version(templateVersionId);
      return { live, done, ...(await this.#baseOf(version, template)) };
    } catch (error) {
      done();
      throw error;
    }
  }

  /** What another build begins with. */
  #base(tenantId: string, reference: string) {
    return this.#baseOf(this.catalog.findVersion(tenantId, reference), reference);
  }

  async #baseOf(version: TemplateVersionRow | undefined, reference: string) {
    if (version?.layers !== undefined && version.config !== undefined) {
      const { start: _start, limits: _limits, ...config } = version.config;
      return { layers: version.layers, config: { ...config, user: '' } };
    }
    const shipped = (await this.#options.node.templates()).find(({ name }) => name === reference);
    if (shipped === undefined) throw notFound(reference);
    if (!shipped.ready)
      throw new CasemateError('template_not_ready', `Template ${reference} is not built yet.`);
    return { layers: [`template-${shipped.digest}`], config: { env: {}, user: '', labels: {}, ports: [] } };
  }

  /** The tenant's own, and those that others show; the newest last. */
  list(principal: Principal): TemplateDetail[] {
    const { store } = this.#options;
    return store.templates
      .list()
      .filter(({ tenantId, visibility }) => tenantId === principal.tenantId || visibility === 'public')
      .map((template) => describeTemplate(store, template, principal.tenantId));
  }

  /** One of the tenant's own. @throws CasemateError `not_found` */
  describe(principal: Principal, name: string): TemplateDetail {
    return describeTemplate(this.#options.store, this.catalog.own(principal, name), principal.tenantId);
  }

  versionInfo(version: TemplateVersionRow): VersionInfo {
    return versionInfo(this.#options.store, version);
  }

  missingUploads(principal: Principal, digests: readonly string[]): Promise<string[]> {
    needTenant(principal);
    return this.blobs.missing(principal.tenantId, digests);
  }

  upload(principal: Principal, sha256: string, body: Readable): Promise<void> {
    needTenant(principal);
    return this.blobs.put(principal.tenantId, sha256, body);
  }

  /** Like `upload`, of what nobody has hashed yet. @returns its SHA-256. */
  uploadAny(principal: Principal, body: Readable): Promise<string> {
    needTenant(principal);
    return this.blobs.add(principal.tenantId, body);
  }

  /** Keeps a list of uploads under a name of 64 hex digits that the client has for it. */
  nameUploads(principal: Principal, name: string, entries: readonly ContextEntry[]): Promise<void> {
    needTenant(principal);
    return this.blobs.name(principal.tenantId, name, entries);
  }

  /** Undefined where there is no list of that name, or where something of it has to be uploaded again. */
  uploadsNamed(principal: Principal, name: string): Promise<ContextEntry[] | undefined> {
    needTenant(principal);
    return this.blobs.named(principal.tenantId, name);
  }

  /** @throws CasemateError `not_found`, for another tenant's and for one that is long over */
  find(principal: Principal, id: string): { build?: Build; version: TemplateVersionRow; name: string } {
    needTenant(principal);
    const { store } = this.#options;
    const version = store.templates.version(id);
    if (version === undefined || version.tenantId !== principal.tenantId)
      throw new CasemateError('not_found', `There is no build ${id}.`);
    const build = this.#builds.get(id);
    const name = store.templates.names(version.templateId)[0]?.name ?? '';
    return { version, name, ...(build === undefined ? {} : { build }) };
  }

  /** Ends a build; resolves when nothing of it is left. One that is over stays as it is. */
  async cancel(principal: Principal, id: string): Promise<void> {
    this.find(principal, id);
    const build = this.#builds.get(id);
    build?.cancel.abort();
    await build?.ended;
  }

  /** Removes a template with all of its versions. @throws CasemateError `conflict` where something needs one. */
  async remove(principal: Principal, name: string): Promise<void> {
    const { store, recorder } = this.#options;
    const template = this.catalog.own(principal, name);
    const used = this.#collection.used();
    const needed = store.templates
      .versions(template.id)
      .find(({ id, state }) => state === 'building' || used.has(id));
    if (needed !== undefined)
      throw new CasemateError(
        'conflict',
        `${name} is in use: version ${needed.number} ${used.get(needed.id) ?? 'is being built'}.`,
      );
    store.templates.remove(template.id);
    recorder.did(principal, 'template.remove', undefined, { template: name });
    await this.#collection.collect(false);
  }

  /** @throws CasemateError `conflict` where a version of a template has the shipped one below it */
  needUnusedBase(shipped: readonly { readonly name: string; readonly digest: string }[], name: string): void {
    const layer = `template-${shipped.find((template) => template.name === name)?.digest ?? ''}`;
    const above = this.#options.store.templates
      .versionsInState('ready')
      .find(({ layers }) => layers?.includes(layer));
    if (above === undefined) return;
    const of = this.#options.store.templates.names(above.templateId)[0]?.name ?? '';
    throw new CasemateError('conflict', `${name} is in use: ${of} (version ${above.number}) is built on it.`);
  }

  /** Takes away versions that no tag points at, or pointed at just before, and that nothing uses; with their layers. */
  async collect(principal: Principal, dryRun: boolean): Promise<Collected> {
    needAdmin(principal);
    const collected = await this.#collection.collect(dryRun);
    if (!dryRun) this.#options.recorder.did(principal, 'template.collect', undefined, { ...collected });
    return collected;
  }

  /** Takes away layers, and definitions, that no row names; `young` ones stay. */
  async collectOwnerless(young: readonly string[]): Promise<void> {
    await this.#collection.collectOwnerless(young);
  }

  /** Ends the builds that are under way. */
  async stop(): Promise<void> {
    for (const { cancel } of this.#builds.values()) cancel.abort();
    await Promise.all([...this.#builds.values()].map(({ ended }) => ended));
  }
}

const defaultLimits = {
  cpus: limits.sandboxCpusDefault,
  memoryMib: limits.sandboxMemoryMibDefault,
  diskMib: limits.sandboxDiskMibDefault,
  pids: limits.sandboxPidsDefault,
};

function buildLimits(request: BuildRequest) {
  return {
    cpus: request.limits?.cpus ?? 2,
    memoryMib: request.limits?.memoryMib ?? limits.buildMemoryMibDefault,
    diskMib: limits.buildStepMibMax,
    pids: 1024,
  };
}
