/** Which sandbox and which of its ports a request is for: told by its host, or by two headers where hosts have no names. */
import type { IncomingMessage } from 'node:http';
import { CasemateError } from '../../base/errors.ts';
import { sandboxNamedBy } from '../../control/tokens.ts';
import { hostOf } from '../domain.ts';

/** The port that E2B's agent listens on; here the gateway answers in its place. */
export const agentPort = 49_983;

export interface Address {
  readonly sandboxId: string;
  readonly port: number;
}

const labelPattern = /^(\d{1,5})-([a-z0-9]{20})(?:-[a-z0-9]+)?\./i;
const restPath =
  /^\/(?:v[23]\/)?(?:sandboxes|snapshots|templates|volumes|volumecontent|secrets|teams|events)(?:[/?]|$)/;
const signedFilePath = /^\/files\?(?:.*&)?signature=v1_/;

/** Undefined for a request that names no sandbox. @throws CasemateError `invalid_request` */
export function addressOf(request: IncomingMessage): Address | undefined {
  const label = labelPattern.exec(hostOf(request));
  if (label !== null) return checked(label[2], label[1]);
  const id = request.headers['e2b-sandbox-id'];
  const port = request.headers['e2b-sandbox-port'];
  if (id === undefined && port === undefined) return addressByToken(request);
  // Older clients send the headers of the sandbox's agent to the control plane too.
  if (port === String(agentPort) && restPath.test(request.url ?? '')) return undefined;
  return checked(id, port);
}

/** Older clients behind E2B_SANDBOX_URL name the sandbox nowhere, but the token that they were given does. */
function addressByToken(request: IncomingMessage): Address | undefined {
  const token = request.headers['x-access-token'];
  const sandboxId = typeof token === 'string' ? sandboxNamedBy(token) : undefined;
  return sandboxId === undefined || restPath.test(request.url ?? '')
    ? undefined
    : { sandboxId, port: agentPort };
}

function checked(id: unknown, port: unknown): Address {
  if (typeof id !== 'string' || !/^[a-z0-9]{1,64}$/i.test(id)) {
    throw new CasemateError('invalid_request', 'The request names no sandbox (E2b-Sandbox-Id).');
  }
  if (typeof port !== 'string' || !/^\d{1,5}$/.test(port) || Number(port) < 1 || Number(port) > 65_535) {
    throw new CasemateError(
      'invalid_request',
      'The request names no port from 1 to 65535 (E2b-Sandbox-Port).',
    );
  }
  return { sandboxId: id.toLowerCase(), port: Number(port) };
}

/** Whether a request can only be meant for this protocol. */
export function speaksE2b(request: IncomingMessage): boolean {
  const { url = '', headers } = request;
  return (
    headers['e2b-sandbox-id'] !== undefined ||
    headers['e2b-sandbox-port'] !== undefined ||
    addressByToken(request) !== undefined ||
    labelPattern.test(hostOf(request)) ||
    restPath.test(url) ||
    isSignedFile(url)
  );
}

/** A signed file URL made with E2B_SANDBOX_URL: it does not say which sandbox it is for, its signature does. */
export function isSignedFile(url: string): boolean {
  return signedFilePath.test(url);
}
