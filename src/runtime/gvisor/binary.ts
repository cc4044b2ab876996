/** Finds the runsc programs of this machine and learns what each can do by asking it. */
import { constants } from 'node:fs';
import { access, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from '../../base/child.ts';

/** One runsc and how it wants to be called. */
export interface Runsc {
  readonly path: string;
  /** Its release, `20240729.0`; builds are named by date, so the text sorts by age. */
  readonly version: string;
  readonly platform: 'systrap' | 'ptrace';
  /** Flags that hold for every sandbox of this build. */
  readonly flags: readonly string[];
  /** The overlay flag's value for a private layer in `directory`. */
  overlay(directory: string): string;
  /** Since 2023: a full disk is an error and not the sandbox's end, and newer system calls are there. */
  readonly modern: boolean;
  /**
   * Without work it sleeps: the build of September 2026 does, that of 2024 wakes up 2,500 times a second. Builds between
   * were not measured.
   */
  readonly quiet: boolean;
}

export interface RunscChoice {
  /** Folder with `<version>/usr/bin/runsc`, filled by the set-up. */
  readonly libraryDir: string;
  /** A platform that somebody insists on. */
  readonly platform?: 'systrap' | 'ptrace';
}

/** Every runsc that answers, the newest first: the library's, then the one on the PATH. */
export async function findRunsc(choice: RunscChoice): Promise<Runsc[]> {
  const versions = await readdir(choice.libraryDir).catch(() => []);
  const candidates = versions.map((version) => join(choice.libraryDir, version, 'usr/bin/runsc'));
  candidates.push(...(process.env.PATH ?? '').split(':').map((folder) => join(folder, 'runsc')));
  const found: Runsc[] = [];
  for (const path of candidates) {
    const runsc = await ask(path, choice.platform);
    if (runsc !== undefined && !found.some((other) => other.version === runsc.version)) found.push(runsc);
  }
  return found.sort((a, b) => b.version.localeCompare(a.version));
}

async function ask(path: string, wanted?: 'systrap' | 'ptrace'): Promise<Runsc | undefined> {
  try {
    await access(path, constants.X_OK);
    const [version, help] = await Promise.all([
      runCommand([path, '--version'], { timeoutMs: 10_000 }),
      runCommand([path, 'flags'], { timeoutMs: 10_000, stderrCharacters: 100_000 }),
    ]);
    const release = /(?:runsc version )?(?:release-|\D*)(\d{8}\.\d+)/.exec(version.stdout)?.[1];
    return release === undefined ? undefined : describe(path, release, help.stdout + help.stderr, wanted);
  } catch {
    return undefined; // not there, or not a program of this machine
  }
}

/** What the flag list says that this build understands (facts: builds of 2022 and 2024 differ in all of these). */
function describe(path: string, version: string, flagList: string, wanted?: 'systrap' | 'ptrace'): Runsc {
  const has = (flag: string): boolean => new RegExp(`^\\s*-+${flag}\\b`, 'm').test(flagList);
  const modern = version >= '20230601';
  const systrap = /systrap/.test(flagList);
  const platform = wanted ?? (systrap ? 'systrap' : 'ptrace');
  const flags = [`--platform=${platform}`, '--network=sandbox', '--file-access=exclusive'];
  if (has('net-disconnect-ok')) flags.push('--net-disconnect-ok=true'); // else open connections forbid a checkpoint
  if (has('directfs')) flags.push('--directfs=true');
  if (has('allow-suid')) flags.push('--allow-suid=true'); // sudo, as everywhere; older builds have the agent's
  if (has('cpu-num-from-quota')) flags.push('--cpu-num-from-quota=true');
  return {
    path,
    version,
    platform,
    flags,
    overlay: (directory) => (modern ? `root:dir=${directory}` : `root:${directory}`),
    modern,
    quiet: version >= '20260905',
  };
}
