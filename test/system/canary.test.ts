/** The canary test on gVisor. */
import { canarySuite } from './secrets/canarySuite.ts';

canarySuite('gvisor');
