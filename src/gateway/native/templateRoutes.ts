/** Routes of templates that tenants build: uploads, builds with their logs, names, tags, versions. */
import type { Static } from '@sinclair/typebox';
import { Readable } from 'node:stream';
import * as api from '../../../schema/api.ts';
import * as shapes from '../../../schema/templates.ts';
import { CasemateError } from '../../base/errors.ts';
import type { LogLine } from '../../control/templates/buildLog.ts';
import type { Build } from '../../control/templates/templates.ts';
import type { Call, Route } from './route.ts';
import { templateView, versionView } from './templateViews.ts';

const templateParams = { template: api.TemplateName };
const tagParams = { ...templateParams, tag: shapes.Tag };
const aliasParams = { ...templateParams, alias: api.TemplateName };
const buildParams = { buildId: shapes.BuildId };
const ndjson = 'application/x-ndjson';

/** The log as it comes, one JSON object a line; the last is `done` or `error`. The build goes on without its reader. */
async function startBuild(call: Call): Promise<unknown> {
  const { core, principal, body, reply, signal } = call;
  const build = await core.images.build(principal, body as Static<typeof shapes.StartBuild>);
  reply.type(ndjson);
  return Readable.from(linesOf(call, build, build.log.follow(0, signal), true), { objectMode: false });
}

async function* linesOf(
  { core }: Call,
  build: Build,
  lines: AsyncIterable<LogLine>,
  untilEnd: boolean,
): AsyncGenerator<string> {
  yield `${JSON.stringify({ type: 'build', id: build.id })}\n`;
  for await (const line of lines) yield `${JSON.stringify({ type: 'log', ...line })}\n`;
  if (!untilEnd) return;
  const version = await build.ended;
  if (version.state === 'ready')
    yield `${JSON.stringify({ type: 'done', version: versionView(core.images.versionInfo(version)) })}\n`;
  else {
    const error = new CasemateError('build_failed', version.error ?? 'The build failed.');
    yield `${JSON.stringify({ type: 'error', ...error.toBody() })}\n`;
  }
}

function buildView({ core, principal, params }: Call): Static<typeof shapes.Build> {
  const { build, version, name } = core.images.find(principal, params.buildId ?? '');
  const percent = build?.log.percent ?? (version.state === 'building' ? 0 : 100);
  return { id: version.id, template: name, percent, version: versionView(core.images.versionInfo(version)) };
}

async function readLog(call: Call): Promise<unknown> {
  const { from = 0, follow = false } = call.query as Static<typeof shapes.LogQuery>;
  const { build } = call.core.images.find(call.principal, call.params.buildId ?? '');
  if (build === undefined)
    throw new CasemateError('not_found', 'The log of that build is not kept any more.');
  const lines = follow ? build.log.follow(from, call.signal) : Readable.from(build.log.slice(from));
  call.reply.type(ndjson);
  return Readable.from(linesOf(call, build, lines, follow), { objectMode: false });
}

export const templateRoutes: readonly Route[] = [
  {
    method: 'POST',
    path: '/v1/blobs/missing',
    summary: 'Tell which uploads of a build are not there yet',
    body: shapes.FindMissing,
    status: 200,
    answer: shapes.Missing,
    handle: async ({ core, principal, body }) => {
      const { digests } = body as Static<typeof shapes.FindMissing>;
      return { missing: await core.images.missingUploads(principal, digests) };
    },
  },
  {
    method: 'PUT',
    path: '/v1/blobs/{sha256}',
    summary: 'Upload a file that builds copy, by its SHA-256',
    params: { sha256: shapes.Sha256 },
    body: 'bytes',
    status: 204,
    handle: async ({ core, principal, params, body }) => {
      const bytes = body instanceof Readable ? body : Readable.from([]);
      await core.images.upload(principal, params.sha256 ?? '', bytes);
    },
  },
  {
    method: 'POST',
    path: '/v1/builds',
    summary: 'Build a template out of a Dockerfile; its log streams',
    body: shapes.StartBuild,
    status: 200,
    answer: ndjson,
    handle: startBuild,
  },
  {
    method: 'GET',
    path: '/v1/builds/{buildId}',
    summary: 'Tell how far a build is',
    params: buildParams,
    status: 200,
    answer: shapes.Build,
    handle: async (call) => buildView(call),
  },
  {
    method: 'GET',
    path: '/v1/builds/{buildId}/log',
    summary: 'Read or follow the log of a build',
    params: buildParams,
    query: shapes.LogQuery,
    status: 200,
    answer: ndjson,
    handle: readLog,
  },
  {
    method: 'DELETE',
    path: '/v1/builds/{buildId}',
    summary: 'Cancel a build',
    params: buildParams,
    status: 204,
    handle: ({ core, principal, params }) => core.images.cancel(principal, params.buildId ?? ''),
  },
  {
    method: 'GET',
    path: '/v1/templates/{template}',
    summary: 'Describe a template with its versions',
    params: templateParams,
    status: 200,
    answer: shapes.TemplateDetail,
    handle: async ({ core, principal, params }) =>
      templateView(core.images.describe(principal, params.template ?? '')),
  },
  {
    method: 'PUT',
    path: '/v1/templates/{template}/visibility',
    summary: 'Show a template to all tenants, or not',
    params: templateParams,
    body: shapes.ChangeTemplate,
    status: 204,
    handle: async ({ core, principal, params, body }) => {
      const { visibility } = body as Static<typeof shapes.ChangeTemplate>;
      core.images.catalog.setVisibility(principal, params.template ?? '', visibility);
    },
  },
  {
    method: 'PUT',
    path: '/v1/templates/{template}/aliases/{alias}',
    summary: 'Give a template another name',
    params: aliasParams,
    status: 204,
    handle: async ({ core, principal, params }) =>
      core.images.catalog.addAlias(principal, params.template ?? '', params.alias ?? ''),
  },
  {
    method: 'DELETE',
    path: '/v1/templates/{template}/aliases/{alias}',
    summary: 'Take another name of a template away',
    params: aliasParams,
    status: 204,
    handle: async ({ core, principal, params }) =>
      core.images.catalog.removeAlias(principal, params.template ?? '', params.alias ?? ''),
  },
  {
    method: 'PUT',
    path: '/v1/templates/{template}/tags/{tag}',
    summary: 'Point a tag at a version, in one step',
    params: tagParams,
    body: shapes.SetTag,
    status: 204,
    handle: async ({ core, principal, params, body }) => {
      const { version } = body as Static<typeof shapes.SetTag>;
      core.images.catalog.setTag(principal, params.template ?? '', params.tag ?? '', version);
    },
  },
  {
    method: 'POST',
    path: '/v1/templates/{template}/tags/{tag}/rollback',
    summary: 'Point a tag at the version before',
    params: tagParams,
    status: 200,
    answer: shapes.RolledBack,
    handle: async ({ core, principal, params }) => ({
      version: core.images.catalog.rollBack(principal, params.template ?? '', params.tag ?? ''),
    }),
  },
  {
    method: 'DELETE',
    path: '/v1/templates/{template}/tags/{tag}',
    summary: 'Remove a tag',
    params: tagParams,
    status: 204,
    handle: async ({ core, principal, params }) =>
      core.images.catalog.removeTag(principal, params.template ?? '', params.tag ?? ''),
  },
  {
    method: 'POST',
    path: '/v1/collect',
    summary: 'Take away versions of templates, layers and uploads that nothing needs',
    body: shapes.Collect,
    status: 200,
    answer: shapes.Collected,
    handle: ({ core, principal, body }) => {
      const { dryRun } = body as Static<typeof shapes.Collect>;
      return core.images.collect(principal, dryRun ?? false);
    },
  },
];
