/** What microVMs are made of on this host, and whether a guest boots with it: found out by booting one. */
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { CasemateError } from '../../base/errors.ts';
import { newId } from '../../base/ids.ts';
import type { GroupOptions } from '../host/groupDriver.ts';
import { openCache } from '../host/templateCache.ts';
import { findKernel, hostProcessor, type Kernel } from '../qemu/binary.ts';
import { machineUid } from '../qemu/launch.ts';
import { makeInitrd } from '../qemu/platform.ts';
import { plainKernel } from './kernel.ts';
import { agentOf, apiOf, launchVmm, layOut, sealRoot } from './launch.ts';
import { fileIn, type Vmm, type VmmProgram } from './vmm.ts';
import { untilAgentListens } from './vsock.ts';

export interface MicrovmOptions extends GroupOptions {
  /** Folder with `kernel/<version>/boot/vmlinuz-…`, filled by the set-up. */
  readonly libraryDir: string;
  /** The folder that holds the guest agent's program. */
  readonly agentDir: string;
  /** Root-owned folder for what can be made again: images, booted templates. */
  readonly cacheDir: string;
  /** How long a guest may take to come up; more than the default only where KVM itself is emulated. */
  readonly bootMsMax?: number;
}

export const bootMsDefault = 10_000;

export interface MicrovmPlatform {
  readonly program: VmmProgram;
  readonly kernel: Kernel;
  /** The kernel without its packing. */
  readonly vmlinux: string;
  readonly initrd: { readonly file: string; readonly digest: string };
  readonly processor: string;
}

/** @throws CasemateError `runtime_unavailable`, with what is missing. */
export async function findPlatform(vmm: Vmm, options: MicrovmOptions): Promise<MicrovmPlatform> {
  const program = await vmm.find();
  if (!existsSync('/dev/kvm'))
    throw new CasemateError(
      'runtime_unavailable',
      'This machine has no /dev/kvm, and it runs nothing without.',
    );
  const kernel = await findKernel(join(options.libraryDir, 'kernel'));
  openCache(options.cacheDir);
  const [vmlinux, initrd, processor] = await Promise.all([
    plainKernel(options.cacheDir, kernel),
    makeInitrd(options, kernel, 'vsock'),
    hostProcessor(),
  ]);
  const platform = { program, kernel, vmlinux, initrd, processor };
  await bootOnce(vmm, platform, options);
  return platform;
}

/** A machine without disks and network, whose first program says that it is there. */
async function bootOnce(vmm: Vmm, platform: MicrovmPlatform, options: MicrovmOptions): Promise<void> {
  const { cgroups, cacheDir, bootMsMax = bootMsDefault } = options;
  const id = newId();
  const directory = await mkdtemp(join(cacheDir, 'probe-'));
  const shape = { guestMemoryMib: 128, processors: 1 };
  try {
    cgroups.create(id, { cpus: 1, memoryMib: 256 + vmm.ownMib, diskMib: 0, pids: 64 });
    layOut(
      vmm,
      { directory, id },
      { [fileIn.kernel]: platform.vmlinux, [fileIn.initrd]: platform.initrd.file },
    );
    await launchVmm(vmm, platform.program, {
      ...{ id, directory, uid: machineUid(id), cgroupJoinFiles: cgroups.joinFiles(id) },
      ...{ fileMibMax: 64, network: false },
    });
    await vmm.define(apiOf(directory), shape, false);
    sealRoot(directory);
    await vmm.start(apiOf(directory));
    await untilAgentListens(agentOf(directory), bootMsMax);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CasemateError('runtime_unavailable', `/dev/kvm exists but no guest boots with it: ${reason}`, {
      cause,
    });
  } finally {
    await cgroups.destroy(id);
    await rm(directory, { recursive: true, force: true });
  }
}
