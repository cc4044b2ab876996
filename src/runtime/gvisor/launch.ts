/** Starts runsc inside a sandbox's own namespaces and control groups. */
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
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

/** Becomes runsc in the sandbox's namespaces and control groups (launcher/, built by the set-up). */
export const launcher = join(
  dirname(fileURLToPath(import.meta.url)),
  '../../../build/launcher/gvisor-launcher',
);

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
        launcher,
        `/run/netns/${options.networkNamespace}`,
        join(directory, 'in'),
        join(directory, 'out'),
        options.cgroupJoinFiles.join(','),
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
