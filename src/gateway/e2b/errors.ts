/** Casemate's errors in E2B's words: `{code, message}` over HTTP, Connect's codes over RPC. */
import { Code, ConnectError } from '@connectrpc/connect';
import { CasemateError, type ErrorCode } from '../../base/errors.ts';

export interface E2bErrorBody {
  readonly code: number;
  readonly message: string;
}

/** Statuses that mean something else to E2B's clients than to ours. */
const statuses: Partial<Record<ErrorCode, number>> = {
  sandbox_ended: 404, // gone and never been are the same to them
  unsupported: 501, // 409 would read as "was paused already"
  forbidden: 403,
};

export function bodyOf(error: CasemateError): E2bErrorBody {
  return { code: statuses[error.code] ?? error.status, message: error.message };
}

/** Something of E2B's that Casemate does not have: said, never pretended. */
export function unsupported(what: string): CasemateError {
  return new CasemateError('unsupported', `Casemate does not support ${what} through the E2B protocol yet.`);
}

const codes: Partial<Record<ErrorCode, Code>> = {
  invalid_request: Code.InvalidArgument,
  unauthenticated: Code.Unauthenticated,
  forbidden: Code.PermissionDenied,
  not_found: Code.Unavailable, // of a sandbox: a file has its own code
  sandbox_ended: Code.Unavailable,
  node_unavailable: Code.Unavailable,
  guest_protocol: Code.Unavailable,
  conflict: Code.FailedPrecondition,
  rate_limited: Code.ResourceExhausted,
  canceled: Code.Canceled,
  unsupported: Code.Unimplemented,
  file_not_found: Code.NotFound,
  exec_not_found: Code.NotFound,
  file_exists: Code.AlreadyExists,
  file_denied: Code.PermissionDenied,
  file_invalid: Code.InvalidArgument,
  exec_failed: Code.InvalidArgument,
  disk_full: Code.FailedPrecondition,
  timeout: Code.DeadlineExceeded,
};

/** The guest says only in words that it was the user's name that is wrong. */
export function isUnknownUser(error: CasemateError): boolean {
  return error.code === 'invalid_request' && error.message.startsWith('no user ');
}

export function connectErrorOf(thrown: unknown): ConnectError {
  if (thrown instanceof ConnectError) return thrown;
  const error = CasemateError.from(thrown);
  const code = isUnknownUser(error) ? Code.Unauthenticated : (codes[error.code] ?? Code.Internal);
  return new ConnectError(error.message, code, undefined, undefined, error);
}
