/** What machines are made of on this host: QEMU, kernel, initial RAM disk, and whether the processor helps. */
import { createHash } from 'node:crypto';
import { readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { newId } from '../../base/ids.ts';
import { openCache } from '../host/templateCache.ts';
import { findKernel, findQemu, hostProcessor, type Kernel, type Qemu } from './binary.ts';
import { type AgentLink, writeInitrd } from './initrd.ts';
import type { Accelerator } from './machine.ts';
import { probeAccelerator } from './probe.ts';

export interface PlatformOptions {
  /** Folder with `kernel/<version>/boot/vmlinuz-…` and `qemu/private-ram.so`, filled by the set-up. */
  readonly libraryDir: string;
  /** The folder that holds the guest agent's program. */
  readonly agentDir: string;
  /** Root-owned folder for what can be made again: images, booted templates. */
  readonly cacheDir: string;
  /** How long the probe's guest may take to come up with KVM; more than 5 s only where KVM itself is emulated. */
  readonly kvmBootMsMax?: number;
}

export interface Components {
  readonly qemu: Qemu;
  readonly kernel: Kernel;
  readonly initrd: { readonly file: string; readonly digest: string };
  /** Makes QEMU open shared RAM read-only (see private-ram.s). */
  readonly privateRam: string;
}

export interface Platform extends Components {
  readonly accelerator: Accelerator;
  /** Why hardware support is or is not used; one sentence. */
  readonly kvm: string;
  /** What a snapshot is tied to: the host's processor with KVM, the emulated one without. */
  readonly processor: string;
}

/** @throws CasemateError `runtime_unavailable` */
export async function findPlatform(options: PlatformOptions): Promise<Platform> {
  const [qemu, kernel] = await Promise.all([findQemu(), findKernel(join(options.libraryDir, 'kernel'))]);
  const initrd = await makeInitrd(options, kernel, 'serial');
  const privateRam = join(options.libraryDir, 'qemu/private-ram.so');
  const components = { qemu, kernel, initrd, privateRam };
  const { accelerator, kvm } = await probeAccelerator(components, options);
  const processor = accelerator === 'kvm' ? await hostProcessor() : 'QEMU’s emulated processor "max"';
  return { ...components, accelerator, kvm, processor };
}

/** Content-addressed, so that a new agent makes a new one beside those that running machines were booted from. */
export async function makeInitrd(
  { agentDir, cacheDir }: Pick<PlatformOptions, 'agentDir' | 'cacheDir'>,
  kernel: Kernel,
  link: AgentLink,
): Promise<Components['initrd']> {
  openCache(cacheDir);
  const partial = join(cacheDir, `initrd.${newId(8)}.partial`);
  await writeInitrd(partial, kernel, join(agentDir, 'guest-agent'), link);
  const digest = createHash('sha256')
    .update(await readFile(partial))
    .digest('hex');
  const file = join(cacheDir, `initrd-${digest.slice(0, 16)}`);
  await rename(partial, file);
  return { file, digest };
}
