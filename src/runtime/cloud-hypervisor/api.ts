/** Cloud Hypervisor's API, as far as it is used (cloud-hypervisor `vmm/src/api/openapi/cloud-hypervisor.yaml`, v53). */
import { callSocket } from '../microvm/httpSocket.ts';
import { fileIn, guestCid, guestMac, type VmmShape } from '../microvm/vmm.ts';

const commandLine = 'reboot=t panic=-1 quiet loglevel=1 random.trust_cpu=on rdinit=/init';
const loadMsMax = 60_000;

async function put(api: string, name: string, body?: object, timeoutMs?: number): Promise<void> {
  const call = { method: 'PUT', path: `/api/v1/${name}`, ...(body === undefined ? {} : { body }) } as const;
  await callSocket(api, call, timeoutMs);
}

export async function ping(api: string): Promise<void> {
  await callSocket(api, { method: 'GET', path: '/api/v1/vmm.ping' });
}

export async function define(api: string, shape: VmmShape, disks: boolean): Promise<void> {
  await put(api, 'vm.create', {
    cpus: { boot_vcpus: shape.processors, max_vcpus: shape.processors },
    memory: { size: shape.guestMemoryMib * 1024 * 1024 },
    payload: {
      kernel: `/${fileIn.kernel}`,
      initramfs: `/${fileIn.initrd}`,
      cmdline: `${commandLine} -- ${disks ? '--init' : '--probe'}`,
    },
    vsock: { cid: guestCid, socket: `/${fileIn.agent}` },
    rng: { src: '/dev/urandom' },
    serial: { mode: 'Off' },
    console: { mode: 'Off' },
    ...(disks
      ? {
          disks: [{ path: `/${fileIn.rootImage}`, readonly: true }, { path: `/${fileIn.disk}` }],
          net: [{ tap: 'tap0', mac: guestMac }],
        }
      : {}),
  });
}

export function start(api: string): Promise<void> {
  return put(api, 'vm.boot');
}

export function pause(api: string): Promise<void> {
  return put(api, 'vm.pause');
}

export function resume(api: string): Promise<void> {
  return put(api, 'vm.resume');
}

export function save(api: string): Promise<void> {
  return put(api, 'vm.snapshot', { destination_url: `file:///${fileIn.next}` }, loadMsMax);
}

/** Copies the memory; the machine stays paused (`docs/snapshot_restore.md`). */
export function load(api: string): Promise<void> {
  return put(api, 'vm.restore', { source_url: `file:///${fileIn.saved}` }, loadMsMax);
}
