/** Finds out by booting a guest whether KVM works here, and whether a guest boots at all. */
import { chownSync } from 'node:fs';
import { access, chmod, mkdir, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CasemateError } from '../../base/errors.ts';
import { newId } from '../../base/ids.ts';
import { hostProcessor } from './binary.ts';
import { launch, machineUid } from './launch.ts';
import { type Accelerator, machineArguments } from './machine.ts';
import type { Components, PlatformOptions } from './platform.ts';

export interface AcceleratorFound {
  readonly accelerator: Accelerator;
  readonly kvm: string;
}

const guestMemoryMib = 128;
/** With hardware support a guest is up in a fraction of a second; an emulated one in three, on a quiet machine. */
const bootMsDefault = { kvm: 5000, tcg: 60_000 } as const;

/**
 * Boots the probe once per boot of the host, kernel, QEMU and processor; the answer is kept beside the images.
 * @throws CasemateError `runtime_unavailable` where no guest boots.
 */
export async function probeAccelerator(
  components: Components,
  { cacheDir, kvmBootMsMax = bootMsDefault.kvm }: Pick<PlatformOptions, 'cacheDir' | 'kvmBootMsMax'>,
): Promise<AcceleratorFound> {
  const bootId = await readFile('/proc/sys/kernel/random/boot_id', 'utf8');
  const { qemu, kernel, initrd } = components;
  const key = [bootId.trim(), qemu.version, kernel.version, initrd.digest, await hostProcessor()].join('|');
  const file = join(cacheDir, 'probe.json');
  const known = await readFile(file, 'utf8').catch(() => '{}');
  const kept = JSON.parse(known) as { key?: string; found?: AcceleratorFound };
  if (kept.key === key && kept.found !== undefined) return kept.found;
  const found = await boot(components, cacheDir, { ...bootMsDefault, kvm: kvmBootMsMax });
  await writeFile(file, JSON.stringify({ key, found }), { mode: 0o600 });
  return found;
}

type BootMsMax = Readonly<Record<Accelerator, number>>;

async function boot(
  components: Components,
  cacheDir: string,
  bootMsMax: BootMsMax,
): Promise<AcceleratorFound> {
  const there = await access('/dev/kvm').then(
    () => true,
    () => false,
  );
  let kvm = 'this machine has no /dev/kvm, so the processor is emulated';
  if (there) {
    const failure = await bootOnce(components, cacheDir, 'kvm', bootMsMax.kvm);
    if (failure === undefined)
      return { accelerator: 'kvm', kvm: 'KVM boots a guest here, so the processor runs it itself' };
    kvm = `/dev/kvm exists but no guest boots with it (${failure}), so the processor is emulated`;
  }
  const failure = await bootOnce(components, cacheDir, 'tcg', bootMsMax.tcg);
  if (failure === undefined) return { accelerator: 'tcg', kvm };
  throw new CasemateError('runtime_unavailable', `No guest boots here: ${failure}.`);
}

/** @returns what went wrong, undefined where the guest's first program came up. */
async function bootOnce(
  { qemu, kernel, initrd }: Components,
  cacheDir: string,
  accelerator: Accelerator,
  bootMsMax: number,
): Promise<string | undefined> {
  const directory = await mkdtemp(join(cacheDir, 'probe-'));
  const uid = machineUid(newId());
  const ram = join(directory, 'ram.file');
  const shape = { ...{ qemu: qemu.version, accelerator, processor: '', kernel: kernel.version }, initrd: '' };
  await writeFile(ram, '');
  await truncate(ram, guestMemoryMib * 1024 * 1024);
  chownSync(ram, uid, uid);
  await chmod(directory, 0o711);
  await mkdir(join(directory, 'jail'));
  const machine = await launch({
    directory,
    uid,
    cgroupJoinFiles: [],
    files: {
      ram: { source: ram, writable: true },
      kernel: { source: kernel.image },
      initrd: { source: initrd.file },
    },
    fileMibMax: guestMemoryMib,
    kvm: accelerator === 'kvm',
    argv: machineArguments({
      qemu,
      shape: { ...shape, guestMemoryMib, processors: 1, diskMib: 0 },
      ram: 'private',
      start: 'boot',
      disk: 'none',
      agentPort: false,
    }),
  });
  try {
    await machine.control.portOpen(bootMsMax);
    return undefined;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return reason.includes('took too long') ? `it hangs for ${bootMsMax} ms` : reason.slice(-300);
  } finally {
    await machine.kill();
    machine.release();
    await machine.control.forget();
    await rm(directory, { recursive: true, force: true });
  }
}
