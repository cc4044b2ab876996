/** Writes the guest's initial RAM disk: the guest agent as its first program, and the kernel modules that it loads. */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { CasemateError } from '../../base/errors.ts';
import type { Kernel } from './binary.ts';

/** What leads to the host: a virtio-serial port, or vsock. The agent takes the one whose modules it finds. */
export type AgentLink = 'serial' | 'vsock';

const pci = ['virtio_pci_legacy_dev', 'virtio_pci_modern_dev', 'virtio_pci'];
const links: Readonly<Record<AgentLink, readonly string[]>> = {
  // The module that tells QEMU of a panic comes with it: monitors with vsock have no such device.
  serial: [...pci, 'virtio_console', 'pvpanic', 'pvpanic-pci'],
  vsock: [...pci, 'virtio_mmio', 'vsock', 'vmw_vsock_virtio_transport_common', 'vmw_vsock_virtio_transport'],
};

/** In the order in which they have to be loaded. */
function modulesFor(link: AgentLink): string[] {
  return [
    ...['virtio_ring', 'virtio', ...links[link], 'virtio_blk', 'failover', 'net_failover', 'virtio_net'],
    ...['libcrc32c', 'erofs', 'overlay', 'fuse'],
  ];
}

const mode = { directory: 0o040755, program: 0o100755, file: 0o100644, device: 0o020666 } as const;

/** One entry of a cpio archive of the kind that kernels read ("newc"). */
function entry(
  name: string,
  kind: keyof typeof mode,
  data = Buffer.alloc(0),
  [major, minor]: readonly [number, number] = [0, 0],
): Buffer {
  const path = Buffer.from(`${name}\0`);
  const fields = [0, mode[kind], 0, 0, 1, 0, data.length, 0, 0, major, minor, path.length, 0];
  const header = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`);
  return Buffer.concat([pad(Buffer.concat([header, path])), pad(data)]);
}

function pad(data: Buffer): Buffer {
  return Buffer.concat([data, Buffer.alloc((4 - (data.length % 4)) % 4)]);
}

/** @throws CasemateError `runtime_unavailable` where the kernel package lacks a module. */
export async function writeInitrd(
  file: string,
  kernel: Kernel,
  agent: string,
  link: AgentLink,
): Promise<void> {
  const paths = await readdir(kernel.modulesDir, { recursive: true });
  const entries = [
    ...['dev', 'proc', 'sys', 'modules'].map((name) => entry(name, 'directory')),
    // A Go program does not start without standard streams, and a machine without a console has none.
    entry('dev/null', 'device', Buffer.alloc(0), [1, 3]),
    entry('init', 'program', await readFile(agent)),
  ];
  for (const [index, name] of modulesFor(link).entries()) {
    const path = paths.find((candidate) => basename(candidate) === `${name}.ko`);
    if (path === undefined)
      throw new CasemateError('runtime_unavailable', `Kernel ${kernel.version} has no module ${name}.`);
    const order = String(index).padStart(2, '0');
    entries.push(entry(`modules/${order}-${name}.ko`, 'file', await readFile(join(kernel.modulesDir, path))));
  }
  entries.push(entry('TRAILER!!!', 'file'));
  await writeFile(file, Buffer.concat(entries), { mode: 0o644 });
}
