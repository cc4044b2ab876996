/** The agent's byte stream: two FIFOs behind a virtio-serial port, so that the port is never "closed" for the guest. */
import { chownSync } from 'node:fs';
import { runCommand } from '../../base/child.ts';

/** QEMU adds the endings itself. */
export function fifosOf(folder: string): { hostToGuest: string; guestToHost: string } {
  return { hostToGuest: `${folder}/agent.in`, guestToHost: `${folder}/agent.out` };
}

export async function makeFifos(folder: string, uid: number): Promise<void> {
  const paths = Object.values(fifosOf(folder));
  await runCommand(['mkfifo', '-m', '600', ...paths]);
  for (const path of paths) chownSync(path, uid, uid);
}
