/** Makes the disks of the nested host: a Debian root of its own, and this checkout with what its tests need. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defaultDataDir, pathsOf } from '../../src/base/config.ts';
import { runCommand } from '../../src/base/child.ts';
import { buildRootfs } from '../../src/image/build.ts';
import { templateRoot } from '../../src/image/store.ts';
import type { Kernel } from '../../src/runtime/qemu/binary.ts';

const repository = join(dirname(fileURLToPath(import.meta.url)), '../..');
const paths = pathsOf(defaultDataDir);
/** What the tests start programs of; `kmod` loads the modules, KVM's among them. */
const packages = [
  ...['qemu-system-x86', 'qemu-utils', 'erofs-utils', 'e2fsprogs', 'iproute2', 'nftables', 'kmod'],
  ...['util-linux', 'mount', 'procps', 'lz4'],
];
const stepMsMax = 10 * 60_000;

/** The root, made once for a kernel and a list of packages. @returns the image's file. */
export async function nestedRoot(
  folder: string,
  kernel: Kernel,
  say: (text: string) => void,
): Promise<string> {
  const key = createHash('sha256')
    .update(JSON.stringify([packages, kernel.version]))
    .digest('hex');
  const image = join(folder, `root-${key.slice(0, 16)}.erofs`);
  if (existsSync(image)) return image;
  const root = join(folder, 'root.partial');
  const partial = `${image}.partial`;
  await rm(root, { recursive: true, force: true });
  try {
    const user = { name: 'user', uid: 1000, sudo: false };
    await buildRootfs({ name: 'nested-host', suite: 'bookworm', packages, user }, root, (progress) =>
      say(`${progress.percent} % of a Debian root: ${progress.phase}`),
    );
    mkdirSync(join(root, 'lib/modules'), { recursive: true });
    await runCommand(['cp', '-a', dirname(kernel.modulesDir), join(root, 'lib/modules')]);
    await runCommand(['chroot', root, 'depmod', kernel.version], { timeoutMs: stepMsMax });
    mkdirSync(join(root, 'casemate'), { recursive: true });
    await runCommand(['mkfs.erofs', '-x1', partial, root], { timeoutMs: stepMsMax });
    await rename(partial, image);
    return image;
  } finally {
    for (const path of [root, partial]) await rm(path, { recursive: true, force: true });
  }
}

/** Programs that the user named for the tests, by the variable that names them. */
export const givenPrograms = ['CASEMATE_FIRECRACKER', 'CASEMATE_CLOUD_HYPERVISOR'] as const;

/** What the nested host mounts at /casemate: checkout, library, template `base`, and the given programs. */
export async function nestedCheckout(folder: string): Promise<string> {
  const image = join(folder, 'checkout.erofs');
  const tree = join(folder, 'checkout');
  const base = await templateRoot(paths.store, 'base');
  const bound: [from: string, to: string][] = [
    ...['src', 'schema', 'scripts', 'sdk', 'test', 'package.json', 'build/agent'].map(
      (name): [string, string] => [join(repository, name), `repository/${name}`],
    ),
    ...['node', '@sinclair'].map((name): [string, string] => [
      join(repository, 'node_modules', name),
      `repository/node_modules/${name}`,
    ]),
    [paths.library, 'library'],
    [dirname(base.root), `store/templates/${base.digest}`],
    ...givenPrograms.flatMap((name): [string, string][] => {
      const program = process.env[name];
      return program === undefined ? [] : [[dirname(program), `programs/${name}`]];
    }),
  ];
  await rm(tree, { recursive: true, force: true });
  for (const [, to] of bound) {
    mkdirSync(join(tree, dirname(to)), { recursive: true });
    if (to.endsWith('.json')) writeFileSync(join(tree, to), '');
    else mkdirSync(join(tree, to));
  }
  // Bound in a namespace of its own: nothing is copied, and nothing stays mounted.
  const script =
    'image="$1" tree="$2"; shift 2; while [ $# -gt 0 ]; do mount --bind "$1" "$tree/$2"; shift 2; done; mkfs.erofs -x1 "$image" "$tree"';
  await rm(image, { force: true });
  try {
    await runCommand(
      ['unshare', '--mount', 'sh', '-ec', script, 'casemate-kvm', image, tree, ...bound.flat()],
      { timeoutMs: stepMsMax },
    );
    return image;
  } finally {
    await rm(tree, { recursive: true, force: true });
  }
}
