/** Closed by default, seen in packets, on virtual machines. */
import { captureSuite } from '../system/egress/captureSuite.ts';

captureSuite('qemu');
