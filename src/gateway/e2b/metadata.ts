/** The filter on metadata in a query: pairs that clients encode twice before the query is. */
import { CasemateError } from '../../base/errors.ts';

/** @throws CasemateError `invalid_request` */
export function metadataOf(query: string | undefined): Record<string, string> {
  if (query === undefined || query === '') return {};
  const pairs = decoded(query)
    .split('&')
    .map((pair): [string, string] => {
      const at = pair.indexOf('=');
      if (at < 1) throw new CasemateError('invalid_request', 'The metadata to list by is not key=value.');
      return [decoded(pair.slice(0, at)), decoded(pair.slice(at + 1))];
    });
  return Object.fromEntries(pairs);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    throw new CasemateError('invalid_request', 'The metadata to list by is not encoded well.');
  }
}
