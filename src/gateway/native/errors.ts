/** Whatever is thrown becomes one of the errors of the table; Fastify's own and ajv's included. */
import { CasemateError } from '../../base/errors.ts';

interface FastifyFailure {
  readonly code?: string;
  readonly statusCode?: number;
  readonly message?: string;
  readonly validationContext?: string;
  readonly validation?: readonly {
    keyword?: string;
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
function invalid({ validation = [], validationContext }: FastifyFailure): CasemateError {
  // Behind the alternatives that did not fit stands what they were alternatives of.
  const alternatives = validation.find(({ keyword }) => keyword === 'oneOf');
  const first = alternatives ?? validation[0];
  const where = `${validationContext ?? 'request'}${(first?.instancePath ?? '').replaceAll('/', '.')}`;
  const extra = first?.params?.additionalProperty;
  let what = first?.message ?? 'is wrong';
  if (typeof extra === 'string') what = `has no field ${JSON.stringify(extra.slice(0, 64))}`;
  if (alternatives !== undefined) {
    const names = validation.flatMap(({ params }) => params?.missingProperty ?? []);
    what = `takes exactly one of ${names.length > 0 ? names.join(', ') : 'its alternatives'}`;
  }
  return new CasemateError('invalid_request', `${where} ${what}.`);
}
