/** What a template has beside Debian's packages: files of its definition's folder, and wheels of Python packages. */
import { chmod, chown, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { runCommand } from '../base/child.ts';
import type { BuildProgress } from './build.ts';
import type { TemplateDefinition, Wheel } from './definition.ts';

/** Where wheels lie in the template: packages at the top, their programs in `bin`, their data in `share`. */
const wheelFolder = '/opt/wheels';
/** Has no other right on this machine than to write what it unpacks. */
const nobody = 65_534;
const downloadMsMax = 5 * 60_000;

const filesBeside = (directory: string): string => `${directory}.files`;
const wheelsBeside = (directory: string): string => `${directory}.wheels`;

/** Puts them beside `directory`, from where the hooks of the build take them. */
export async function stageAdditions(
  { files, wheels }: TemplateDefinition,
  directory: string,
  onProgress: (progress: BuildProgress) => void,
): Promise<void> {
  for (const [path, text] of Object.entries(files ?? {})) {
    const target = join(filesBeside(directory), path);
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, text);
    if (text.startsWith('#!')) await chmod(target, 0o755);
  }
  if (wheels === undefined) return;
  onProgress({ phase: 'wheels', percent: 1, message: `fetching ${wheels.length} Python wheels` });
  await fetchWheels(wheels, wheelsBeside(directory));
}

/**
 * A wheel is unpacked and nothing of it is run (`--only-binary`), it is the very one that the definition names by its
 * hash, and who unpacks it is nobody: no code of a package index runs on the host, and none of it as root.
 */
async function fetchWheels(wheels: readonly Wheel[], folder: string): Promise<void> {
  await mkdir(folder, { mode: 0o700 });
  await chown(folder, nobody, nobody);
  const requirements = wheels.map(({ requirement, sha256 }) =>
    [requirement, ...sha256.map((hash) => `--hash=sha256:${hash}`)].join(' '),
  );
  const list = join(folder, 'requirements.txt');
  await writeFile(list, `${requirements.join('\n')}\n`, { mode: 0o644 });
  await runCommand(
    [
      ...['setpriv', `--reuid=${nobody}`, `--regid=${nobody}`, '--clear-groups', '--no-new-privs'],
      ...['env', `HOME=${folder}`, 'PIP_NO_CACHE_DIR=1'],
      ...['python3', '-m', 'pip', 'install', '--quiet', '--no-deps', '--only-binary', ':all:'],
      ...['--require-hashes', '--no-compile', '--target', join(folder, 'target')],
      ...['--requirement', list],
    ],
    { timeoutMs: downloadMsMax },
  );
}

/** Shell commands for mmdebstrap that lay them into the root `$1`; everything becomes root's. */
export function additionHooks({ files, links, wheels }: TemplateDefinition, directory: string): string[] {
  const hooks: string[] = [];
  if (wheels !== undefined) {
    hooks.push(`mkdir -p "$1${wheelFolder}"`);
    hooks.push(copy(join(wheelsBeside(directory), 'target'), wheelFolder));
  }
  const folders = new Set(
    Object.keys(files ?? {})
      .filter(isPython)
      .map(dirname),
  );
  if (files !== undefined) hooks.push(copy(filesBeside(directory), '/'));
  for (const folder of folders) hooks.push(`chroot "$1" python3 -m compileall -q ${quoted(folder)}`);
  for (const path of Object.keys(files ?? {}).filter((name) => name.endsWith('.s')))
    hooks.push(assemble(path));
  for (const [path, target] of Object.entries(links ?? {}))
    hooks.push(`ln -s ${quoted(target)} "$1"${quoted(path)}`);
  return hooks;
}

const isPython = (path: string): boolean => path.endsWith('.py');

/** Makes a library of one in assembly, beside it; needs the template's own binutils. */
function assemble(path: string): string {
  const [source, library] = [quoted(path), quoted(path.replace(/s$/, 'so'))];
  const object = '/tmp/assembled.o';
  return `chroot "$1" as -o ${object} ${source} && chroot "$1" ld -shared -o ${library} ${object} && rm "$1${object}"`;
}

function copy(from: string, to: string): string {
  return `chmod -R go=u-w ${quoted(from)} && cp -r --no-preserve=ownership ${quoted(from)}/. "$1"${to}`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

export async function removeAdditions(directory: string): Promise<void> {
  await runCommand(['rm', '-rf', filesBeside(directory), wheelsBeside(directory)], { timeoutMs: 120_000 });
}
