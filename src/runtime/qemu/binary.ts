/** Finds QEMU and the guest's kernel on this machine: what is here, not whether it boots. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from '../../base/child.ts';
import { CasemateError } from '../../base/errors.ts';

/** Debian's package puts it here; the machine's jail shows /usr alone. */
const qemuPath = '/usr/bin/qemu-system-x86_64';

export interface Qemu {
  readonly path: string;
  /** The whole line of the package, because a snapshot fits one build only: `7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)`. */
  readonly version: string;
}

export interface Kernel {
  readonly version: string;
  readonly image: string;
  readonly modulesDir: string;
}

/** @throws CasemateError `runtime_unavailable` */
export async function findQemu(): Promise<Qemu> {
  const said = await runCommand([qemuPath, '--version']).catch(() => undefined);
  const version = /version (.+)/.exec(said?.stdout ?? '')?.[1];
  if (version === undefined) throw new CasemateError('runtime_unavailable', `${qemuPath} is not installed.`);
  return { path: qemuPath, version };
}

/**
 * The newest kernel of the library: `<libraryDir>/<version>/{boot,lib}`, a Debian package unpacked by the set-up.
 * @throws CasemateError `runtime_unavailable`
 */
export async function findKernel(libraryDir: string): Promise<Kernel> {
  const versions = (await readdir(libraryDir).catch(() => [])).filter((name) => !name.endsWith('.partial'));
  const version = versions.sort((a, b) => b.localeCompare(a, 'en', { numeric: true }))[0];
  if (version === undefined)
    throw new CasemateError('runtime_unavailable', 'There is no guest kernel in the library.');
  return {
    version,
    image: join(libraryDir, version, 'boot', `vmlinuz-${version}`),
    modulesDir: join(libraryDir, version, 'lib/modules', version, 'kernel'),
  };
}

/** The processor that a machine with hardware support was started on; its snapshots fit no other. */
export async function hostProcessor(): Promise<string> {
  const text = await readFile('/proc/cpuinfo', 'utf8');
  const field = (name: string): string => new RegExp(`^${name}\\s*: (.*)$`, 'm').exec(text)?.[1] ?? '';
  return ['model name', 'stepping', 'microcode'].map(field).join(' / ');
}
