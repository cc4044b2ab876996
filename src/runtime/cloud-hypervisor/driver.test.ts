/** The shared driver suite for Cloud Hypervisor. */
import { microvmSuite } from '../../../test/drivers/microvm.ts';
import { CloudHypervisorDriver } from './driver.ts';

await microvmSuite(
  'cloud-hypervisor',
  (options) => new CloudHypervisorDriver({ ...options, program: process.env.CASEMATE_CLOUD_HYPERVISOR }),
);
