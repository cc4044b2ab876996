/** What a machine is made of, and QEMU's arguments for it. Source and clone must agree in every device. */
import type { Qemu } from './binary.ts';
import { controlFile } from './controlWire.ts';

export type Accelerator = 'kvm' | 'tcg';

/** 1 had no pvpanic device, 2 a network device that has the guest announce itself after a restore. */
export const snapshotFormat = 3;

/** Everything that a snapshot has to find again; part of its `machine.json`. */
export interface MachineShape {
  readonly format: typeof snapshotFormat;
  readonly qemu: string;
  readonly accelerator: Accelerator;
  readonly processor: string;
  readonly kernel: string;
  /** SHA-256 of the initial RAM disk, hence of the agent. */
  readonly initrd: string;
  /** SHA-256 of the template's image. */
  readonly image: string;
  readonly guestMemoryMib: number;
  readonly processors: number;
  readonly diskMib: number;
}

/** Where QEMU finds things inside its jail. */
export const jail = {
  vm: '/vm',
  ram: '/ram',
  root: '/root.img',
  kernel: '/kernel',
  initrd: '/initrd',
  /** By its name in the folder where QEMU meets who speaks to it (controlWire.ts). */
  control: (name: string): string => `/vm/control/${name}`,
  agent: '/vm/agent',
  /** Where the one machine listens and the other, whose folder holds the first one's, finds it. */
  hop: { listener: '/vm/hop/socket', sender: '/vm/hop/hop/socket' },
  layer: (index: number): string => `/vm/layer${index}`,
} as const;

/** How the writable disk is made up: a raw base, and layers over it of which the last is written to. */
export type Disk = { readonly layers: number; readonly writableBase: boolean } | 'none';

/** The disks of a machine that only takes over another's memory and never runs: nothing but sizes. */
export interface StandIn {
  readonly standInRootBytes: number;
}

export interface MachineOptions {
  readonly qemu: Qemu;
  readonly shape: Omit<MachineShape, 'image' | 'format'>;
  /** `shared`: what the guest writes reaches the RAM file. `private`: copy-on-write. `empty`: there is no file. */
  readonly ram: 'shared' | 'private' | 'empty';
  readonly start: 'boot' | 'incoming';
  readonly disk: Disk | StandIn;
  /** Whether the agent's port leads to the two FIFOs of the machine's folder. */
  readonly agentPort: boolean;
}

/** QEMU looks for who speaks to it as often as this where nobody does. */
const reconnectSeconds = 1;

/** Nothing that Debian's kernel does not need: no display, no USB, no SATA, no legacy ports. */
const board = 'q35,memory-backend=ram,vmport=off,smm=off,sata=off,smbus=off,graphics=off,usb=off';
/** The translated code of one machine: QEMU's default grows to a gigabyte. */
export const translationMib = 32;

/**
 * A clone takes its clock from the guest's memory and not from who saved it: the machine that takes over another's memory
 * never ran, and its own clock starts with it. The guest's would stand still until that one had caught up.
 */
const guestClock = ['-global', 'kvmclock.x-mach-use-reliable-get-clock=off'];

export function machineArguments(options: MachineOptions): string[] {
  const { qemu, shape, ram, start } = options;
  const kvm = shape.accelerator === 'kvm';
  return [
    qemu.path,
    ...['-machine', board],
    ...['-accel', kvm ? 'kvm' : `tcg,thread=multi,tb-size=${translationMib}`],
    ...['-cpu', kvm ? 'host' : 'max'],
    ...(kvm ? guestClock : []),
    ...['-m', `${shape.guestMemoryMib}M`, '-smp', String(shape.processors)],
    ...['-object', `${memory(ram)},id=ram,size=${shape.guestMemoryMib}M`],
    ...['-object', 'main-loop,id=main-loop,thread-pool-max=4'],
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ...['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'],
    ...['-kernel', jail.kernel, '-initrd', jail.initrd, '-append', kernelCommandLine(options)],
    ...['-chardev', `socket,id=control,path=${jail.control(controlFile.qmp)},reconnect=${reconnectSeconds}`],
    ...['-mon', 'chardev=control,mode=control'],
    ...['-device', 'pvpanic-pci'],
    ...['-chardev', options.agentPort ? `pipe,id=agent,path=${jail.agent}` : 'null,id=agent'],
    ...[
      '-device',
      'virtio-serial-pci,max_ports=2',
      '-device',
      'virtserialport,id=agent,chardev=agent,name=agent',
    ],
    ...diskArguments(options.disk, shape.diskMib),
    ...['-netdev', 'tap,id=net,ifname=tap0,script=no,downscript=no'],
    ...['-device', 'virtio-net-pci,netdev=net,mac=02:00:00:00:00:02,romfile=,guest_announce=off'],
    ...(start === 'incoming' ? ['-incoming', 'defer'] : []),
    ...(isStandIn(options.disk) ? ['-S'] : []),
  ];
}

/** Both go by one name in the state of a machine, so that either is what the other was. */
function memory(ram: MachineOptions['ram']): string {
  if (ram === 'empty') return 'memory-backend-ram';
  return `memory-backend-file,mem-path=${jail.ram},share=${ram === 'shared' ? 'on' : 'off'}`;
}

/**
 * q35 measures the processor's clock against its HPET, so the guest is not told a rate. An emulated processor is so slow
 * that Go takes each of the agent's steps for an endless loop, and interrupts it by signals: there it is told not to.
 */
function kernelCommandLine({ disk, shape }: MachineOptions): string {
  const first = disk === 'none' ? '--probe' : '--init';
  const agent = shape.accelerator === 'tcg' ? 'GODEBUG=asyncpreemptoff=1 ' : '';
  return `rdinit=/init quiet loglevel=1 reboot=t panic=-1 tsc=reliable random.trust_cpu=on psi=0 ${agent}-- ${first}`;
}

function diskArguments(disk: MachineOptions['disk'], diskMib: number): string[] {
  if (disk === 'none') return [];
  const nodes: object[] = [];
  let top = nodeOf.writable(0);
  if (isStandIn(disk)) {
    nodes.push(
      { driver: 'null-co', 'node-name': 'root', size: disk.standInRootBytes, 'read-only': true },
      { driver: 'null-co', 'node-name': 'layer0', size: diskMib * 1024 * 1024 },
    );
  } else {
    nodes.push({ driver: 'raw', 'node-name': 'root', 'read-only': true, file: fileNode(jail.root, true) });
    for (let index = 0; index < disk.layers; index += 1) {
      const writable = index === disk.layers - 1 && (index > 0 || disk.writableBase);
      top = nodeOf[writable ? 'writable' : 'sealed'](index);
      nodes.push(layerNode(index, writable));
    }
  }
  return [
    ...nodes.flatMap((node) => ['-blockdev', JSON.stringify(node)]),
    ...['-device', 'virtio-blk-pci,drive=root', '-device', `virtio-blk-pci,drive=${top}`],
  ];
}

function isStandIn(disk: MachineOptions['disk']): disk is StandIn {
  return typeof disk === 'object' && 'standInRootBytes' in disk;
}

/** One that is written to and one that never is again are two nodes also where they hold the same. */
export const nodeOf = {
  writable: (index: number): string => `layer${index}`,
  sealed: (index: number): string => `sealed${index}`,
} as const;

/** The first layer is raw, each later one holds what differs from the one before. */
export function layerNode(index: number, writable: boolean): object {
  return {
    ...{ driver: index === 0 ? 'raw' : 'qcow2', 'read-only': !writable },
    'node-name': nodeOf[writable ? 'writable' : 'sealed'](index),
    ...(index === 0 ? {} : { backing: nodeOf.sealed(index - 1) }),
    ...(writable ? { discard: 'unmap' } : {}),
    file: fileNode(jail.layer(index), !writable),
  };
}

/** No flushes: what a machine wrote lives as long as the machine; a snapshot is brought to the disk by who writes it. */
export function fileNode(filename: string, readOnly: boolean): object {
  return {
    ...{ driver: 'file', filename, 'read-only': readOnly, locking: 'off' },
    ...(readOnly ? {} : { discard: 'unmap', cache: { 'no-flush': true } }),
  };
}

/** With it, memory that lies in a shared file is left where it is, so that the state holds devices only. */
export function ignoringShared(state: boolean): { capabilities: object[] } {
  return {
    capabilities: [
      { capability: 'x-ignore-shared', state },
      { capability: 'events', state: true },
    ],
  };
}
