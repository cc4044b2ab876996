/** Reads the one-line comments above the fields of a source file, so that a page says what the code says. */

/** Field name → its comment; a field without one is left out. */
export function fieldComments(source: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  let comment: string | undefined;
  for (const line of source.split('\n')) {
    const said = /^\s*\/\*\* (.*) \*\/$/.exec(line)?.[1];
    const field = /^\s*(?:readonly )?(\w+)\??:/.exec(line)?.[1];
    if (field !== undefined && comment !== undefined) found.set(field, comment);
    comment = said;
  }
  return found;
}
