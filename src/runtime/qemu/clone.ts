/** Starts a machine as a copy-on-write clone of a source: a booted template or a snapshot. */
import { chmodSync, chownSync, constants, copyFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { CreateOptions } from '../driver.ts';
import { fifosOf } from './channel.ts';
import { controlFolder } from './control.ts';
import { controlFile } from './controlWire.ts';
import { type Launched, launch, machineUid } from './launch.ts';
import { ignoringShared, jail, machineArguments } from './machine.ts';
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
export class Waiting {
  readonly source: string;
  readonly machine: Launched;
  /** QEMU has opened its FIFOs and its tap, and listens for its state. */
  readonly #up: Promise<void>;
  #connected: Promise<void> | undefined;

  constructor(source: string, machine: Launched) {
    this.source = source;
    this.machine = machine;
    this.#up = machine.control.commands(
      ['migrate-set-capabilities', ignoringShared(true)],
      ['migrate-incoming', { uri: `unix:${jail.control(controlFile.loading)}` }],
    );
    this.#up.catch(() => {}); // told by `connect`
  }

  /** Joins it to its network, once. */
  connect(network: Promise<string>): Promise<void> {
    this.#connected ??= this.#connect(network);
    this.#connected.catch(() => {}); // told to who wakes it
    return this.#connected;
  }

  async #connect(network: Promise<string>): Promise<void> {
    const namespace = await network;
    await Promise.all([this.#up, prepareNetwork(namespace)]);
    await moveTap(this.machine.pid, namespace);
  }
}

/**
 * Gives a machine the disk of its source, with a layer of its own on top.
 * @param other what is another one than the source's.
 */
export async function layOutDisk(
  { id, directory, source, rootImage }: Omit<CloneOptions, 'platform' | 'cgroupJoinFiles'>,
  other: Partial<Pick<MachineRecord, 'shape' | 'rootImageBytes'>> = {},
): Promise<MachineRecord> {
  const saved = await readRecord(source);
  for (let index = 0; index < saved.layers; index += 1)
    share(fileOf.layer(source, index), fileOf.layer(directory, index));
  copyFileSync(fileOf.emptyLayer(source), fileOf.emptyLayer(directory), constants.COPYFILE_FICLONE);
  addLayer(directory, saved.layers, machineUid(id));
  const record = { ...saved, ...other, layers: saved.layers + 1, rootImage };
  await writeRecord(directory, record);
  return record;
}

/** Lays out the disk and starts QEMU, which then waits for `wake`. */
export async function launchClone(options: CloneOptions): Promise<Waiting> {
  const { id, platform, directory, source, rootImage } = options;
  const { shape, layers } = await layOutDisk(options);
  const machine = await launch({
    directory,
    uid: machineUid(id),
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
      disk: { layers, writableBase: false },
      agentPort: true,
    }),
  });
  return new Waiting(source, machine);
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
  waiting: Waiting,
  directory: string,
  { networkNamespace, streamOwner }: Pick<CreateOptions, 'networkNamespace' | 'streamOwner'>,
): Promise<void> {
  const { source, machine } = waiting;
  const { control } = machine;
  try {
    await waiting.connect(Promise.resolve(networkNamespace));
    for (const fifo of Object.values(fifosOf(directory))) chownSync(fifo, streamOwner.uid, streamOwner.gid);
    const state = join(controlFolder(directory), controlFile.state);
    share(fileOf.state(source), state);
    await control.load();
    rmSync(state);
    await control.run();
    machine.release();
  } catch (error) {
    await machine.kill();
    machine.release();
    throw new Error(`The virtual machine did not start: ${String(error)}`, { cause: error });
  }
}
