/** Who is asking: keys of the control plane, tokens and signatures of a single sandbox, and the user inside it. */
import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { CasemateError } from '../../base/errors.ts';
import type { Principal } from '../../control/access.ts';
import type { Core } from '../../control/core.ts';
import { sameText } from '../../control/tokens.ts';
import { bearerOf } from '../native/auth.ts';

export function headerOf(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

/** The key of a control-plane call. */
export function apiKeyOf(request: IncomingMessage): string | undefined {
  return headerOf(request, 'x-api-key') ?? bearerOf(request.headers.authorization);
}

/** The name in `Authorization: Basic`: which user of the sandbox shall do the work. */
export function userOf(authorization: string | null | undefined): string | undefined {
  const encoded = /^Basic +(\S+)$/i.exec(authorization ?? '')?.[1];
  const name = encoded === undefined ? '' : Buffer.from(encoded, 'base64').toString('utf8').split(':')[0];
  return name === undefined || name === '' ? undefined : name;
}

/** @throws CasemateError `unauthenticated` */
export function agentHolder(core: Core, sandboxId: string, token: string | undefined): Principal {
  if (token === undefined || !core.tokens.matches('agent', sandboxId, token)) {
    throw new CasemateError(
      'unauthenticated',
      'This call needs the access token of the sandbox (X-Access-Token).',
    );
  }
  return core.holderOf(sandboxId);
}

export interface SignedRequest {
  readonly path: string;
  readonly operation: 'read' | 'write';
  readonly username: string;
  readonly signature: string | undefined;
  readonly expiration: string | undefined;
}

/** What a holder of the token wrote under a URL, so that others may use it for that one thing. */
export function signatureOf(token: string, request: Omit<SignedRequest, 'signature'>): string {
  const { path, operation, username, expiration } = request;
  const parts = [path, operation, username, token, ...(expiration === undefined ? [] : [expiration])];
  return `v1_${createHash('sha256').update(parts.join(':')).digest('base64').replace(/=+$/, '')}`;
}

/** @throws CasemateError `unauthenticated` */
export function signatureHolder(core: Core, sandboxId: string, request: SignedRequest): Principal {
  if (!fits(core, sandboxId, request)) {
    throw new CasemateError('unauthenticated', 'invalid signature');
  }
  if (request.expiration !== undefined && Number(request.expiration) * 1000 < Date.now()) {
    throw new CasemateError('unauthenticated', 'signature is already expired');
  }
  return core.holderOf(sandboxId);
}

/** The sandbox whose token signed a URL that does not name it. */
export function signerOf(core: Core, request: SignedRequest): string | undefined {
  return core.findRunning((sandboxId) => fits(core, sandboxId, request));
}

function fits(core: Core, sandboxId: string, request: SignedRequest): boolean {
  const { signature } = request;
  return (
    signature !== undefined && sameText(signatureOf(core.tokens.of('agent', sandboxId), request), signature)
  );
}
