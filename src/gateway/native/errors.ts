/** Whatever is thrown becomes one of the errors of the table; Fastify's own and ajv's included. */
import { CasemateError } from '../../base/errors.ts';

interface FastifyFailure {
  readonly code?: string;
  readonly statusCode?: number;
  readonly message?: string;
  readonly validationContext?: string;
  readonly validation?: readonly {
    instancePath?: string;
    message?: string;
    params?: Record<string, unknown>;
  }[];
}

export function errorOf(thrown: unknown): CasemateError {
  if (thrown instanceof CasemateError) return thrown;
  const failure = thrown as FastifyFailure;
  if (failure.validation !== undefined) return invalid(failure);
  switch (failure.code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new CasemateError('payload_too_large', 'The request body is larger than this route takes.');
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return new CasemateError(
        'unsupported_media_type',
        'The content type is not one that this route takes.',
      );
    default:
      if ((failure.statusCode ?? 500) < 500) {
        return new CasemateError('invalid_request', failure.message ?? 'The request cannot be read.');
      }
      return CasemateError.from(thrown);
  }
}

/** Names the part of the request and what is wrong with it. */
function invalid({ validation, validationContext }: FastifyFailure): CasemateError {
  const first = validation?.[0];
  const extra = first?.params?.additionalProperty;
  const where = `${validationContext ?? 'request'}${(first?.instancePath ?? '').replaceAll('/', '.')}`;
  const what =
    typeof extra === 'string'
      ? `has no field ${JSON.stringify(extra.slice(0, 64))}`
      : (first?.message ?? 'is wrong');
  return new CasemateError('invalid_request', `${where} ${what}.`);
}
