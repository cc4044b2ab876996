/** Copies a running machine's memory into a new source: a second QEMU takes it over, and never runs. */
import { chmodSync, chownSync } from 'node:fs';
import { mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CasemateError } from '../../base/errors.ts';
import { newId } from '../../base/ids.ts';
import type { CgroupSet } from '../host/cgroup.ts';
import { addLayer, controlSocket } from './clone.ts';
import { type Launched, launch, machineUid } from './launch.ts';
import { fileNode, jail, machineArguments } from './machine.ts';
import { saveDevices, setUp, untilMigrated } from './migrate.ts';
import type { Platform } from './platform.ts';
import { Qmp } from './qmp.ts';
import { fileOf, layersMax, type MachineRecord, readRecord, share, writeRecord } from './source.ts';

export interface SnapshotOptions {
  readonly id: string;
  readonly platform: Platform;
  /** The running machine's folder. */
  readonly directory: string;
  /** Empty; filled with a source. */
  readonly target: string;
  readonly cgroups: CgroupSet;
}

/** No bandwidth that a Unix socket reaches. */
const bytesPerSecondMax = 1e12;
const ownMib = 128;

/** @returns how long the machine stood still, in milliseconds. */
export async function snapshotMachine(options: SnapshotOptions): Promise<number> {
  const { id, directory, target, cgroups } = options;
  const record = await readRecord(directory);
  if (record.layers >= layersMax)
    throw new CasemateError('conflict', `This sandbox goes back over ${layersMax} snapshots; no more fit.`);
  const helperId = newId();
  const hop = join(directory, 'hop');
  let helper: Launched | undefined;
  let source: Qmp | undefined;
  try {
    helper = await launchHelper(options, record, helperId, hop);
    source = await Qmp.open(controlSocket(directory));
    const stoodStillMs = await takeOver(options, record, source, helper.qmp);
    await saveDevices(helper.qmp, hop, machineUid(id), fileOf.state(target));
    await finish(target, directory, record);
    return stoodStillMs;
  } finally {
    source?.end();
    await helper?.kill();
    helper?.release();
    await cgroups.destroy(helperId);
    await rm(hop, { recursive: true, force: true });
  }
}

/** A machine with the same devices, the same user and an empty shared RAM file, that listens for the other's state. */
async function launchHelper(
  { id, platform, target, cgroups }: SnapshotOptions,
  record: MachineRecord,
  helperId: string,
  hop: string,
): Promise<Launched> {
  const { shape } = record;
  const uid = machineUid(id);
  cgroups.create(helperId, {
    cpus: shape.processors,
    memoryMib: shape.guestMemoryMib * 2 + ownMib,
    diskMib: shape.diskMib,
    pids: 128,
  });
  await mkdir(join(hop, 'hop'), { recursive: true, mode: 0o711 });
  const ram = await open(fileOf.ram(target), 'wx', 0o600);
  await ram.truncate(shape.guestMemoryMib * 1024 * 1024);
  await ram.close();
  for (const path of [hop, join(hop, 'hop'), fileOf.ram(target)]) chownSync(path, uid, uid);
  const helper = launch({
    directory: hop,
    uid,
    cgroupJoinFiles: cgroups.joinFiles(helperId),
    files: {
      ram: { source: fileOf.ram(target), writable: true },
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
  await setUp(helper.qmp, 'send');
  await helper.qmp.command('migrate-incoming', { uri: `unix:${jail.hop.listener}` });
  return helper;
}

/** From here the machine stands still: what it wrote becomes a layer that nobody changes any more, its memory is sent over. */
async function takeOver(
  { id, directory }: SnapshotOptions,
  record: MachineRecord,
  source: Qmp,
  helper: Qmp,
): Promise<number> {
  const { layers } = record;
  addLayer(directory, layers, machineUid(id));
  await setUp(source, 'send');
  await source.command('migrate-set-parameters', { 'max-bandwidth': bytesPerSecondMax });
  await source.command('blockdev-add', {
    ...{ driver: 'qcow2', 'node-name': `layer${layers}`, discard: 'unmap', backing: null },
    file: fileNode(jail.layer(layers), false),
  });
  const from = Date.now();
  await source.command('stop');
  try {
    await source.command('blockdev-snapshot', { node: `layer${layers - 1}`, overlay: `layer${layers}` });
    await writeRecord(directory, { ...record, layers: layers + 1 });
    const arrived = untilMigrated(helper, async () => {});
    arrived.catch(() => {});
    await untilMigrated(source, () => source.command('migrate', { uri: `unix:${jail.hop.sender}` }));
    await arrived;
  } catch (error) {
    await source.command('cont').catch(() => {});
    throw error;
  }
  await goOn(source);
  return Date.now() - from;
}

/** QEMU says that a migration has completed a moment before it lets the machine run again, and refuses meanwhile. */
async function goOn(source: Qmp): Promise<void> {
  for (let round = 1; ; round += 1) {
    try {
      await source.command('cont');
      return;
    } catch (error) {
      if (round >= 200 || !String(error).includes('not finalized')) throw error;
      await sleep(5);
    }
  }
}

async function finish(target: string, directory: string, record: MachineRecord): Promise<void> {
  for (let index = 0; index < record.layers; index += 1) {
    const layer = fileOf.layer(directory, index);
    chownSync(layer, 0, 0);
    chmodSync(layer, 0o444);
    share(layer, fileOf.layer(target, index));
  }
  share(fileOf.emptyLayer(directory), fileOf.emptyLayer(target));
  for (const path of [fileOf.ram(target), fileOf.state(target)]) {
    chownSync(path, 0, 0);
    chmodSync(path, 0o444);
  }
  await writeRecord(target, record);
}
