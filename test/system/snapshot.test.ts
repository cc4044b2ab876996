/** The suite of pause, resume, snapshot and fork on gVisor. */
import { snapshotSuite } from './snapshotSuite.ts';

snapshotSuite('gvisor');
