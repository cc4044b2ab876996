/** The shared driver suite for Firecracker. */
import { microvmSuite } from '../../../test/drivers/microvm.ts';
import { FirecrackerDriver } from './driver.ts';

await microvmSuite(
  'firecracker',
  (options) => new FirecrackerDriver({ ...options, program: process.env.CASEMATE_FIRECRACKER }),
);
