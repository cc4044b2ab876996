/** Starts runsc inside a sandbox's own namespaces and control groups. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CommandError, runCommand } from '../../base/child.ts';
import type { Runsc } from './binary.ts';

export interface LaunchOptions {
  readonly runsc: Runsc;
  readonly id: string;
  /** The sandbox's folder: bundle, streams, runsc's own state. */
  readonly directory: string;
  /** Where the sandbox's private layer is kept, in runsc's words. */
  readonly overlay: string;
  readonly networkNamespace: string;
  /** What an earlier `checkpoint` wrote, to go on from instead of starting anew. */
  readonly imageDirectory?: string;
  /** Files that take the id of a process which joins the sandbox's control groups. */
  readonly cgroupJoinFiles: readonly string[];
}

/**
 * Joins the control groups first, so that all memory is charged to the sandbox; hides /proc/sys/net/core, by whose
 * presence runsc believes that it stands in the root network namespace (kernels from 6.x show it in all of them);
 * opens both FIFOs read-write, so that the agent never sees the end of its stream when the server goes away. The
 * sandbox's stderr leads nowhere: whatever would be written there is hostile.
 */
const script = `
set -e
in="$1" out="$2" join="$3"; shift 3
for file in $join; do echo $$ > "$file"; done
[ ! -d /proc/sys/net/core ] || mount -t tmpfs tmpfs /proc/sys/net/core
exec "$@" 0<>"$in" 1<>"$out" 2>/dev/null
`;

/** runsc's own state lies in the sandbox's folder: nothing to clean up elsewhere, no ids that share a prefix. */
export function runscState(directory: string): string {
  return join(directory, 'runsc');
}

/**
 * Runs `runsc run --detach`, or `restore`.
 * @throws Error with the end of runsc's log.
 */
export async function launch(options: LaunchOptions): Promise<void> {
  const { runsc, directory } = options;
  const logFile = join(directory, 'runsc.log');
  try {
    await runCommand(
      [
        'nsenter',
        `--net=/run/netns/${options.networkNamespace}`,
        'unshare',
        '--mount',
        '--propagation',
        'slave',
        'sh',
        '-c',
        script,
        'casemate-launch',
        join(directory, 'in'),
        join(directory, 'out'),
        options.cgroupJoinFiles.join(' '),
        runsc.path,
        `--root=${runscState(directory)}`,
        `--log=${logFile}`,
        `--overlay2=${options.overlay}`,
        ...runsc.flags,
        ...(options.imageDirectory === undefined
          ? ['run']
          : ['restore', `--image-path=${options.imageDirectory}`]),
        '--detach',
        `--bundle=${directory}`,
        options.id,
      ],
      { timeoutMs: 30_000 },
    );
  } catch (error) {
    const log = await readFile(logFile, 'utf8').catch(() => '');
    const how = error instanceof CommandError ? error.stderrTail : String(error);
    throw new Error(`runsc did not start the sandbox: ${how} ${log.slice(-600)}`.trim(), { cause: error });
  }
}
