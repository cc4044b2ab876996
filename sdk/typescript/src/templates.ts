/** Templates of a server: those that it ships, and those that you build. */
import { CasemateError, errorFromWire } from './errors.ts';
import { readContext, uploadContext, uploadFile } from './context.ts';
import { TemplateBuilder, type TemplateStart } from './templateBuilder.ts';
import { jsonLines, type Transport } from './transport.ts';
import type { BuildProgress, EgressPolicy, TemplateInfo } from './types.ts';

export interface TemplateVersion {
  readonly buildId: string;
  /** Counts from 1. */
  readonly number: number;
  readonly state: 'building' | 'ready' | 'failed';
  readonly createdAt: string;
  readonly finishedAt?: string;
  readonly source: string;
  readonly tags: readonly string[];
  readonly bytes?: number;
  readonly error?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly user?: string;
  readonly workdir?: string;
  readonly entrypoint?: readonly string[];
  readonly cmd?: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
  readonly ports?: readonly string[];
  readonly start?: TemplateStart;
}

export interface TemplateDetail extends TemplateInfo {
  readonly aliases: readonly string[];
  readonly visibility: 'private' | 'public';
  /** The newest first. */
  readonly versions: readonly TemplateVersion[];
}

/** One line of a build's log. What programs printed is as they printed it: make it harmless before a terminal shows it. */
export interface BuildLogLine {
  readonly seq: number;
  readonly at: string;
  readonly stream: 'build' | 'stdout' | 'stderr';
  readonly text: string;
  /** The line of the Dockerfile. */
  readonly line?: number;
  readonly percent: number;
}

export type TemplateSource =
  | TemplateBuilder
  /** A Dockerfile's text, and the folder that it copies from. */
  | { readonly dockerfile: string; readonly context?: string }
  /** An image of a registry that the server may use. */
  | { readonly image: string }
  /** The files of a running sandbox, by its id. */
  | { readonly sandbox: string }
  /** A file as `docker save` writes it. */
  | { readonly archive: string }
  /** A folder in OCI layout. */
  | { readonly layout: string };

export interface BuildOptions {
  /** Moved to the new version when it is ready; `latest` by default. */
  readonly tag?: string;
  /** The folder that a `TemplateBuilder` copies from; the current one by default. */
  readonly context?: string;
  readonly buildArgs?: Readonly<Record<string, string>>;
  /** The stage that is built; the last by default. */
  readonly target?: string;
  /** What steps may reach; nothing by default. */
  readonly policy?: EgressPolicy;
  readonly start?: TemplateStart;
  readonly limits?: { readonly cpus?: number; readonly memoryMib?: number };
  readonly noCache?: boolean;
  readonly onLog?: (line: BuildLogLine) => void;
  /** Stops listening; the build goes on. */
  readonly signal?: AbortSignal;
}

export interface Collected {
  readonly versions: readonly string[];
  readonly layers: number;
  readonly uploads: number;
  readonly bytes: number;
}

type ShippedLine =
  | ({ readonly type: 'progress' } & BuildProgress)
  | { readonly type: 'done'; readonly template: TemplateInfo }
  | { readonly type: 'error' };
type BuildLine =
  | { readonly type: 'build'; readonly id: string }
  | ({ readonly type: 'log' } & BuildLogLine)
  | { readonly type: 'done'; readonly version: TemplateVersion }
  | { readonly type: 'error' };

/** The name by which a Dockerfile of our own making calls an uploaded image. */
const uploadedImage = 'uploaded';

export class Templates {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Shipped ones, your own, and those that other tenants show. */
  async list(): Promise<TemplateInfo[]> {
    return (await this.#transport.json<{ items: TemplateInfo[] }>('GET', '/v1/templates')).items;
  }

  /** One of your own with its versions. @throws CasemateError `not_found` */
  get(name: string): Promise<TemplateDetail> {
    return this.#transport.json('GET', pathOf(name));
  }

  /** Builds a shipped one unless its definition is unchanged. @throws CasemateError `template_not_ready` */
  async build(name: string, onProgress?: (progress: BuildProgress) => void): Promise<TemplateInfo> {
    const response = await this.#transport.request('POST', `${pathOf(name)}/build`);
    for await (const line of jsonLines<ShippedLine>(response)) {
      if (line.type === 'done') return line.template;
      if (line.type === 'error') throw errorFromWire(line);
      onProgress?.(line);
    }
    throw unanswered();
  }

  /**
   * Builds a version of a template of your own, and moves the tag to it. Files are hashed here; those that the server
   * has are not uploaded.
   * @throws CasemateError `build_failed`, which names the line; what the tag pointed at serves on
   */
  async buildFrom(
    name: string,
    source: TemplateSource,
    options: BuildOptions = {},
  ): Promise<TemplateVersion> {
    const { context: _context, onLog, signal, start, ...rest } = options;
    const response = await this.#transport.request('POST', '/v1/builds', {
      json: {
        name,
        ...rest,
        ...(await this.#request(source, options)),
        ...(start === undefined ? {} : { start }),
      },
      signal,
    });
    for await (const line of jsonLines<BuildLine>(response)) {
      if (line.type === 'done') return line.version;
      if (line.type === 'error') throw errorFromWire(line);
      if (line.type === 'log') onLog?.(line);
    }
    throw unanswered();
  }

  async #request(source: TemplateSource, options: BuildOptions): Promise<object> {
    if (source instanceof TemplateBuilder) {
      const { startCommand: start, sources } = source;
      const folder = options.context ?? '.';
      const context =
        sources.length === 0
          ? undefined
          : await uploadContext(this.#transport, await readContext(folder, sources));
      return {
        dockerfile: source.toDockerfile(),
        ...(context === undefined ? {} : { context }),
        ...(start === undefined ? {} : { start }),
      };
    }
    if ('image' in source) return { dockerfile: `FROM ${source.image}\n` };
    if ('sandbox' in source) return { dockerfile: `FROM sandbox://${source.sandbox}\n` };
    if ('archive' in source) return uploaded({ archive: await uploadFile(this.#transport, source.archive) });
    if ('layout' in source)
      return uploaded({ layout: await uploadContext(this.#transport, await readContext(source.layout)) });
    if (source.context === undefined) return { dockerfile: source.dockerfile };
    const context = await uploadContext(this.#transport, await readContext(source.context));
    return { dockerfile: source.dockerfile, context };
  }

  /** Ends a build; nothing of it is left then. */
  cancelBuild(buildId: string): Promise<void> {
    return this.#transport.done('DELETE', `/v1/builds/${encodeURIComponent(buildId)}`);
  }

  /** Points a tag at a version, in one step. */
  tag(name: string, tag: string, version: number): Promise<void> {
    return this.#transport.done('PUT', `${pathOf(name)}/tags/${encodeURIComponent(tag)}`, {
      json: { version },
    });
  }

  removeTag(name: string, tag: string): Promise<void> {
    return this.#transport.done('DELETE', `${pathOf(name)}/tags/${encodeURIComponent(tag)}`);
  }

  /** Points the tag at the version before. @returns its number. @throws CasemateError `conflict` where there is none */
  async rollback(name: string, tag = 'latest'): Promise<number> {
    const path = `${pathOf(name)}/tags/${encodeURIComponent(tag)}/rollback`;
    return (await this.#transport.json<{ version: number }>('POST', path)).version;
  }

  addAlias(name: string, alias: string): Promise<void> {
    return this.#transport.done('PUT', `${pathOf(name)}/aliases/${encodeURIComponent(alias)}`);
  }

  removeAlias(name: string, alias: string): Promise<void> {
    return this.#transport.done('DELETE', `${pathOf(name)}/aliases/${encodeURIComponent(alias)}`);
  }

  /** `public` shows it to all tenants of the server, as `<tenant>/<name>`. */
  setVisibility(name: string, visibility: 'private' | 'public'): Promise<void> {
    return this.#transport.done('PUT', `${pathOf(name)}/visibility`, { json: { visibility } });
  }

  /** One of your own with all of its versions, or a shipped one that was built. @throws CasemateError `conflict` in use */
  remove(name: string): Promise<void> {
    return this.#transport.done('DELETE', pathOf(name));
  }

  /** For admins: takes away versions, layers and uploads that nothing needs; with `dryRun` it only says which. */
  collect(options: { dryRun?: boolean } = {}): Promise<Collected> {
    return this.#transport.json('POST', '/v1/collect', { json: options });
  }
}

function uploaded(image: object): object {
  return { dockerfile: `FROM ${uploadedImage}\n`, images: { [uploadedImage]: image } };
}

function pathOf(name: string): string {
  return `/v1/templates/${encodeURIComponent(name)}`;
}

function unanswered(): CasemateError {
  return new CasemateError('internal', 'The build ended without an answer.');
}
