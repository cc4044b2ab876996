/** Names of templates, tags and builds, as E2B's clients write them. */
import { Value } from '@sinclair/typebox/value';
import { AskedBuild } from '../../../schema/e2b/builds.ts';
import { CasemateError } from '../../base/errors.ts';
import { newId } from '../../base/ids.ts';

/** E2B's name of the tag that a template without one has, and Casemate's. */
const defaultTags = { theirs: 'default', ours: 'latest' } as const;

/** E2B's own names of templates and images that are called otherwise here. */
const names: Readonly<Record<string, string>> = { 'code-interpreter-v1': 'code-interpreter' };
const images: Readonly<Record<string, string>> = {
  'e2bdev/base': 'base',
  'e2bdev/code-interpreter': 'code-interpreter',
  'e2bdev/desktop': 'desktop',
};

export interface NamedTemplate {
  readonly name: string;
  /** Undefined where none was written. */
  readonly tag?: string;
}

/** `name`, `name:tag`, `team/name:tag`. */
export function templateNamed(text: string): NamedTemplate {
  const [name = '', tag] = text.trim().toLowerCase().split(':');
  const known = names[name] ?? name;
  return tag === undefined ? { name: known } : { name: known, tag: tagOf(tag) };
}

/** As the core writes it: what has the default tag has none. */
export function referenceOf(text: string): string {
  const { name, tag = defaultTags.ours } = templateNamed(text);
  return tag === defaultTags.ours ? name : `${name}:${tag}`;
}

export function tagOf(theirs: string): string {
  return theirs === defaultTags.theirs ? defaultTags.ours : theirs;
}

export function theirTag(ours: string): string {
  return ours === defaultTags.ours ? defaultTags.theirs : ours;
}

/** What stands behind FROM for an image: E2B's own are Casemate's templates. @throws CasemateError `invalid_request` */
export function fromOf(image: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9._/:@-]{0,511}$/.test(image))
    throw new CasemateError('invalid_request', `${JSON.stringify(image)} is not the name of an image.`);
  const own = images[image.replace(/^docker\.io\//, '').replace(/:latest$/, '')];
  return own === undefined ? image.replace(/^docker\.io\//, '') : `template://${own}`;
}

/** E2B's ids of builds are UUIDs, and one of its clients reads them as such: the core's id is a number in one. */
export function buildUuid(id: string): string {
  const number = [...id].reduce((sum, digit) => sum * 36n + BigInt(Number.parseInt(digit, 36)), 0n);
  const hex = number.toString(16).padStart(30, '0');
  const digits = `${hex.slice(0, 12)}8${hex.slice(12, 15)}8${hex.slice(15)}`; // version 8: of one's own making
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

function idOfUuid(uuid: string): string {
  const digits = uuid.replaceAll('-', '');
  const number = BigInt(`0x${digits.slice(0, 12)}${digits.slice(13, 16)}${digits.slice(17)}`);
  return number.toString(36).padStart(20, '0');
}

/** The core's id, and what was asked for behind it. */
export function newBuildId(asked: AskedBuild): string {
  const id = buildUuid(newId());
  return Object.keys(asked).length === 0
    ? id
    : `${id}.${Buffer.from(JSON.stringify(asked)).toString('base64url')}`;
}

/** @throws CasemateError `not_found` for what no call has answered */
export function readBuildId(text: string): AskedBuild & { readonly id: string } {
  const [, uuid, asked] = /^([0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})(?:\.([\w-]+))?$/.exec(text) ?? [];
  const none = new CasemateError('not_found', `There is no build ${text.slice(0, 100)}.`);
  if (uuid === undefined) throw none;
  const id = idOfUuid(uuid);
  if (buildUuid(id) !== uuid || id.length !== 20) throw none;
  if (asked === undefined) return { id };
  try {
    const read: unknown = JSON.parse(Buffer.from(asked, 'base64url').toString());
    if (Value.Check(AskedBuild, read)) return { id, ...read };
  } catch {
    // as one that is not what a client was given
  }
  throw none;
}
