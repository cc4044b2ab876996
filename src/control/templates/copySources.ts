/** Which entries of a build context a COPY means, and how the agent is told to copy them. */
import { posix } from 'node:path';
import type { ContextEntry } from './blobs.ts';

/** `./a/`, `/a` and `a` are the same place of a context. */
function normalized(source: string): string {
  return posix.normalize(`/${source}`).replace(/^\/+|\/+$/g, '');
}

/** Entries that `source` names, or that lie below a folder which it names; none where it names nothing. */
export function entriesOf(entries: readonly ContextEntry[], source: string): ContextEntry[] {
  const wanted = normalized(source);
  if (wanted === '') return [...entries];
  if (!/[*?[]/.test(wanted))
    return entries.filter(({ path }) => path === wanted || path.startsWith(`${wanted}/`));
  const depth = wanted.split('/').length;
  return entries.filter(({ path }) => {
    const top = path.split('/').slice(0, depth).join('/');
    return posix.matchesGlob(top, wanted);
  });
}

/** Where COPY puts it: a `/` at the end says that it is a folder, and stays. */
export function targetOf(target: string, workdir: string): string {
  const absolute = posix.resolve(workdir, target);
  const isFolder = /(^|\/)\.{0,2}$/.test(target);
  return isFolder && absolute !== '/' ? `${absolute}/` : absolute;
}

/** What the agent's program in the sandbox of a layer does (`guest-agent/layer.go`). */
export function copyCommand(step: {
  readonly from: string;
  readonly sources: readonly string[];
  readonly target: string;
  readonly chown: string;
  readonly chmod: string;
  readonly extract: boolean;
}): string[] {
  return ['/.casemate/guest-agent', 'layer', JSON.stringify({ op: 'copy', ...step })];
}
