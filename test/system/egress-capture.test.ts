/** The capture on gVisor sandboxes. */
import { captureSuite } from './egress/captureSuite.ts';

captureSuite('gvisor');
