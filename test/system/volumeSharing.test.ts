/** Two gVisor sandboxes with one volume. */
import { sharingSuite } from './volumeSharingSuite.ts';

sharingSuite('gVisor, gVisor', ['gvisor', 'gvisor']);
