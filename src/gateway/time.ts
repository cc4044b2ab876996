/** Points in time that a client writes. */
import { CasemateError } from '../base/errors.ts';

/** Milliseconds since 1970. @param name of the field, for the message. @throws CasemateError `invalid_request` */
export function timeOf(text: string, name: string): number {
  const unixMs = Date.parse(text);
  if (!Number.isNaN(unixMs)) return unixMs;
  throw new CasemateError('invalid_request', `${name} is no time.`);
}
