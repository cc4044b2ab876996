/** The content-addressed store of templates: `templates/<digest>/rootfs`, where a definition's digest says which. */
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from '../base/child.ts';
import { CasemateError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import { type BuildProgress, buildRootfs } from './build.ts';
import { definitionNames, digestOf, readDefinition, type StartCommand } from './definition.ts';

export interface StoredTemplate {
  readonly name: string;
  /** SHA-256 of the definition. */
  readonly digest: string;
  /** False where it was never built, or where its definition changed since. */
  readonly ready: boolean;
  readonly bytes: number;
  readonly builtAt?: string;
  /** Memory of a sandbox that asks for none, where it is not the usual. */
  readonly memoryMib?: number;
  /** What each of its sandboxes has running. */
  readonly start?: StartCommand;
}

interface Manifest {
  readonly name: string;
  readonly digest: string;
  readonly bytes: number;
  readonly builtAt: string;
  readonly start?: StartCommand;
}

const building = new Map<string, Promise<StoredTemplate>>();

function templatesDir(storeDir: string): string {
  return join(storeDir, 'templates');
}

/** All shipped templates, built or not. */
export async function listTemplates(storeDir: string): Promise<StoredTemplate[]> {
  const names = await definitionNames();
  return Promise.all(names.sort().map((name) => inspectTemplate(storeDir, name)));
}

async function inspectTemplate(storeDir: string, name: string): Promise<StoredTemplate> {
  const definition = await readDefinition(name);
  const digest = digestOf(definition);
  const { memoryMib, start } = definition;
  const own = {
    name,
    digest,
    ...(memoryMib === undefined ? {} : { memoryMib }),
    ...(start === undefined ? {} : { start }),
  };
  const manifest = await readManifest(join(templatesDir(storeDir), digest));
  if (manifest === undefined) return { ...own, ready: false, bytes: 0 };
  return { ...own, ready: true, bytes: manifest.bytes, builtAt: manifest.builtAt };
}

async function readManifest(directory: string): Promise<Manifest | undefined> {
  const text = await readFile(join(directory, 'manifest.json'), 'utf8').catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as Manifest);
}

/**
 * The read-only root of a template that is ready.
 * @throws CasemateError `not_found`, `template_not_ready`
 */
export async function templateRoot(
  storeDir: string,
  name: string,
): Promise<{ digest: string; root: string }> {
  const template = await inspectTemplate(storeDir, name);
  if (!template.ready) {
    throw new CasemateError('template_not_ready', `Template ${name} is not built yet.`, {
      hint: `Build it first: \`casemate template build ${name}\`.`,
    });
  }
  return { digest: template.digest, root: join(templatesDir(storeDir), template.digest, 'rootfs') };
}

/** The root of a template that a snapshot was taken on. @throws CasemateError `snapshot_mismatch` where it is gone. */
export function builtRoot(storeDir: string, digest: string): string {
  const root = join(templatesDir(storeDir), digest, 'rootfs');
  if (/^[0-9a-f]{64}$/.test(digest) && existsSync(root)) return root;
  throw new CasemateError(
    'snapshot_mismatch',
    'The template that this was started from is not here any more.',
  );
}

/** What runs in sandboxes of a built template before anybody gets one; undefined where nothing does. */
export async function startOf(storeDir: string, digest: string): Promise<StartCommand | undefined> {
  return (await readManifest(join(templatesDir(storeDir), digest)))?.start;
}

export interface BuildOptions {
  readonly storeDir: string;
  readonly name: string;
  readonly onProgress?: (progress: BuildProgress) => void;
}

/** Builds it unless its definition is unchanged; two callers share one build. On failure nothing is left. */
export async function buildTemplate({ storeDir, name, onProgress }: BuildOptions): Promise<StoredTemplate> {
  const present = await inspectTemplate(storeDir, name);
  if (present.ready) return present;
  const key = `${storeDir}/${present.digest}`;
  const work = building.get(key) ?? build(storeDir, name, onProgress ?? (() => {}));
  building.set(key, work);
  return work.finally(() => building.delete(key));
}

async function build(
  storeDir: string,
  name: string,
  onProgress: (progress: BuildProgress) => void,
): Promise<StoredTemplate> {
  const definition = await readDefinition(name);
  const digest = digestOf(definition);
  const target = join(templatesDir(storeDir), digest);
  const partial = `${target}.${process.pid}.partial`;
  await mkdir(templatesDir(storeDir), { recursive: true, mode: 0o711 });
  await sweep(storeDir);
  await removeTree(partial);
  await mkdir(partial, { mode: 0o711 });
  try {
    onProgress({
      phase: 'start',
      percent: 0,
      message: `building ${name} from ${definition.packages.length} packages`,
    });
    const root = join(partial, 'rootfs');
    await buildRootfs(definition, root, onProgress);
    // The runtime would put an empty /tmp into memory; with a file in it, it stays on the sandbox's bounded disk.
    await writeFile(join(root, 'tmp/.keep'), '');
    const { stdout } = await runCommand(['du', '-sb', root]);
    const manifest: Manifest = {
      name,
      digest,
      bytes: Number.parseInt(stdout, 10),
      builtAt: new Date().toISOString(),
      ...(definition.start === undefined ? {} : { start: definition.start }),
    };
    await writeFile(join(partial, 'manifest.json'), JSON.stringify(manifest));
    await publish(partial, target);
    onProgress({ phase: 'done', percent: 100, message: `${name} is ready` });
    return await inspectTemplate(storeDir, name);
  } catch (cause) {
    await removeTree(partial);
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CasemateError('template_not_ready', `Template ${name} could not be built: ${reason}`, {
      cause,
    });
  }
}

/** Makes it appear whole. Where another process was faster, its build of the same definition stays. */
async function publish(partial: string, target: string): Promise<void> {
  try {
    await rename(partial, target);
  } catch (error) {
    if (!existsSync(join(target, 'manifest.json'))) throw error;
    await removeTree(partial);
  }
}

/**
 * Removes a built template. Sandboxes that run from it keep their files: it only loses its name here, and goes when
 * nothing has it mounted any more. One that is not there is removed already.
 */
export async function removeTemplate(storeDir: string, name: string): Promise<void> {
  const { digest } = await inspectTemplate(storeDir, name);
  const target = join(templatesDir(storeDir), digest);
  if (existsSync(target)) await rename(target, `${target}.${newId(8)}.removed`);
  await sweep(storeDir);
}

/** Takes away what a builder that died left half-made, and removed templates that nothing has mounted any more. */
export async function sweep(storeDir: string): Promise<void> {
  const mounts = await readFile('/proc/self/mountinfo', 'utf8');
  for (const name of await readdir(templatesDir(storeDir)).catch(() => [])) {
    const builder = /\.(\d+)\.partial$/.exec(name)?.[1];
    const abandoned = builder !== undefined && !existsSync(`/proc/${builder}`);
    const unused = name.endsWith('.removed') && !mounts.includes(`/${name}/`);
    if (abandoned || unused) await removeTree(join(templatesDir(storeDir), name));
  }
}

/** Never crosses into another file system, whatever may be mounted inside. */
async function removeTree(directory: string): Promise<void> {
  await runCommand(['rm', '-rf', '--one-file-system', directory], { timeoutMs: 120_000 });
}
