/** Starts a machine as a copy-on-write clone of a source: a booted template or a snapshot. */
import { chmodSync, chownSync, constants, copyFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CreateOptions } from '../driver.ts';
import { fifosOf } from './channel.ts';
import { type Launched, launch, machineUid } from './launch.ts';
import { machineArguments } from './machine.ts';
import { listenForState, loadAndRun } from './migrate.ts';
import type { Platform } from './platform.ts';
import { fileOf, type MachineRecord, readRecord, share, writeRecord } from './source.ts';
import { moveTap, prepareNetwork } from './tap.ts';

export interface CloneOptions {
  readonly id: string;
  readonly platform: Platform;
  /** The machine's own folder, staged. */
  readonly directory: string;
  readonly source: string;
  readonly rootImage: string;
  readonly cgroupJoinFiles: readonly string[];
}

/** A machine that has everything but its state: it waits, and knows no tenant. */
export interface Waiting {
  readonly source: string;
  readonly machine: Launched;
}

/** Lays out the disk and starts QEMU, which then waits for `wake`. */
export async function launchClone(options: CloneOptions): Promise<Waiting> {
  const { id, platform, directory, source, rootImage } = options;
  const { shape, layers, rootImageBytes } = await readRecord(source);
  const uid = machineUid(id);
  for (let index = 0; index < layers; index += 1)
    share(fileOf.layer(source, index), fileOf.layer(directory, index));
  copyFileSync(fileOf.emptyLayer(source), fileOf.emptyLayer(directory), constants.COPYFILE_FICLONE);
  addLayer(directory, layers, uid);
  const record: MachineRecord = { shape, layers: layers + 1, rootImage, rootImageBytes };
  await writeRecord(directory, record);
  chownSync(directory, uid, uid);
  const machine = launch({
    directory,
    uid,
    cgroupJoinFiles: options.cgroupJoinFiles,
    files: {
      ram: { source: fileOf.ram(source) },
      'root.img': { source: rootImage },
      kernel: { source: platform.kernel.image },
      initrd: { source: platform.initrd.file },
      'private-ram.so': { source: platform.privateRam },
    },
    preload: '/private-ram.so',
    fileMibMax: shape.diskMib + 64,
    kvm: shape.accelerator === 'kvm',
    argv: machineArguments({
      qemu: platform.qemu,
      shape,
      ram: 'private',
      start: 'incoming',
      disk: { layers: layers + 1, writableBase: false },
      agentPort: true,
    }),
  });
  return { source, machine };
}

/** Puts an empty layer of the machine's own on top. */
export function addLayer(directory: string, index: number, uid: number): void {
  const layer = fileOf.layer(directory, index);
  copyFileSync(fileOf.emptyLayer(directory), layer, constants.COPYFILE_FICLONE);
  chmodSync(layer, 0o600);
  chownSync(layer, uid, uid);
}

/** Gives a waiting machine its state, its network and its stream; it runs when this resolves. */
export async function wake(
  { source, machine }: Waiting,
  directory: string,
  options: Pick<CreateOptions, 'networkNamespace' | 'streamOwner'>,
): Promise<void> {
  const { networkNamespace, streamOwner } = options;
  try {
    // QEMU answers when all its devices are there: FIFOs and tap opened.
    const up = machine.qmp.command('query-status');
    const loaded = listenForState(machine.qmp).then(() => {
      // Before anything of the guest runs: even a QEMU that was broken into cannot put another file in place of its stream.
      chownSync(directory, 0, 0);
      for (const fifo of Object.values(fifosOf(directory))) chownSync(fifo, streamOwner.uid, streamOwner.gid);
      return loadAndRun(machine.qmp, directory, fileOf.state(source));
    });
    const network = Promise.all([up, prepareNetwork(networkNamespace)]).then(() =>
      moveTap(machine.pid, networkNamespace),
    );
    await Promise.all([network, loaded]);
    machine.release();
  } catch (error) {
    await machine.kill();
    machine.release();
    throw new Error(`The virtual machine did not start: ${String(error)}`, { cause: error });
  }
}

/** QEMU's control socket of a machine that runs already. */
export function controlSocket(directory: string): string {
  return join(directory, 'qmp');
}
