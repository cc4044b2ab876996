/** Volumes of virtual machines, and of a machine and a gVisor sandbox together; under emulation it takes minutes. */
import { sharingSuite } from '../system/volumeSharingSuite.ts';

sharingSuite('gVisor, machine', ['gvisor', 'qemu']);
sharingSuite('machine, machine', ['qemu', 'qemu']);
