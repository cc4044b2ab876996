/** The hostile programs on gVisor. */
import { hostileSuite } from './hostileSuite.ts';

hostileSuite('gvisor');
