/** The private writable layer of a sandbox: a sparse file with a small ext4 in it, so that its bytes are bounded. */
import { closeSync, existsSync, ftruncateSync, mkdirSync, openSync, rmSync, statfsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from '../../base/child.ts';
import { CasemateError } from '../../base/errors.ts';

/** Where a disk holds files themselves: a bomb of many files ends at the last of these. */
const layerInodesPerMib = 64;

/**
 * Why an image and not a quota: project quotas need a kernel built for them, and many are not (docs/design/0002).
 * The runtime keeps its layer in one file on this ext4, so 64 inodes are plenty.
 */
export class SandboxDisk {
  readonly #image: string;
  readonly mountPoint: string;

  /** @param directory the sandbox's own folder, root-owned. */
  constructor(directory: string) {
    this.#image = join(directory, 'disk.img');
    this.mountPoint = join(directory, 'disk');
  }

  /** The file that it lies in. */
  get image(): string {
    return this.#image;
  }

  /** Makes and mounts it; about 20 ms. With `files` it holds a layer's files, and not the runtime's one. */
  async create(sizeMib: number, { files = false }: { readonly files?: boolean } = {}): Promise<void> {
    const file = openSync(this.#image, 'wx', 0o600);
    ftruncateSync(file, sizeMib * 1024 * 1024);
    closeSync(file);
    // No journal (the content dies with the sandbox); 2 % stay reserved so that freeing blocks works on a full disk.
    const inodes = files ? sizeMib * layerInodesPerMib : 64;
    const features = ['-O', '^has_journal', '-m', '2', '-N', String(inodes)];
    // Inode tables are holes until they are needed: nobody is to write zeros into all of them.
    const lazily = ['-E', files ? 'nodiscard,lazy_itable_init=1' : 'nodiscard'];
    await runCommand(['mkfs.ext4', '-q', '-F', ...features, ...lazily, this.#image]);
    mkdirSync(this.mountPoint, { mode: 0o700 });
    // Not noexec: the runtime maps programs that were written inside from here. On the host only root gets to the file.
    await this.mount();
  }

  /** Mounts one that `create` made earlier. */
  async mount(): Promise<void> {
    const options = 'loop,noatime,nosuid,nodev,discard,noinit_itable';
    await runCommand(['mount', '-o', options, this.#image, this.mountPoint]);
  }

  /** Gives it another size while it is in use; a smaller one is reached by a file that takes up the difference. */
  async resize(sizeMib: number, createdMib: number): Promise<void> {
    const ballast = join(this.mountPoint, 'ballast');
    rmSync(ballast, { force: true });
    if (sizeMib === createdMib) return;
    try {
      if (sizeMib > createdMib) await this.#grow(sizeMib);
      else await runCommand(['fallocate', '-l', `${createdMib - sizeMib}MiB`, ballast]);
    } catch (cause) {
      throw new CasemateError('policy_unenforceable', `The disk could not be set to ${sizeMib} MiB.`, {
        cause,
      });
    }
  }

  async #grow(sizeMib: number): Promise<void> {
    const device = await this.#device();
    await runCommand(['truncate', '-s', `${sizeMib}M`, this.#image]);
    await runCommand(['losetup', '-c', device]);
    await runCommand(['resize2fs', device]);
  }

  async #device(): Promise<string> {
    const mounts = await readFile('/proc/self/mounts', 'utf8');
    const line = mounts.split('\n').find((text) => text.split(' ')[1] === this.mountPoint);
    const device = line?.split(' ')[0];
    if (device === undefined) throw new Error(`${this.mountPoint} is not mounted`);
    return device;
  }

  /** Bytes that the sandbox's layer takes up. */
  usedBytes(): number {
    if (!existsSync(this.mountPoint)) return 0;
    const stat = statfsSync(this.mountPoint);
    return (stat.blocks - stat.bfree) * stat.bsize;
  }

  /** Unmounts and removes it. Idempotent. */
  async destroy(): Promise<void> {
    await this.unmount();
    rmSync(this.#image, { force: true });
  }

  async unmount(): Promise<void> {
    for (let round = 0; round < 4 && (await isMountPoint(this.mountPoint)); round += 1) {
      // A lazy unmount at last: the processes are dead, what still holds it is the kernel's own cleaning up.
      await runCommand(['umount', ...(round < 2 ? [] : ['-l']), this.mountPoint]).catch(() => {});
    }
  }
}

/** True where something is mounted at `path` itself. */
export async function isMountPoint(path: string): Promise<boolean> {
  const mounts = await readFile('/proc/self/mounts', 'utf8');
  return mounts.split('\n').some((line) => line.split(' ')[1] === path);
}
