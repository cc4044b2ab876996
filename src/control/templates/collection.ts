/** What of tenants' templates goes when nobody needs it: versions, layers, uploads. */
import { imageName } from '../../base/imageName.ts';
import type { SandboxNode } from '../../node/types.ts';
import type { TemplateRow, TemplateVersionRow } from '../../store/templateTypes.ts';
import type { Store } from '../../store/types.ts';
import type { Clock } from '../clock.ts';
import { liveStates } from '../state.ts';
import type { Blobs } from './blobs.ts';
import type { TemplatePools } from './pools.ts';

export interface Collected {
  /** `name:number` of versions that nothing points at or runs from. */
  readonly versions: readonly string[];
  readonly layers: number;
  readonly uploads: number;
  readonly bytes: number;
}

export interface CollectionOptions {
  readonly store: Store;
  readonly node: SandboxNode;
  readonly clock: Clock;
  readonly blobs: Blobs;
  readonly pools: TemplatePools;
  /** What builds under way need. */
  readonly buildLayers: () => readonly string[];
}

interface Existing {
  readonly template: TemplateRow;
  readonly version: TemplateVersionRow;
}

const uploadsKeptMs = 24 * 3_600_000;

export class Collection {
  readonly #options: CollectionOptions;

  constructor(options: CollectionOptions) {
    this.#options = options;
  }

  /** Versions that something runs from or starts from, and what. */
  used(): Map<string, string> {
    const { store, pools } = this.#options;
    const used = new Map<string, string>();
    for (const id of store.snapshots.templateVersionIds()) used.set(id, 'has a snapshot');
    for (const row of store.sandboxes.inStates(liveStates))
      if (row.templateVersionId !== undefined) used.set(row.templateVersionId, 'has a sandbox');
    const warm = pools.nodeNames();
    for (const version of store.templates.versionsInState('ready'))
      if (version.digest !== undefined && warm.has(imageName(version.digest)))
        used.set(version.id, 'has a warm pool');
    return used;
  }

  /** Takes away versions that no tag points at, or pointed at just before, and that nothing uses; with their layers. */
  async collect(dryRun: boolean): Promise<Collected> {
    const { store, clock, blobs, buildLayers } = this.#options;
    const keep = new Set(this.used().keys());
    for (const { id } of store.templates.list())
      for (const tag of store.templates.tags(id)) {
        keep.add(tag.versionId);
        if (tag.previous[0] !== undefined) keep.add(tag.previous[0]);
      }
    const all = this.#versions();
    const going = all.filter(({ version }) => version.state !== 'building' && !keep.has(version.id));
    const staying = all.filter(({ version }) => keep.has(version.id));
    if (!dryRun) for (const { version } of going) store.templates.removeVersion(version.id);
    const gone = await this.#collectFiles(staying, buildLayers(), dryRun);
    const uploads = await blobs.collect(clock.now() - uploadsKeptMs, dryRun);
    return {
      versions: going.map(
        ({ template, version }) => `${store.templates.names(template.id)[0]?.name ?? ''}:${version.number}`,
      ),
      layers: gone.layers.length,
      uploads: uploads.blobs,
      bytes: gone.bytes + uploads.bytes,
    };
  }

  /** Takes away layers, and definitions of templates, that no row names; `young` ones stay. */
  async collectOwnerless(young: readonly string[]): Promise<void> {
    const { store, buildLayers } = this.#options;
    const owned = store.buildFiles.list().flatMap(({ kind, id }) => (kind === 'layer' ? [id] : []));
    await this.#collectFiles(this.#versions(), [...owned, ...buildLayers(), ...young], false);
  }

  #versions(): readonly Existing[] {
    const { templates } = this.#options.store;
    return templates
      .list()
      .flatMap((template) => templates.versions(template.id).map((version) => ({ template, version })));
  }

  async #collectFiles(staying: readonly Existing[], layers: readonly string[], dryRun: boolean) {
    const { node, store } = this.#options;
    const keepImages = [...new Set(staying.flatMap(({ version }) => version.digest ?? []))];
    const keepLayers = [...new Set(layers)];
    const gone = await node.builds.collect({ keepImages, keepLayers, dryRun });
    if (!dryRun) for (const digest of gone.layers) store.buildFiles.remove('layer', digest);
    return gone;
  }
}
