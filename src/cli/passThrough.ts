/** Joins a program in a sandbox to this process's stdin, stdout and stderr. */
import type { SandboxProcess } from '../../sdk/typescript/src/index.ts';
import { writeOut } from './print.ts';
import { relaySignals, type SignalRelay } from './signals.ts';

/** @returns the program's exit code. */
export async function passThrough(
  child: SandboxProcess,
  options: { stdin: boolean; signals?: SignalRelay },
): Promise<number> {
  // The program may end before it has read all: that is its right.
  if (options.stdin) void child.closeStdin(process.stdin).catch(() => {});
  const signals = options.signals ?? relaySignals();
  signals.to(child);
  try {
    for await (const { stream, data } of child.output()) {
      await writeOut(stream === 'stdout' ? process.stdout : process.stderr, data);
    }
    return child.exit?.exitCode ?? 125;
  } finally {
    signals.stop();
    process.stdin.destroy();
  }
}
