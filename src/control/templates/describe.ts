/** Templates as people look at them: what a name means, with its versions, tags and size. */
import type { TemplateInfo } from '../../node/types.ts';
import type { TemplateRow, TemplateVersionRow, TemplateVisibility } from '../../store/templateTypes.ts';
import type { Store } from '../../store/types.ts';
import { defaultTag } from './reference.ts';

export interface VersionInfo extends TemplateVersionRow {
  readonly tags: readonly string[];
}

export interface TemplateDetail extends TemplateInfo {
  readonly aliases: readonly string[];
  readonly visibility: TemplateVisibility;
  readonly versions: readonly VersionInfo[];
}

/** What `latest` points at stands for the template, or else the newest that is ready. */
export function describeTemplate(store: Store, template: TemplateRow, tenantId: string): TemplateDetail {
  const { templates } = store;
  const names = templates.names(template.id);
  const first = names[0]?.name ?? '';
  const tags = templates.tags(template.id);
  const versions = templates.versions(template.id).map((version) => versionInfo(store, version));
  const serving =
    versions.find((version) => version.tags.includes(defaultTag)) ??
    versions.find(({ id }) => tags.some(({ versionId }) => versionId === id));
  return {
    name: template.tenantId === tenantId ? first : `${template.tenantId}/${first}`,
    digest: serving?.digest ?? '',
    ready: serving !== undefined,
    bytes: serving?.bytes ?? 0,
    ...(serving?.finishedAt === undefined ? {} : { builtAt: serving.finishedAt }),
    aliases: names.filter(({ alias }) => alias).map(({ name }) => name),
    visibility: template.visibility,
    versions,
  };
}

export function versionInfo(store: Store, version: TemplateVersionRow): VersionInfo {
  const tags = store.templates.tags(version.templateId).filter(({ versionId }) => versionId === version.id);
  return { ...version, tags: tags.map(({ tag }) => tag) };
}
