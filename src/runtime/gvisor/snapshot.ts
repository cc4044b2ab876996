/** Checkpoints of runsc: written by one build on one kind of processor, and restored by the same only. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from '../../base/child.ts';
import { CasemateError } from '../../base/errors.ts';
import type { Runsc } from './binary.ts';
import { bundleNetwork } from './bundle.ts';
import { runscState } from './launch.ts';

/** What has to be the same where a checkpoint is restored (facts: flags, build and processor features). */
interface Origin {
  readonly runsc: string;
  readonly platform: string;
  readonly processor: string;
  readonly templateRoot: string;
  /** Counts up when the mounts that a sandbox is started with change: a checkpoint finds its own again, or fails. */
  readonly mounts: string;
}

const originFile = 'gvisor.json';
const checkpointMsMax = 120_000;

export function imageOf(directory: string): string {
  return join(directory, 'image');
}

/**
 * Writes the sandbox's whole state, its private files included, and ends it. Open connections are cut.
 * runsc's control socket is an abstract one: the command has to stand in the sandbox's network namespace.
 */
export async function checkpoint(options: {
  readonly runsc: Runsc;
  readonly id: string;
  readonly sandboxDirectory: string;
  readonly directory: string;
}): Promise<void> {
  const { runsc, id, sandboxDirectory, directory } = options;
  const network = await bundleNetwork(sandboxDirectory);
  await runCommand(
    [
      'nsenter',
      `--net=${network}`,
      runsc.path,
      `--root=${runscState(sandboxDirectory)}`,
      'checkpoint',
      `--image-path=${imageOf(directory)}`,
      '--compression=none',
      id,
    ],
    { timeoutMs: checkpointMsMax },
  );
}

export async function writeOrigin(directory: string, runsc: Runsc, templateRoot: string): Promise<void> {
  const origin = await originHere(runsc, templateRoot);
  await writeFile(join(directory, originFile), JSON.stringify(origin));
}

/** @throws CasemateError `snapshot_mismatch` with what differs. */
export async function checkOrigin(directory: string, runsc: Runsc, templateRoot: string): Promise<void> {
  const written = JSON.parse(await readFile(join(directory, originFile), 'utf8')) as Origin;
  const here = await originHere(runsc, templateRoot);
  const differing = (Object.keys(here) as (keyof Origin)[]).filter((field) => here[field] !== written[field]);
  if (differing.length === 0) return;
  const what = differing.map((field) => `${field} is ${here[field]}, it was ${written[field]}`).join('; ');
  throw new CasemateError('snapshot_mismatch', `The snapshot cannot be restored here: ${what}.`);
}

async function originHere(runsc: Runsc, templateRoot: string): Promise<Origin> {
  const cpuinfo = await readFile('/proc/cpuinfo', 'utf8');
  const processor = /^model name\s*:\s*(.*)$/m.exec(cpuinfo)?.[1] ?? 'unknown';
  return { runsc: runsc.version, platform: runsc.platform, processor, templateRoot, mounts: '2' };
}
