/** The Firecracker driver: the shared microVM driver with Firecracker's API, always inside its jailer. */
import { MicrovmDriver } from '../microvm/driver.ts';
import type { MicrovmOptions } from '../microvm/platform.ts';
import type { Vmm } from '../microvm/vmm.ts';
import { define, load, pause, ping, resume, save, start } from './api.ts';
import { findFirecracker, remedy } from './binary.ts';
import { jailerArguments, jailRoot } from './launch.ts';

export interface FirecrackerOptions extends MicrovmOptions {
  /** The program named by CASEMATE_FIRECRACKER. */
  readonly program: string | undefined;
}

export class FirecrackerDriver extends MicrovmDriver {
  constructor(options: FirecrackerOptions) {
    super(firecracker(options.program), options);
  }
}

function firecracker(program: string | undefined): Vmm {
  return {
    ...{ name: 'firecracker', fork: 'copy-on-write', ownMib: 32, remedy },
    caveats: [],
    find: () => findFirecracker(program),
    rootOf: (directory, id) => jailRoot(directory, id, program ?? ''),
    argv: jailerArguments,
    ...{ define, start, pause, resume, save, load, ping },
  };
}
