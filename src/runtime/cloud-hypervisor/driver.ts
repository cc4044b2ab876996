/** The Cloud Hypervisor driver: the shared microVM driver with Cloud Hypervisor's API, in a root of its own. */
import { MicrovmDriver } from '../microvm/driver.ts';
import type { MicrovmOptions } from '../microvm/platform.ts';
import type { Vmm } from '../microvm/vmm.ts';
import { define, load, pause, ping, resume, save, start } from './api.ts';
import { findCloudHypervisor, remedy } from './binary.ts';
import { jailArguments, jailRoot } from './launch.ts';

export interface CloudHypervisorOptions extends MicrovmOptions {
  /** The program named by CASEMATE_CLOUD_HYPERVISOR. */
  readonly program: string | undefined;
}

export class CloudHypervisorDriver extends MicrovmDriver {
  constructor(options: CloudHypervisorOptions) {
    super(cloudHypervisor(options.program), options);
  }
}

function cloudHypervisor(program: string | undefined): Vmm {
  return {
    ...{ name: 'cloud-hypervisor', fork: 'copy', ownMib: 48, remedy },
    caveats: ['A restore copies all of the memory: a fork costs as much as its source holds.'],
    find: () => findCloudHypervisor(program),
    rootOf: jailRoot,
    argv: jailArguments,
    ...{ define, start, pause, resume, save, load, ping },
  };
}
