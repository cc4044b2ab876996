/** `.dockerignore`: which paths of a build context stay at home. */

interface Rule {
  readonly pattern: RegExp;
  readonly keeps: boolean;
}

/** A test for paths relative to the context, with slashes: true where a path is left out. The last rule that fits wins. */
export function dockerIgnore(text: string): (path: string) => boolean {
  const rules = text
    .split(/\r?\n/)
    .filter((line) => !line.startsWith('#') && line.trim() !== '')
    .map((line): Rule => {
      const keeps = line.trim().startsWith('!');
      const pattern = line
        .trim()
        .replace(/^!/, '')
        .replace(/^\.?\/+|\/+$/g, '');
      return { keeps, pattern: patternOf(pattern) };
    });
  return (path) => {
    const parts = path.split('/');
    const parents = parts.map((_, index) => parts.slice(0, index + 1).join('/'));
    let ignored = false;
    for (const { pattern, keeps } of rules)
      if (parents.some((parent) => pattern.test(parent))) ignored = !keeps;
    return ignored;
  };
}

/** As Go's filepath.Match, and `**` for any number of folders. */
function patternOf(pattern: string): RegExp {
  let source = '';
  for (let at = 0; at < pattern.length; at += 1) {
    const rest = pattern.slice(at);
    const set = /^\[[^\]]+\]/.exec(rest)?.[0];
    if (rest.startsWith('**/')) {
      source += '(?:.*/)?';
      at += 2;
    } else if (rest.startsWith('**')) {
      source += '.*';
      at += 1;
    } else if (rest.startsWith('*')) source += '[^/]*';
    else if (rest.startsWith('?')) source += '[^/]';
    else if (set !== undefined) {
      source += set;
      at += set.length - 1;
    } else source += (pattern[at] ?? '').replace(/[\\^$.|+(){}[\]]/, '\\$&');
  }
  return new RegExp(`^${source}$`);
}
