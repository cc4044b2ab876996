/** E2B's control plane: templates that are there, with their names, tags and who sees them. */
import type { Static } from '@sinclair/typebox';
import * as rest from '../../../schema/e2b/builds.ts';
import { CasemateError } from '../../base/errors.ts';
import { defaultTag } from '../../control/templates/reference.ts';
import type { TemplateDetail } from '../../control/templates/describe.ts';
import { buildUuid, referenceOf, tagOf, templateNamed, theirTag } from './buildNames.ts';
import { hasSnapshot, templateOf } from './common.ts';
import type { Call, Route, TemplateInfo } from './route.ts';

/** One's own, and those that come with Casemate. */
async function found({ core, principal, id }: Call): Promise<unknown> {
  const reference = referenceOf(id);
  const own = core.images.catalog.findVersion(principal.tenantId, reference);
  if (own !== undefined) return { templateID: templateNamed(id).name, public: false };
  if ((await core.templates()).some(({ name, ready }) => ready && name === reference)) {
    return { templateID: reference, public: true };
  }
  throw new CasemateError('not_found', `template with alias ${id} not found`);
}

function view({ name, digest, builtAt, bytes }: TemplateInfo, own?: TemplateDetail): object {
  const [newest] = own?.versions ?? [];
  return {
    templateID: name,
    buildID: newest === undefined ? digest : buildUuid(newest.id),
    buildStatus: newest?.state === 'building' ? 'building' : 'ready',
    buildCount: own?.versions.length ?? 1,
    cpuCount: newest?.config?.limits?.cpus ?? 1,
    memoryMB: newest?.config?.limits?.memoryMib ?? 512,
    diskSizeMB: Math.ceil(bytes / (1024 * 1024)),
    public: own === undefined || own.visibility === 'public',
    names: [name, ...(own?.aliases ?? [])],
    aliases: [name, ...(own?.aliases ?? [])],
    createdAt: own?.versions.at(-1)?.createdAt ?? builtAt,
    updatedAt: builtAt ?? newest?.createdAt,
    createdBy: null,
    lastSpawnedAt: null,
    spawnCount: 0,
    envdVersion: '',
  };
}

async function list({ core, principal }: Call): Promise<unknown> {
  const shipped = (await core.templates()).filter(({ ready }) => ready);
  return [...shipped.map((one) => view(one)), ...core.images.list(principal).map((own) => view(own, own))];
}

async function describe({ core, principal, id }: Call): Promise<unknown> {
  const { name } = templateNamed(id);
  const shipped = (await core.templates()).find((one) => one.ready && one.name === name);
  if (shipped !== undefined) return { ...view(shipped), builds: [] };
  const own = core.images.describe(principal, name);
  const builds = own.versions.map(({ id: build, state, createdAt, finishedAt, bytes = 0, config }) => ({
    buildID: buildUuid(build),
    status: state === 'failed' ? 'error' : state,
    createdAt,
    updatedAt: finishedAt ?? createdAt,
    ...(finishedAt === undefined ? {} : { finishedAt }),
    cpuCount: config?.limits?.cpus ?? 1,
    memoryMB: config?.limits?.memoryMib ?? 512,
    diskSizeMB: Math.ceil(bytes / (1024 * 1024)),
  }));
  return { ...view(own, own), builds };
}

async function change({ core, principal, id, body }: Call): Promise<unknown> {
  const { public: isPublic } = body as Static<typeof rest.ChangeTemplate>;
  const { name } = templateNamed(id);
  core.images.catalog.setVisibility(principal, name, isPublic ? 'public' : 'private');
  return { names: [name] };
}

/** Snapshots are templates to E2B's clients: what has the name goes. */
async function remove(call: Call): Promise<void> {
  const { core, principal, id } = call;
  if (hasSnapshot(call, templateOf(id))) return core.snapshots.remove(principal, templateOf(id));
  await core.images.remove(principal, templateNamed(id).name);
}

async function assignTags({ core, principal, body }: Call): Promise<unknown> {
  const { target, tags } = body as Static<typeof rest.AssignTags>;
  const { name, tag = defaultTag } = templateNamed(target);
  const version = core.images.describe(principal, name).versions.find((one) => one.tags.includes(tag));
  if (version === undefined) throw new CasemateError('not_found', `There is no template ${target}.`);
  for (const one of tags) core.images.catalog.setTag(principal, name, tagOf(one), version.number);
  return { buildID: buildUuid(version.id), tags };
}

async function removeTags({ core, principal, body }: Call): Promise<void> {
  const { name, tags } = body as Static<typeof rest.RemoveTags>;
  for (const tag of tags) core.images.catalog.removeTag(principal, templateNamed(name).name, tagOf(tag));
}

async function listTags({ core, principal, id }: Call): Promise<unknown> {
  const { versions } = core.images.describe(principal, templateNamed(id).name);
  return versions.flatMap(({ id: build, createdAt, tags }) =>
    tags.map((tag) => ({ tag: theirTag(tag), buildID: buildUuid(build), createdAt })),
  );
}

export const templateRoutes: readonly Route[] = [
  { method: 'GET', path: '/templates/aliases/:id', status: 200, handle: found },
  { method: 'GET', path: '/templates', status: 200, handle: list },
  { method: 'GET', path: '/v2/templates', status: 200, handle: list },
  { method: 'GET', path: '/templates/:id', status: 200, handle: describe },
  { method: 'PATCH', path: '/templates/:id', body: rest.ChangeTemplate, status: 200, handle: change },
  { method: 'PATCH', path: '/v2/templates/:id', body: rest.ChangeTemplate, status: 200, handle: change },
  { method: 'DELETE', path: '/templates/:id', status: 204, handle: remove },
  { method: 'POST', path: '/templates/tags', body: rest.AssignTags, status: 201, handle: assignTags },
  { method: 'DELETE', path: '/templates/tags', body: rest.RemoveTags, status: 204, handle: removeTags },
  { method: 'GET', path: '/templates/:id/tags', status: 200, handle: listTags },
];
