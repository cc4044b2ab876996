/** Copies a running machine's memory into a new source: a second QEMU takes it over, and never runs. */
import { chmodSync, chownSync, mkdirSync, renameSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { newId } from '../../base/ids.ts';
import type { CgroupSet } from '../host/cgroup.ts';
import { copySparse, seal } from '../host/sealed.ts';
import { type Arrival, arrivalFor } from './arrival.ts';
import { addLayer } from './clone.ts';
import type { MachineControl } from './control.ts';
import { flattenDisk } from './flatten.ts';
import { type Launched, launch, machineUid } from './launch.ts';
import { fileNode, ignoringShared, jail, layerNode, machineArguments, nodeOf } from './machine.ts';
import type { Platform } from './platform.ts';
import {
  fileOf,
  type MachineRecord,
  makeRam,
  needRoomForLayer,
  readRecord,
  share,
  takeState,
  writeRecord,
} from './source.ts';

export interface SnapshotOptions {
  readonly id: string;
  readonly platform: Platform;
  /** The running machine's folder. */
  readonly directory: string;
  /** Empty; filled with a source. */
  readonly target: string;
  readonly cgroups: CgroupSet;
  /** Of the running machine. */
  readonly control: MachineControl;
}

/** No bandwidth that a Unix socket reaches. */
const bytesPerSecondMax = 1e12;
const ownMib = 128;

/** @returns how long the machine stood still, in milliseconds. */
export async function snapshotMachine(options: SnapshotOptions): Promise<number> {
  const { directory, target, cgroups, control } = options;
  const record = await readRecord(directory);
  needRoomForLayer(record);
  const helperId = newId();
  const hop = join(directory, 'hop');
  const bytes = record.shape.guestMemoryMib * 1024 * 1024;
  await makeRam(target, record.shape.guestMemoryMib);
  const arrival = arrivalFor(fileOf.ram(target), bytes, helperId, machineUid(helperId));
  let helper: Launched | undefined;
  try {
    const kept = await flattenDisk(control, record);
    helper = await launchHelper(options, record, helperId, { hop, arrival });
    const stoodStillMs = await takeOver(options, record, helper.control);
    await helper.control.commands(['migrate-set-capabilities', ignoringShared(true)]);
    await helper.control.save();
    await helper.kill(); // before its files are believed to be whole
    takeState(hop, fileOf.state(target));
    await arrival.keep();
    await finish(options, record, kept);
    await leaveSealed(control, record.layers - 1);
    return stoodStillMs;
  } finally {
    await helper?.kill();
    helper?.release();
    await helper?.control.forget();
    arrival.close();
    await cgroups.destroy(helperId);
    await rm(hop, { recursive: true, force: true });
  }
}

/**
 * A machine with the same devices and an empty shared RAM file, that listens for the other's state. Its user is another:
 * what a QEMU that was broken into can do to those of its own user is nothing to it.
 */
async function launchHelper(
  { id, platform, cgroups }: SnapshotOptions,
  record: MachineRecord,
  helperId: string,
  { hop, arrival }: { readonly hop: string; readonly arrival: Arrival },
): Promise<Launched> {
  const { shape } = record;
  const uid = machineUid(helperId);
  cgroups.create(helperId, {
    cpus: shape.processors,
    memoryMib: shape.guestMemoryMib * 2 + ownMib,
    diskMib: shape.diskMib,
    pids: 128,
  });
  const meeting = join(hop, 'hop');
  for (const [folder, mode] of [
    [hop, 0o711],
    [meeting, 0o770],
  ] as const) {
    mkdirSync(folder);
    chmodSync(folder, mode);
  }
  chownSync(meeting, uid, machineUid(id));
  const helper = await launch({
    directory: hop,
    uid,
    cgroupJoinFiles: cgroups.joinFiles(helperId),
    files: {
      ram: { source: arrival.path, writable: true },
      kernel: { source: platform.kernel.image },
      initrd: { source: platform.initrd.file },
    },
    fileMibMax: 64,
    kvm: shape.accelerator === 'kvm',
    argv: machineArguments({
      qemu: platform.qemu,
      shape,
      ram: 'shared',
      start: 'incoming',
      disk: { standInRootBytes: record.rootImageBytes },
      agentPort: false,
    }),
  });
  await helper.control.commands(
    ['migrate-set-capabilities', ignoringShared(false)],
    ['migrate-incoming', { uri: `unix:${jail.hop.listener}` }],
  );
  arrival.forgetName();
  return helper;
}

/** From here the machine stands still: its memory is sent over, and what it writes from now on goes to another layer. */
async function takeOver(
  { id, directory, control }: SnapshotOptions,
  record: MachineRecord,
  helper: MachineControl,
): Promise<number> {
  const { layers } = record;
  addLayer(directory, layers, machineUid(id));
  await control.commands(
    ['migrate-set-capabilities', ignoringShared(false)],
    ['migrate-set-parameters', { 'max-bandwidth': bytesPerSecondMax }],
    ['blockdev-add', { ...overlay(layers), file: overlayFile(layers), backing: null }],
  );
  const from = Date.now();
  await control.commands(['stop']);
  try {
    await control.commands([
      'blockdev-snapshot',
      { node: nodeOf.writable(layers - 1), overlay: nodeOf.writable(layers) },
    ]);
    await writeRecord(directory, { ...record, layers: layers + 1 });
    const arrived = helper.migrated();
    const sent = control.migrated();
    for (const end of [arrived, sent]) end.catch(() => {}); // told below
    await control.commands(['migrate', { uri: `unix:${jail.hop.sender}` }]);
    await Promise.all([arrived, sent]);
  } catch (error) {
    await control.run().catch(() => {});
    throw error;
  }
  await control.run();
  return Date.now() - from;
}

function overlay(index: number): object {
  return { driver: 'qcow2', 'node-name': nodeOf.writable(index), discard: 'unmap' };
}

function overlayFile(index: number): object {
  return { ...fileNode(jail.layer(index), false), 'node-name': fileNodeOf(index) };
}

const fileNodeOf = (index: number): string => `file${index}`;

/** The snapshot gets a copy of what the machine wrote, because its QEMU has that open; the machine's folder the same copy. */
async function finish(
  { target, directory }: SnapshotOptions,
  record: MachineRecord,
  kept: readonly number[],
): Promise<void> {
  const last = fileOf.layer(directory, record.layers - 1);
  const sealed = fileOf.layer(target, kept.length - 1);
  for (const [index, from] of kept.slice(0, -1).entries())
    share(fileOf.layer(directory, from), fileOf.layer(target, index));
  await copySparse(last, sealed);
  share(fileOf.emptyLayer(directory), fileOf.emptyLayer(target));
  await seal(fileOf.ram(target), fileOf.state(target), sealed);
  const next = `${last}.next`;
  share(sealed, next);
  renameSync(next, last);
  await writeRecord(target, { ...record, layers: kept.length });
}

/** Lets QEMU go over to the sealed copy of a layer, and of the one that it wrote: nobody needs that any more. */
async function leaveSealed(control: MachineControl, index: number): Promise<void> {
  const top = { ...overlay(index + 1), file: fileNodeOf(index + 1), backing: nodeOf.sealed(index) };
  await control.commands(
    ['blockdev-add', layerNode(index, false)],
    ['blockdev-reopen', { options: [top] }],
    ['blockdev-del', { 'node-name': nodeOf.writable(index) }],
  );
}
