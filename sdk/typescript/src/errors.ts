/** The one error that every call of this package throws. */

/** Stable codes; new ones may be added, none changes its meaning. */
export const errorCodes = [
  'invalid_request',
  'unauthenticated',
  'forbidden',
  'not_found',
  'method_not_allowed',
  'conflict',
  'idempotency_conflict',
  'payload_too_large',
  'unsupported_media_type',
  'range_not_satisfiable',
  'rate_limited',
  'canceled',
  'internal',
  'no_capacity',
  'node_unavailable',
  'sandbox_ended',
  'template_not_ready',
  'build_failed',
  'runtime_unavailable',
  'unsupported',
  'snapshot_mismatch',
  'snapshot_damaged',
  'backup_damaged',
  'secret_unreadable',
  'policy_unenforceable',
  'file_not_found',
  'file_exists',
  'file_denied',
  'file_invalid',
  'disk_full',
  'exec_not_found',
  'exec_failed',
  'port_unreachable',
  'guest_protocol',
  'timeout',
] as const;

export type ErrorCode = (typeof errorCodes)[number];

const retryableCodes: readonly string[] = [
  'rate_limited',
  'no_capacity',
  'node_unavailable',
  'template_not_ready',
  'port_unreachable',
  'timeout',
];

/**
 * Says what happened (`message`), what to do (`hint`), and a stable `code` to branch on.
 *
 * @example
 * try { await Sandbox.create({ template: 'python' }) }
 * catch (error) { if (error instanceof CasemateError && error.code === 'no_capacity') await later() }
 */
export class CasemateError extends Error {
  override readonly name = 'CasemateError';
  readonly code: ErrorCode;
  /** HTTP status of the answer; 0 where there was none. */
  readonly status: number;
  readonly hint: string;
  /** Names the request in the server's log. */
  readonly requestId: string | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    details: { status?: number; hint?: string; requestId?: string } = {},
  ) {
    super(message);
    this.code = code;
    this.status = details.status ?? 0;
    this.hint = details.hint ?? '';
    this.requestId = details.requestId;
  }

  /** Whether the same call may succeed later without a change. */
  get retryable(): boolean {
    return retryableCodes.includes(this.code);
  }
}

interface WireError {
  error?: { code?: string; message?: string; hint?: string; requestId?: string };
}

/** Makes an error of a server's answer; an answer of something else than Casemate becomes `internal`. */
export function errorFromWire(body: unknown, status = 0): CasemateError {
  const { error } = (typeof body === 'object' && body !== null ? body : {}) as WireError;
  const code = errorCodes.find((known) => known === error?.code) ?? 'internal';
  return new CasemateError(code, error?.message ?? `The server answered with status ${status}.`, {
    status,
    ...(error?.hint === undefined ? {} : { hint: error.hint }),
    ...(error?.requestId === undefined ? {} : { requestId: error.requestId }),
  });
}
