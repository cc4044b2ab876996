/** Keeps a disk from growing a layer with every pause: now and then the last one takes over what lies between it and the template. */
import type { MachineControl } from './control.ts';
import { nodeOf } from './machine.ts';
import type { MachineRecord } from './source.ts';

/** Fewer cost nothing that could be measured; to take over what they hold costs a copy of it. */
export const layersUsual = 8;

/**
 * To be called before a running machine is written down, which goes on meanwhile.
 * @returns the layers that make up the disk, by their numbers in the machine's folder, the lowest first.
 */
export async function flattenDisk(control: MachineControl, { layers }: MachineRecord): Promise<number[]> {
  if (layers <= layersUsual) return Array.from({ length: layers }, (_, index) => index);
  const last = layers - 1;
  await control.flatten(nodeOf.writable(last), nodeOf.sealed(0));
  return [0, last];
}
