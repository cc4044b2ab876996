/** Routes of ports that are visited from outside: signed URLs that run out, and ports that everybody may visit. */
import type { Static } from '@sinclair/typebox';
import type { TLSSocket } from 'node:tls';
import { SandboxId } from '../../../schema/api.ts';
import * as api from '../../../schema/ports.ts';
import { CasemateError } from '../../base/errors.ts';
import { domainOf } from '../domain.ts';
import { previewParameter } from '../previewToken.ts';
import type { Call, Route } from './route.ts';

const params = { sandboxId: SandboxId, port: api.PortNumber };
const path = '/v1/sandboxes/{sandboxId}/ports/{port}';

function placeOf({ params: given }: Call): { id: string; port: number } {
  return { id: given.sandboxId ?? '', port: Number(given.port) };
}

/** @throws CasemateError `unsupported` where the server is asked by an address: below one there are no names. */
function urlOf(call: Call): URL {
  const { id, port } = placeOf(call);
  call.core.sandboxes.get(call.principal, id); // who may not know of it learns nothing of the server either
  const { raw } = call.request;
  const domain = domainOf(raw, call.domain);
  if (/^[\d.]+(:\d+)?$|^\[/.test(domain)) {
    throw new CasemateError('unsupported', `There are no names below ${domain}.`, {
      hint: 'Start the server with --domain, or ask it by its name.',
    });
  }
  const isSecure =
    raw.headers[':scheme'] === 'https' || (raw.socket as Partial<TLSSocket>).encrypted === true;
  return new URL(`${isSecure ? 'https' : 'http'}://${port}-${id}.${domain}/`);
}

async function sign(call: Call): Promise<Static<typeof api.Preview>> {
  const { id, port } = placeOf(call);
  const url = urlOf(call);
  const { expiresInMs } = (call.body ?? {}) as Static<typeof api.SignPreview>;
  const { token, expiresAt } = call.core.previews.sign(call.principal, id, port, expiresInMs);
  url.search = `${previewParameter}=${token}`;
  return { url: url.href, expiresAt };
}

async function publish(call: Call): Promise<Static<typeof api.Preview>> {
  const { id, port } = placeOf(call);
  const url = urlOf(call);
  call.core.previews.publish(call.principal, id, port, true);
  return { url: url.href };
}

async function unpublish(call: Call): Promise<void> {
  const { id, port } = placeOf(call);
  call.core.previews.publish(call.principal, id, port, false);
}

export const previewRoutes: readonly Route[] = [
  {
    method: 'POST',
    path: `${path}/preview`,
    summary: 'Make a URL that opens a port until it runs out or the sandbox ends',
    params,
    body: api.SignPreview,
    status: 200,
    answer: api.Preview,
    handle: sign,
  },
  {
    method: 'PUT',
    path: `${path}/public`,
    summary: 'Let everybody visit a port',
    params,
    status: 200,
    answer: api.Preview,
    handle: publish,
  },
  {
    method: 'DELETE',
    path: `${path}/public`,
    summary: 'Let nobody visit a port without a token again',
    params,
    status: 204,
    handle: unpublish,
  },
];
