/** The suite of pause, resume, snapshot and fork on virtual machines; under emulation it takes minutes. */
import { snapshotSuite } from '../system/snapshotSuite.ts';

snapshotSuite('qemu');
