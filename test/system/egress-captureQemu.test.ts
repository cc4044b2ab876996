/** Closed by default, seen in packets, on virtual machines. */
import { captureSuite } from './egress/captureSuite.ts';

captureSuite('qemu');
