/** What a build is asked for, and what an image says of itself. */
import type { EgressPolicy } from '../../../schema/policy.ts';
import { CasemateError } from '../../base/errors.ts';
import type { ImageSource } from '../../node/types.ts';
import type { StartCommand, TemplateConfig } from '../../store/templateTypes.ts';

/** A request to build a template out of a Dockerfile; every other form of source is written as one. */
export interface BuildRequest {
  readonly name: string;
  /** Of the build: 20 lower-case letters and digits that no other has; made here by default. */
  readonly id?: string;
  /** Moved to what was built, when it was; `latest` by default. */
  readonly tag?: string;
  /** Moved to it as well. */
  readonly moreTags?: readonly string[];
  readonly dockerfile: string;
  /** SHA-256 of the build context's list of entries, which was uploaded as they were. */
  readonly context?: string;
  readonly buildArgs?: Readonly<Record<string, string>>;
  /** The stage that is built; the last by default. */
  readonly target?: string;
  /** Images by names that only this build knows: an archive that was uploaded, or a list of an OCI layout's entries. */
  readonly images?: Readonly<Record<string, { readonly archive?: string; readonly layout?: string }>>;
  /** What RUN may reach; nothing by default. */
  readonly policy?: EgressPolicy;
  /** The policy is the server's operator's, whoever asks: a gateway made it, never a caller wrote it. */
  readonly policyIsOperators?: boolean;
  readonly start?: StartCommand;
  /** What sandboxes of the template get that ask for none. */
  readonly sandboxLimits?: TemplateConfig['limits'];
  /** Of each step. */
  readonly limits?: { readonly cpus?: number; readonly memoryMib?: number };
  readonly noCache?: boolean;
}

const componentPattern = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const registryPattern = /^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::\d{1,5})?$/;
const referencePattern = /^(?:([^@]+?)(?::([A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?)(?:@(sha256:[0-9a-f]{64}))?$/;

/**
 * Where `python:3.12` or `registry.example:5000/team/app@sha256:…` is pulled from. A first part with a dot or a colon, or
 * `localhost`, is a registry; names without one are the hub's, and there the ones of one part are the library's.
 */
export function imageReference(text: string): ImageSource | undefined {
  const [, path, tag, digest] = referencePattern.exec(text) ?? [];
  if (path === undefined) return undefined;
  const parts = path.split('/');
  const first = parts[0] ?? '';
  const hasRegistry = parts.length > 1 && (/[.:]/.test(first) || first === 'localhost');
  const registry = hasRegistry ? first : 'hub';
  if (!registryPattern.test(registry)) return undefined;
  const rest = hasRegistry ? parts.slice(1) : parts.length === 1 ? ['library', ...parts] : parts;
  if (!rest.every((part) => componentPattern.test(part))) return undefined;
  const reference = digest === undefined ? `:${tag ?? 'latest'}` : `@${digest}`;
  return { kind: 'registry', registry, repository: rest.join('/'), reference };
}

/** What of an image's configuration matters here; it came from a stranger. @throws CasemateError `build_failed` */
export function configOf(
  json: string,
): TemplateConfig & { readonly shell?: readonly string[]; onBuild: boolean } {
  const whole = record(parse(json));
  const config = record(whole.config);
  const env = texts(config.Env).flatMap((pair): [string, string][] => {
    const at = pair.indexOf('=');
    return at < 1 ? [] : [[pair.slice(0, at), pair.slice(at + 1)]];
  });
  const user = String(config.User ?? '').split(':')[0] ?? '';
  const workdir = String(config.WorkingDir ?? '');
  const health = texts(record(config.Healthcheck).Test);
  return {
    env: Object.fromEntries(env),
    user,
    labels: Object.fromEntries(
      Object.entries(record(config.Labels)).map(([name, value]) => [name, String(value)]),
    ),
    ports: Object.keys(record(config.ExposedPorts)),
    ...(workdir.startsWith('/') ? { workdir } : {}),
    ...(Array.isArray(config.Entrypoint) ? { entrypoint: texts(config.Entrypoint) } : {}),
    ...(Array.isArray(config.Cmd) ? { cmd: texts(config.Cmd) } : {}),
    ...(health[0]?.startsWith('CMD') ? { healthcheck: health.slice(1).join(' ') } : {}),
    ...(Array.isArray(config.Shell) ? { shell: texts(config.Shell) } : {}),
    onBuild: Array.isArray(config.OnBuild) && config.OnBuild.length > 0,
  };
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch (cause) {
    throw new CasemateError('build_failed', 'The image’s configuration is no JSON.', { cause });
  }
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : {};
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}

/** A build's sandboxes are given no authority of the proxy's, which would stay in the layer. */
export function checkBuildPolicy(policy: EgressPolicy | undefined): void {
  for (const rule of policy?.allow ?? []) {
    if (!('host' in rule)) continue;
    if (rule.methods ?? rule.paths ?? rule.headers ?? rule.inspect)
      throw new CasemateError(
        'invalid_request',
        'The policy of a build allows hosts and ports, no requests.',
      );
  }
}
