/** The hostile programs: what each tries, and what has to come of it. The demo and the tests run the same files. */
import { readFile } from 'node:fs/promises';

export interface HostileProgram {
  readonly name: string;
  readonly file: string;
  readonly tries: string;
  /** What a reader of the demo is told when it was stopped. */
  readonly stopped: string;
}

const folder = new URL('./programs/', import.meta.url);

export const hostilePrograms = {
  hostFiles: {
    name: 'host files',
    file: 'host-files.py',
    tries: 'read files and devices of the host',
    stopped: 'nothing of the host was found',
  },
  network: {
    name: 'network',
    file: 'network.py',
    tries: 'reach the cloud metadata address, DNS, the host, neighbours and the internet',
    stopped: 'every connection was refused at once',
  },
  forkBomb: {
    name: 'fork bomb',
    file: 'fork-bomb.py',
    tries: 'fork without end',
    stopped: 'the process limit held',
  },
  diskFill: {
    name: 'disk fill',
    file: 'disk-fill.py',
    tries: 'fill the disk',
    stopped: 'writes failed at the disk limit',
  },
  memoryHog: {
    name: 'memory hog',
    file: 'memory-hog.py',
    tries: 'take all memory',
    stopped: 'the program got no more than its sandbox may have',
  },
  emptyFiles: {
    name: 'a million empty files',
    file: 'empty-files.py',
    tries: 'use up inodes',
    stopped: 'the sandbox ended at its memory limit, alone',
  },
  outputFlood: {
    name: 'output flood',
    file: 'output-flood.py',
    tries: 'drown the server in output',
    stopped: 'back-pressure held',
  },
  ignoresSigterm: {
    name: 'ignores SIGTERM',
    file: 'ignores-sigterm.py',
    tries: 'outlive its deadline',
    stopped: 'SIGKILL followed',
  },
  daemons: {
    name: 'daemons',
    file: 'daemons.py',
    tries: 'outlive its exec and its sandbox',
    stopped: 'they ended with their sandbox',
  },
} as const satisfies Record<string, HostileProgram>;

/** The source text of a hostile program, to upload it. */
export function sourceOf(program: HostileProgram): Promise<string> {
  return readFile(new URL(program.file, folder), 'utf8');
}
