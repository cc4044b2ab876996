/** Joins a program in a sandbox to this process's stdin, stdout and stderr. */
import type { SandboxProcess } from '../../sdk/typescript/src/index.ts';
import { writeOut } from './print.ts';

/** @returns the program's exit code. */
export async function passThrough(child: SandboxProcess, options: { stdin: boolean }): Promise<number> {
  // The program may end before it has read all: that is its right.
  if (options.stdin) void child.closeStdin(process.stdin).catch(() => {});
  const interrupt = (): void => void child.kill('SIGINT').catch(() => {});
  process.on('SIGINT', interrupt);
  try {
    for await (const { stream, data } of child.output()) {
      await writeOut(stream === 'stdout' ? process.stdout : process.stderr, data);
    }
    return child.exit?.exitCode ?? 125;
  } finally {
    process.off('SIGINT', interrupt);
    process.stdin.destroy();
  }
}
