/** The one table of errors: every failure that leaves Casemate carries a code of this file. */

/** What the table says of one code. */
export interface ErrorEntry {
  /** HTTP status that every wire protocol answers with. */
  readonly status: number;
  /** Whether the same request may succeed later without a change. */
  readonly retryable: boolean;
  /** What the caller can do about it; shown under the message. */
  readonly hint: string;
}

export const errorTable = {
  invalid_request: {
    status: 400,
    retryable: false,
    hint: 'Compare the request with the API description at /openapi.json.',
  },
  unauthenticated: {
    status: 401,
    retryable: false,
    hint: 'Send "Authorization: Bearer <key>"; `casemate serve` prints where the first key lies.',
  },
  forbidden: { status: 403, retryable: false, hint: 'Use a key whose scope covers this call.' },
  not_found: {
    status: 404,
    retryable: false,
    hint: 'Check the id; things of another tenant do not exist for this key.',
  },
  method_not_allowed: {
    status: 405,
    retryable: false,
    hint: 'See /openapi.json for the methods of this route.',
  },
  conflict: {
    status: 409,
    retryable: false,
    hint: 'Read the current state first; the request does not fit it.',
  },
  idempotency_conflict: {
    status: 409,
    retryable: false,
    hint: 'Use a new Idempotency-Key for a different request body.',
  },
  payload_too_large: {
    status: 413,
    retryable: false,
    hint: 'Send a smaller body; see docs/reference/limits.md.',
  },
  unsupported_media_type: {
    status: 415,
    retryable: false,
    hint: 'Send JSON, or application/octet-stream for raw bytes.',
  },
  range_not_satisfiable: {
    status: 416,
    retryable: false,
    hint: 'Ask for bytes inside the file; stat tells its size.',
  },
  rate_limited: { status: 429, retryable: true, hint: 'Wait for the time in Retry-After, then try again.' },
  canceled: { status: 499, retryable: false, hint: 'The caller went away before the answer was ready.' },
  internal: {
    status: 500,
    retryable: false,
    hint: 'This is a defect of Casemate: report it with the request id and the server log.',
  },
  no_capacity: {
    status: 503,
    retryable: true,
    hint: 'Kill sandboxes that are not needed, ask for less, or add memory to the host; then try again.',
  },
  node_unavailable: {
    status: 503,
    retryable: true,
    hint: 'The node is starting or reconciling; try again shortly.',
  },
  sandbox_ended: {
    status: 410,
    retryable: false,
    hint: 'Create a new sandbox; GET /v1/sandboxes/{id} says why this one ended.',
  },
  template_not_ready: {
    status: 409,
    retryable: true,
    hint: 'Build it first: `casemate template build <name>`.',
  },
  build_failed: {
    status: 422,
    retryable: false,
    hint: 'The message names the line; the log of the build says more. What served before serves on.',
  },
  runtime_unavailable: {
    status: 409,
    retryable: false,
    hint: '`casemate doctor` says what this runtime lacks here; Casemate never falls back to a weaker one.',
  },
  unsupported: {
    status: 409,
    retryable: false,
    hint: 'This runtime cannot do it; see its capabilities in GET /v1/runtimes.',
  },
  snapshot_mismatch: {
    status: 409,
    retryable: false,
    hint: 'A snapshot starts only where it was taken: same runtime version, processor and template. Take a new one.',
  },
  snapshot_damaged: {
    status: 409,
    retryable: false,
    hint: 'The files of this snapshot are not those that were written. Delete it and take a new one.',
  },
  backup_damaged: {
    status: 400,
    retryable: false,
    hint: 'The file is not what `casemate volume backup` wrote: take another copy of it. Nothing was restored.',
  },
  secret_unreadable: {
    status: 409,
    retryable: false,
    hint: 'Start the server with the key that its secrets were sealed with, or set the secret again.',
  },
  policy_unenforceable: {
    status: 409,
    retryable: false,
    hint: 'A limit or rule cannot be enforced on this host, so the sandbox was not started; see `casemate doctor`.',
  },
  file_not_found: { status: 404, retryable: false, hint: 'Check the path inside the sandbox.' },
  file_exists: { status: 409, retryable: false, hint: 'Remove the target first or choose another path.' },
  file_denied: {
    status: 403,
    retryable: false,
    hint: 'Pass the user that may touch this path, or change its mode.',
  },
  file_invalid: { status: 400, retryable: false, hint: 'The path is not of the kind that the call needs.' },
  disk_full: {
    status: 507,
    retryable: false,
    hint: 'Remove files in the sandbox or create it with more diskMib.',
  },
  exec_not_found: {
    status: 404,
    retryable: false,
    hint: 'List the execs of the sandbox; ended ones are kept for a while only.',
  },
  exec_failed: {
    status: 400,
    retryable: false,
    hint: 'Check that the program, the user and the working directory exist.',
  },
  port_unreachable: {
    status: 502,
    retryable: true,
    hint: 'Start a server on that port inside the sandbox first.',
  },
  guest_protocol: {
    status: 502,
    retryable: false,
    hint: 'The sandbox broke the guest protocol and was cut off; create a new one.',
  },
  timeout: { status: 504, retryable: true, hint: 'Allow more time, or look at what the sandbox is doing.' },
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof errorTable;

/** The body that every API answers an error with. */
export interface ErrorBody {
  error: { code: ErrorCode; message: string; hint: string; requestId?: string };
}

/** The one error class. `code` is stable; `message` says what happened and what to do. */
export class CasemateError extends Error {
  readonly code: ErrorCode;
  readonly hint: string;
  override readonly name = 'CasemateError';

  constructor(code: ErrorCode, message: string, options: { hint?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint ?? errorTable[code].hint;
  }

  /** HTTP status of this error. */
  get status(): number {
    return errorTable[this.code].status;
  }

  get retryable(): boolean {
    return errorTable[this.code].retryable;
  }

  /** Turns anything thrown into a CasemateError; what is not one becomes `internal` without its text. */
  static from(thrown: unknown): CasemateError {
    if (thrown instanceof CasemateError) return thrown;
    return new CasemateError('internal', 'Something inside Casemate failed.', { cause: thrown });
  }

  /** The wire form. Never contains the cause. */
  toBody(requestId?: string): ErrorBody {
    return {
      error: {
        code: this.code,
        message: this.message,
        hint: this.hint,
        ...(requestId === undefined ? {} : { requestId }),
      },
    };
  }
}

/** True where `code` stands in the table; for errors that arrive from elsewhere as text. */
export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(errorTable, code);
}
