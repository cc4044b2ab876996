/** Firecracker's API, as far as it is used (firecracker `src/firecracker/swagger/firecracker.yaml`, v1.12). */
import { type Call, callSocket } from '../microvm/httpSocket.ts';
import { fileIn, guestCid, guestMac, type VmmShape } from '../microvm/vmm.ts';

/** No serial port, no keyboard controller but for the reset; virtio devices are told over ACPI. */
const commandLine = [
  'reboot=k panic=-1 quiet loglevel=1 8250.nr_uarts=0 i8042.noaux i8042.nomux i8042.nopnp i8042.dumbkbd',
  'random.trust_cpu=on rdinit=/init',
].join(' ');
const loadMsMax = 60_000;

async function all(api: string, calls: readonly Call[]): Promise<void> {
  for (const call of calls) await callSocket(api, call);
}

export async function define(api: string, shape: VmmShape, disks: boolean): Promise<void> {
  const drive = (id: string, file: string, readOnly: boolean): Call => ({
    method: 'PUT',
    path: `/drives/${id}`,
    body: {
      drive_id: id,
      path_on_host: `/${file}`,
      is_root_device: false,
      is_read_only: readOnly,
      cache_type: 'Unsafe',
    },
  });
  await all(api, [
    {
      method: 'PUT',
      path: '/machine-config',
      body: { vcpu_count: shape.processors, mem_size_mib: shape.guestMemoryMib },
    },
    {
      method: 'PUT',
      path: '/boot-source',
      body: {
        kernel_image_path: `/${fileIn.kernel}`,
        initrd_path: `/${fileIn.initrd}`,
        boot_args: `${commandLine} -- ${disks ? '--init' : '--probe'}`,
      },
    },
    { method: 'PUT', path: '/vsock', body: { guest_cid: guestCid, uds_path: `/${fileIn.agent}` } },
  ]);
  if (!disks) return;
  await all(api, [
    drive('root', fileIn.rootImage, true),
    drive('disk', fileIn.disk, false),
    {
      method: 'PUT',
      path: '/network-interfaces/eth0',
      body: { iface_id: 'eth0', host_dev_name: 'tap0', guest_mac: guestMac },
    },
  ]);
}

export async function start(api: string): Promise<void> {
  await callSocket(api, { method: 'PUT', path: '/actions', body: { action_type: 'InstanceStart' } });
}

export async function pause(api: string): Promise<void> {
  await callSocket(api, { method: 'PATCH', path: '/vm', body: { state: 'Paused' } });
}

export async function resume(api: string): Promise<void> {
  await callSocket(api, { method: 'PATCH', path: '/vm', body: { state: 'Resumed' } });
}

function filesOf(folder: string): { state: string; memory: string } {
  return { state: `/${folder}/state`, memory: `/${folder}/memory` };
}

export async function ping(api: string): Promise<void> {
  await callSocket(api, { method: 'GET', path: '/' });
}

/** A full snapshot faults in and writes all of the guest's memory (`docs/snapshotting/snapshot-support.md`). */
export async function save(api: string): Promise<void> {
  const { state, memory } = filesOf(fileIn.next);
  const body = { snapshot_type: 'Full', snapshot_path: state, mem_file_path: memory };
  await callSocket(api, { method: 'PUT', path: '/snapshot/create', body }, loadMsMax);
}

/** `File` maps the memory privately: clones share its pages until they write. A failed load ends the process. */
export async function load(api: string): Promise<void> {
  const { state, memory } = filesOf(fileIn.saved);
  const body = {
    snapshot_path: state,
    mem_backend: { backend_type: 'File', backend_path: memory },
    resume_vm: false,
  };
  await callSocket(api, { method: 'PUT', path: '/snapshot/load', body }, loadMsMax);
}
