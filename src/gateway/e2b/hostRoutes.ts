/** Templates as E2B's clients ask for them, and what of the control plane Casemate does not have yet: each says so. */
import { CasemateError } from '../../base/errors.ts';
import { unsupported } from './errors.ts';
import type { Call, Route } from './route.ts';

async function findTemplate({ core, id }: Call): Promise<unknown> {
  const found = (await core.templates()).find(({ name, ready }) => ready && name === id);
  if (found === undefined) throw new CasemateError('not_found', `template with alias ${id} not found`);
  return { templateID: found.name, public: true };
}

async function listTemplates({ core }: Call): Promise<unknown> {
  const templates = await core.templates();
  return templates
    .filter(({ ready }) => ready)
    .map(({ name, digest, builtAt }) => ({
      templateID: name,
      buildID: digest,
      public: true,
      names: [name],
      aliases: [name],
      createdAt: builtAt,
      updatedAt: builtAt,
    }));
}

const missing: readonly [feature: string, method: Route['method'], path: string][] = [
  ['building templates', 'POST', '/v3/templates'],
  ['building templates', 'POST', '/v2/templates'],
  ['building templates', 'POST', '/templates'],
  ['building templates', 'POST', '/v2/templates/:id/builds/:build'],
  ['building templates', 'GET', '/templates/:id/builds/:build/status'],
  ['building templates', 'GET', '/templates/:id/files/:hash'],
  ['tags of templates', 'POST', '/templates/tags'],
  ['tags of templates', 'DELETE', '/templates/tags'],
  ['tags of templates', 'GET', '/templates/:id/tags'],
  ['volumes', 'GET', '/volumes'],
  ['volumes', 'POST', '/volumes'],
  ['volumes', 'GET', '/volumes/:id'],
  ['volumes', 'DELETE', '/volumes/:id'],
  ['secrets', 'GET', '/secrets'],
  ['secrets', 'POST', '/secrets'],
  ['secrets', 'GET', '/secrets/:id'],
  ['secrets', 'POST', '/secrets/:id'],
  ['secrets', 'DELETE', '/secrets/:id'],
  ['webhooks', 'GET', '/events/webhooks'],
  ['webhooks', 'POST', '/events/webhooks'],
];

export const hostRoutes: readonly Route[] = [
  { method: 'GET', path: '/templates/aliases/:id', status: 200, handle: findTemplate },
  { method: 'GET', path: '/templates', status: 200, handle: listTemplates },
  ...missing.map(
    ([feature, method, path]): Route => ({
      method,
      path,
      status: 501,
      handle: async () => {
        throw unsupported(feature);
      },
    }),
  ),
];
