/** What a template is made of, and the digest that says whether it has to be made again. */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CasemateError } from '../base/errors.ts';

export interface TemplateDefinition {
  readonly name: string;
  /** Debian's name of the release. */
  readonly suite: string;
  readonly packages: readonly string[];
  /** The user that programs run as by default. */
  readonly user: { readonly name: string; readonly uid: number; readonly sudo: boolean };
  /** Python that is run once as the user, so that caches are made at build time and not in every sandbox. */
  readonly warmUp?: string;
  /** Python wheels that Debian has not, laid into `/opt/wheels`. */
  readonly wheels?: readonly Wheel[];
  /** Files of the folder beside the definition that has its name, by their path in the template. */
  readonly files?: Readonly<Record<string, string>>;
  /** Symbolic links by their path in the template, and what they lead to. */
  readonly links?: Readonly<Record<string, string>>;
  readonly start?: StartCommand;
  /** Memory of its sandboxes that ask for none, where what runs in them needs more than usual. */
  readonly memoryMib?: number;
}

export interface Wheel {
  /** Name and version as pip takes them: `deno==2.9.8`. */
  readonly requirement: string;
  /** SHA-256 of the wheel of each processor. */
  readonly sha256: readonly string[];
}

/** A program that runs in every sandbox of the template before anybody gets it. */
export interface StartCommand {
  readonly argv: readonly string[];
  /** It is ready when something listens on this TCP port. */
  readonly readyPort: number;
}

const folder = new URL('./templates/', import.meta.url);
const namePattern = /^[a-z0-9][a-z0-9-]{0,62}$/;
/** Raised when the builder makes something else of the same definition. */
const builderVersion = 5;

/** @throws CasemateError `not_found` for a name that is not shipped. */
export async function readDefinition(name: string): Promise<TemplateDefinition> {
  if (!namePattern.test(name)) throw notFound(name);
  let definition: TemplateDefinition;
  try {
    definition = JSON.parse(await readFile(new URL(`${name}.json`, folder), 'utf8')) as TemplateDefinition;
  } catch {
    throw notFound(name);
  }
  const files = await readFiles(new URL(`${name}/`, folder));
  return Object.keys(files).length === 0 ? definition : { ...definition, files };
}

/** Texts below a folder by their absolute path in the template; none where there is no such folder. */
async function readFiles(overlay: URL): Promise<Record<string, string>> {
  const entries = await readdir(overlay, { recursive: true, withFileTypes: true }).catch(() => []);
  const root = fileURLToPath(overlay);
  const files: Record<string, string> = {};
  for (const entry of entries) {
    if (!entry.isFile() || entry.parentPath.endsWith('__pycache__')) continue;
    const path = join(entry.parentPath, entry.name);
    files[`/${relative(root, path)}`] = await readFile(path, 'utf8');
  }
  return files;
}

/** Names of all shipped templates. */
export async function definitionNames(): Promise<string[]> {
  const files = await readdir(folder);
  return files.filter((file) => file.endsWith('.json')).map((file) => file.slice(0, -'.json'.length));
}

/** SHA-256 of the definition in a form that does not depend on the order of its fields. */
export function digestOf(definition: TemplateDefinition): string {
  return createHash('sha256')
    .update(JSON.stringify([builderVersion, canonical(definition)]))
    .digest('hex');
}

function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(canonical);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, canonical(inner)]),
  );
}

function notFound(name: string): CasemateError {
  return new CasemateError('not_found', `There is no template named ${JSON.stringify(name.slice(0, 64))}.`);
}
