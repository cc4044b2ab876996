/** Opaque page cursors: where the last page ended, in base64url. */
import { CasemateError } from '../base/errors.ts';

export function encodeCursor(position: readonly (string | number)[]): string {
  return Buffer.from(JSON.stringify(position)).toString('base64url');
}

/** @throws CasemateError `invalid_request` for text that no page ever carried. */
export function decodeCursor<Length extends number>(
  cursor: string,
  length: Length,
): (string | number)[] & { length: Length } {
  try {
    const position: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString());
    const sound =
      Array.isArray(position) && position.every((part) => ['string', 'number'].includes(typeof part));
    if (sound && position.length === length) return position as (string | number)[] & { length: Length };
  } catch {
    // not JSON: the same answer
  }
  throw new CasemateError('invalid_request', 'The cursor is not one that a page of this list carried.');
}
