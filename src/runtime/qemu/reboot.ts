/** A pause of files alone: keeps the disk of a machine that ends, and boots another machine on it later. */
import { chownSync } from 'node:fs';
import { CasemateError } from '../../base/errors.ts';
import type { CreateOptions } from '../driver.ts';
import { seal } from '../host/sealed.ts';
import { fifosOf } from './channel.ts';
import { type CloneOptions, layOutDisk } from './clone.ts';
import type { MachineControl } from './control.ts';
import { flattenDisk } from './flatten.ts';
import { type Launched, launch, machineUid } from './launch.ts';
import { type MachineShape, machineArguments } from './machine.ts';
import { fileOf, readRecord, share, writeRecord } from './source.ts';
import { moveTap, prepareNetwork } from './tap.ts';

export interface SaveOptions {
  /** The running machine's folder. */
  readonly directory: string;
  /** Empty; filled with a disk and what it is of. */
  readonly target: string;
  readonly control: MachineControl;
  /** Resolves when nothing of the machine runs any more. */
  readonly end: () => Promise<void>;
}

/** The layers get another name each: nothing is copied, and what the machine wrote is not read. */
export async function saveDisk({ directory, target, control, end }: SaveOptions): Promise<void> {
  const record = await readRecord(directory);
  const kept = await flattenDisk(control, record);
  await control.commands(['stop']); // QEMU writes out what it holds back of the disk itself
  try {
    for (const [index, from] of kept.entries())
      share(fileOf.layer(directory, from), fileOf.layer(target, index));
    share(fileOf.emptyLayer(directory), fileOf.emptyLayer(target));
    await writeRecord(target, { ...record, layers: kept.length });
  } catch (error) {
    await control.run();
    throw error;
  }
  await end();
  await seal(fileOf.layer(target, kept.length - 1));
}

export interface BootOptions extends CloneOptions {
  readonly create: Pick<CreateOptions, 'networkNamespace' | 'streamOwner'>;
  readonly shape: MachineShape;
  readonly rootImageBytes: number;
  /** How long the guest may take to come up. */
  readonly bootMsMax: number;
}

/** Resolves when the guest's agent waits for its host. */
export async function bootOnDisk(options: BootOptions): Promise<Launched> {
  const { id, platform, directory, rootImage, create } = options;
  const { shape, layers } = await layOutDisk(options, {
    shape: options.shape,
    rootImageBytes: options.rootImageBytes,
  });
  const machine = await launch({
    directory,
    uid: machineUid(id),
    cgroupJoinFiles: options.cgroupJoinFiles,
    files: {
      'root.img': { source: rootImage },
      kernel: { source: platform.kernel.image },
      initrd: { source: platform.initrd.file },
    },
    fileMibMax: shape.diskMib + 64,
    kvm: shape.accelerator === 'kvm',
    argv: machineArguments({
      qemu: platform.qemu,
      shape,
      ram: 'empty',
      start: 'boot',
      disk: { layers, writableBase: false },
      agentPort: true,
    }),
  });
  try {
    await Promise.all([machine.control.portOpen(options.bootMsMax), connect(machine, create)]);
    for (const fifo of Object.values(fifosOf(directory)))
      chownSync(fifo, create.streamOwner.uid, create.streamOwner.gid);
    machine.release();
    return machine;
  } catch (error) {
    await machine.kill();
    machine.release();
    // A root inside may have broken its own disk; the files are as they were.
    throw new CasemateError('snapshot_damaged', 'The virtual machine does not boot from its files.', {
      cause: error,
    });
  }
}

async function connect(
  { pid, control }: Launched,
  { networkNamespace }: Pick<CreateOptions, 'networkNamespace'>,
): Promise<void> {
  const up = control.commands(['query-status']); // then it has opened its tap
  await Promise.all([up, prepareNetwork(networkNamespace)]);
  await moveTap(pid, networkNamespace);
}
