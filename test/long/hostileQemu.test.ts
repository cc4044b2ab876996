/** The hostile programs on virtual machines; under emulation they take minutes. */
import { hostileSuite } from '../system/hostileSuite.ts';

hostileSuite('qemu');
