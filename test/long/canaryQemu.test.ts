/** The canary test on virtual machines, the memory that their snapshots write included; under emulation it takes minutes. */
import { canarySuite } from '../system/secrets/canarySuite.ts';

canarySuite('qemu');
