/** Which version a template's name means, and what may be done with names, tags and versions. */
import { CasemateError } from '../../base/errors.ts';
import { imageName, isImageName } from '../../base/imageName.ts';
import type { StartCommand as NodeStart } from '../../node/types.ts';
import type {
  TemplateConfig,
  TemplateRow,
  TemplateVersionRow,
  TemplateVisibility,
} from '../../store/templateTypes.ts';
import type { Store } from '../../store/types.ts';
import { needTenant, type Principal } from '../access.ts';
import type { Recorder } from '../recorder.ts';
import { parseReference } from './reference.ts';

/** A version that sandboxes can start from. */
export interface ResolvedTemplate {
  /** By which the node knows it. */
  readonly nodeName: string;
  readonly env: Readonly<Record<string, string>>;
  readonly user: string;
  readonly cwd?: string;
  readonly start?: NodeStart;
  /** Of a tenant's template. */
  readonly version?: TemplateVersionRow;
}

const readyTimeoutMsDefault = 60_000;
/** Versions that a tag remembers for rollbacks. */
const previousKept = 20;

export interface CatalogOptions {
  readonly store: Store;
  readonly recorder: Recorder;
  /** Names of the templates that come with Casemate. */
  readonly shipped: ReadonlySet<string>;
  /** A tag points at another version now. */
  readonly onMoved: (templateId: string) => void;
}

export class Catalog {
  readonly #options: CatalogOptions;

  constructor(options: CatalogOptions) {
    this.#options = options;
  }

  /** What a sandbox starts from. @throws CasemateError `not_found`, `template_not_ready` */
  resolve(tenantId: string, text: string): ResolvedTemplate {
    const version = this.findVersion(tenantId, text);
    if (version === undefined) {
      if (isImageName(text)) throw notFound(text);
      return { nodeName: text, env: {}, user: 'user' }; // the node says whether it is one that is shipped
    }
    const { digest, config } = version;
    if (digest === undefined || config === undefined) throw notFound(text);
    const { env, user, workdir } = config;
    const start = nodeStart(config);
    return {
      nodeName: imageName(digest),
      env,
      user,
      version,
      ...(workdir === undefined ? {} : { cwd: workdir }),
      ...(start === undefined ? {} : { start }),
    };
  }

  /** What runs in sandboxes of a version, which a row names; nothing where it is a shipped template's. */
  startOf(versionId: string | undefined): { readonly start?: NodeStart } {
    const version = versionId === undefined ? undefined : this.#options.store.templates.version(versionId);
    const start = version?.config === undefined ? undefined : nodeStart(version.config);
    return start === undefined ? {} : { start };
  }

  /** The version behind a reference; undefined where no tenant's template has the name. @throws CasemateError */
  findVersion(tenantId: string, text: string): TemplateVersionRow | undefined {
    const { store } = this.#options;
    const { tag, ...reference } = parseReference(text);
    const template = this.#find(tenantId, reference);
    if (template === undefined) {
      if (reference.tenantId !== undefined || tag !== 'latest') throw notFound(text);
      return undefined;
    }
    const pointed = store.templates.tag(template.id, tag);
    const version = pointed === undefined ? undefined : store.templates.version(pointed.versionId);
    if (version !== undefined) return version;
    if (store.templates.versions(template.id).some(({ state }) => state === 'building'))
      throw new CasemateError('template_not_ready', `Template ${text} is being built.`);
    throw notFound(text);
  }

  #find(
    tenantId: string,
    { tenantId: owner, name }: { readonly tenantId?: string; readonly name: string },
  ): TemplateRow | undefined {
    const template = this.#options.store.templates.findByName(owner ?? tenantId, name);
    return template?.tenantId === tenantId || template?.visibility === 'public' ? template : undefined;
  }

  /** A template of the caller's own. @throws CasemateError `not_found` */
  own(principal: Principal, name: string): TemplateRow {
    needTenant(principal);
    const found = this.#options.store.templates.findByName(principal.tenantId, name);
    if (found === undefined) throw notFound(name);
    return found;
  }

  /** The caller's template of that name, made where there is none. @throws CasemateError `conflict` */
  ownOrNew(principal: Principal, name: string, make: () => TemplateRow): TemplateRow {
    const { store } = this.#options;
    this.#needFree(name);
    const found = store.templates.findByName(principal.tenantId, name);
    if (found !== undefined) return found;
    const row = make();
    store.templates.insert(row, name);
    return row;
  }

  #needFree(name: string): void {
    if (this.#options.shipped.has(name) || isImageName(name) || name === 'build')
      throw new CasemateError('conflict', `${name} is the name of a template that Casemate brings.`);
  }

  setVisibility(principal: Principal, name: string, visibility: TemplateVisibility): void {
    const { id } = this.own(principal, name);
    this.#options.store.templates.setVisibility(id, visibility);
    this.#options.recorder.did(principal, 'template.change', undefined, { template: name, visibility });
  }

  /** @throws CasemateError `conflict` where the alias is taken. */
  addAlias(principal: Principal, name: string, alias: string): void {
    const { store, recorder } = this.#options;
    const { id } = this.own(principal, name);
    this.#needFree(alias);
    const holder = store.templates.findByName(principal.tenantId, alias);
    if (holder?.id === id) return;
    if (holder !== undefined) throw new CasemateError('conflict', `${alias} is a template already.`);
    store.templates.addAlias(principal.tenantId, alias, id);
    recorder.did(principal, 'template.change', undefined, { template: name, alias });
  }

  /** The first name of a template stays. */
  removeAlias(principal: Principal, name: string, alias: string): void {
    const { store, recorder } = this.#options;
    const { id } = this.own(principal, name);
    if (!store.templates.names(id).some((row) => row.alias && row.name === alias)) throw notFound(alias);
    store.templates.removeAlias(principal.tenantId, alias);
    recorder.did(principal, 'template.change', undefined, { template: name, withoutAlias: alias });
  }

  /** Points a tag at a version that is ready, in one step. @throws CasemateError `not_found` */
  setTag(principal: Principal, name: string, tag: string, number: number): void {
    const template = this.own(principal, name);
    const version = this.#options.store.templates
      .versions(template.id)
      .find((candidate) => candidate.number === number && candidate.state === 'ready');
    if (version === undefined)
      throw new CasemateError('not_found', `${name} has no version ${number} that is ready.`);
    this.point(template.id, tag, version.id);
    this.#options.recorder.did(principal, 'template.tag', undefined, {
      template: name,
      tag,
      version: number,
    });
  }

  point(templateId: string, tag: string, versionId: string): void {
    const { store, onMoved } = this.#options;
    const before = store.templates.tag(templateId, tag);
    if (before?.versionId === versionId) return;
    const previous = before === undefined ? [] : [before.versionId, ...before.previous];
    store.templates.putTag({
      templateId,
      tag,
      versionId,
      previous: previous.filter((id) => id !== versionId).slice(0, previousKept),
    });
    onMoved(templateId);
  }

  /** Points the tag at the version before. @returns its number. @throws CasemateError `conflict` where there is none */
  rollBack(principal: Principal, name: string, tag: string): number {
    const { store, onMoved, recorder } = this.#options;
    const template = this.own(principal, name);
    const current = store.templates.tag(template.id, tag);
    if (current === undefined) throw notFound(`${name}:${tag}`);
    const earlier = current.previous
      .map((id) => store.templates.version(id))
      .find((version) => version?.state === 'ready');
    if (earlier === undefined)
      throw new CasemateError('conflict', `${name}:${tag} has no version to go back to.`);
    const rest = current.previous.slice(current.previous.indexOf(earlier.id) + 1);
    store.templates.putTag({ templateId: template.id, tag, versionId: earlier.id, previous: rest });
    onMoved(template.id);
    recorder.did(principal, 'template.tag', undefined, { template: name, tag, version: earlier.number });
    return earlier.number;
  }

  removeTag(principal: Principal, name: string, tag: string): void {
    const { store, recorder } = this.#options;
    const { id } = this.own(principal, name);
    if (store.templates.tag(id, tag) === undefined) throw notFound(`${name}:${tag}`);
    store.templates.removeTag(id, tag);
    recorder.did(principal, 'template.tag', undefined, { template: name, tag, removed: true });
  }
}

/** A template's start command as the node takes it. */
export function nodeStart({ start, env, user, workdir }: TemplateConfig): NodeStart | undefined {
  if (start === undefined) return undefined;
  const { command, ready, readyTimeoutMs = readyTimeoutMsDefault } = start;
  return {
    command,
    readyTimeoutMs,
    env,
    user,
    ...(ready === undefined ? {} : { ready: { command: ready } }),
    ...(workdir === undefined ? {} : { cwd: workdir }),
  };
}

export function notFound(name: string): CasemateError {
  return new CasemateError('not_found', `There is no template ${name.slice(0, 200)}.`);
}
