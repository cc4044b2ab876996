/** Checks what the server asks of the root half of builds, before anything is done with it. */
import { posix } from 'node:path';
import { CasemateError } from '../base/errors.ts';
import { layersMax } from '../image/layers.ts';
import type { RootImageSource, RootLayerSource, RootMethods } from './protocol.ts';

type Fields = Readonly<Record<string, unknown>>;

const layerPattern = /^(template-)?[0-9a-f]{64}$/;
const repositoryPattern = /^[a-z0-9]+([._/-]+[a-z0-9]+)*$/;
const referencePattern = /^(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?$/;
const sourcesMax = 64;

function refuse(what: string): never {
  throw new CasemateError('invalid_request', `${what} is not what a build can have.`);
}

function text(value: unknown, pattern: RegExp, what: string): string {
  return typeof value === 'string' && value.length <= 512 && pattern.test(value) ? value : refuse(what);
}

function fields(value: unknown, what: string): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Fields)
    : refuse(what);
}

function list(value: unknown, most: number, what: string): readonly unknown[] {
  return Array.isArray(value) && value.length <= most ? value : refuse(what);
}

export function digestOf(value: unknown): string {
  return text(value, /^[0-9a-f]{64}$/, 'digest');
}

export function layersOf(value: unknown): string[] {
  return list(value, layersMax, 'layers').map((layer) => text(layer, layerPattern, 'a layer'));
}

export function pullParams(params: Fields): { source: RootImageSource } {
  const source = fields(params.source, 'source');
  if (source.kind === 'scratch') return { source: { kind: 'scratch' } };
  if (source.kind === 'archive' || source.kind === 'layout')
    return { source: { kind: source.kind, id: text(source.id, /^[a-z0-9]{20}$/, 'id') } };
  return {
    source: {
      kind: 'registry',
      registry: text(source.registry, /^[a-z0-9.:-]+$/, 'registry'),
      repository: text(source.repository, repositoryPattern, 'repository'),
      reference: text(source.reference, referencePattern, 'reference'),
    },
  };
}

export function startParams(params: Fields): Omit<RootMethods['startLayer']['params'], 'limits'> {
  const sources = Object.entries(fields(params.sources, 'sources')).map(
    ([name, source]) => [text(name, /^[a-z0-9-]{1,32}$/, 'a source'), sourceOf(source)] as const,
  );
  if (sources.length > sourcesMax) refuse('sources');
  const caches = list(params.caches, sourcesMax, 'caches').map((cache) => {
    const { id, target } = fields(cache, 'a cache');
    return { id: digestOf(id), target: targetOf(target) };
  });
  return { layers: layersOf(params.layers), sources: Object.fromEntries(sources), caches };
}

function sourceOf(value: unknown): RootLayerSource {
  const source = fields(value, 'a source');
  if (source.layers !== undefined) return { layers: layersOf(source.layers) };
  return { context: text(source.context, /^[a-z0-9]{20}$/, 'context') };
}

/** The runtime mounts there, inside of the sandbox. */
function targetOf(value: unknown): string {
  const target = text(value, /^\/[^\0]+$/, 'target');
  return posix.normalize(target) === target ? target : refuse('target');
}

export function collectParams(params: Fields): RootMethods['collectImages']['params'] {
  const digests = (value: unknown, what: string): string[] => list(value, 10_000, what).map(digestOf);
  const keepLayers = list(params.keepLayers, 10_000, 'keepLayers').map((layer) =>
    text(layer, layerPattern, 'a layer'),
  );
  return { keepImages: digests(params.keepImages, 'keepImages'), keepLayers, dryRun: params.dryRun === true };
}
