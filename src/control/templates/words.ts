/** Words of Dockerfile instructions: quotes, escapes and variables, as Docker reads them outside of RUN. */

export type Lookup = (name: string) => string | undefined;

const variablePattern = /^\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)(?:(:?[-+])([^}]*))?\})/;

/** One value with its variables replaced; quotes go, what is in single ones stays as it is. */
export function expand(text: string, lookup: Lookup): string {
  return lex(text, lookup, false).join('');
}

/** The words of a line, quotes taken off, variables replaced; a variable's value is never split. */
export function words(text: string, lookup: Lookup): string[] {
  return lex(text, lookup, true);
}

function lex(text: string, lookup: Lookup, split: boolean): string[] {
  const found: string[] = [];
  let word = '';
  let inWord = false;
  let quote: '"' | "'" | undefined;
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at] ?? '';
    if (quote === undefined && split && /\s/.test(character)) {
      if (inWord) found.push(word);
      word = '';
      inWord = false;
      continue;
    }
    inWord = true;
    if (quote === "'") {
      if (character === "'") quote = undefined;
      else word += character;
    } else if (character === '\\' && at + 1 < text.length) {
      at += 1;
      const next = text[at] ?? '';
      // Within double quotes only these lose their backslash.
      word += quote === '"' && !'"\\$'.includes(next) ? `\\${next}` : next;
    } else if (character === '"') quote = quote === '"' ? undefined : '"';
    else if (character === "'" && quote === undefined) quote = "'";
    else if (character === '$') {
      const match = variablePattern.exec(text.slice(at));
      if (match === null) word += character;
      else {
        word += variable(match, lookup);
        at += match[0].length - 1;
      }
    } else word += character;
  }
  if (inWord || !split) found.push(word);
  return found;
}

function variable([, plain, braced, operator, other = '']: RegExpExecArray, lookup: Lookup): string {
  const value = lookup(plain ?? braced ?? '');
  const isSet = value !== undefined && (value !== '' || !operator?.startsWith(':'));
  if (operator?.endsWith('-')) return isSet ? value : expand(other, lookup);
  if (operator?.endsWith('+')) return isSet ? expand(other, lookup) : '';
  return value ?? '';
}

/** `A=b C="d e"`, or the old form `A b c`, whose value is the rest of the line. */
export function pairs(text: string, lookup: Lookup): [name: string, value: string][] {
  const old = /^([^\s="']+)\s+([\s\S]+)$/.exec(text.trim());
  if (old?.[1] !== undefined && old[2] !== undefined) return [[old[1], expand(old[2].trim(), lookup)]];
  return words(text, lookup).map((word) => {
    const at = word.indexOf('=');
    return at < 0 ? [word, ''] : [word.slice(0, at), word.slice(at + 1)];
  });
}
