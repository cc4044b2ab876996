/** Writes the OCI bundle of a sandbox: which root, which first process, which rights. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CasemateError } from '../../base/errors.ts';
import type { CreateOptions } from '../driver.ts';

/**
 * What the agent needs inside the sandbox: to become other users, to signal them, to name the host. These are
 * capabilities over the sandbox's own kernel; the host process behind it has none of them.
 */
const agentCapabilities = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SYS_ADMIN',
  'CAP_SYS_CHROOT',
  'CAP_AUDIT_WRITE',
  'CAP_NET_BIND_SERVICE',
];

export interface BundleOptions {
  readonly create: CreateOptions;
  readonly directory: string;
  readonly cgroupsPath: string;
  /** The folder of the host under which volumes appear. */
  readonly volumesPath: string;
}

/** Writes `config.json` into the sandbox's folder, which then is the bundle. */
export async function writeBundle(options: BundleOptions): Promise<void> {
  const { create, directory, cgroupsPath, volumesPath } = options;
  const config = {
    ociVersion: '1.0.2',
    hostname: create.hostname,
    process: {
      terminal: false,
      user: { uid: 0, gid: 0 },
      args: ['/.casemate/guest-agent'],
      env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
      cwd: '/',
      capabilities: {
        bounding: agentCapabilities,
        effective: agentCapabilities,
        permitted: agentCapabilities,
      },
      // Templates give their user sudo, which this flag would break; a sandbox's root is only the sandbox's.
      noNewPrivileges: false,
      rlimits: [{ type: 'RLIMIT_NOFILE', soft: 65_536, hard: 65_536 }],
    },
    root: { path: create.templateRoot, readonly: false },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      {
        destination: '/dev/shm',
        type: 'tmpfs',
        source: 'shm',
        options: ['nosuid', 'nodev', 'mode=1777', 'size=64m'],
      },
      // A slave: what is bound below it on the host later appears inside, and nothing that happens inside comes back.
      ...(create.layer === undefined
        ? [
            {
              destination: '/.casemate/volumes',
              type: 'bind',
              source: volumesPath,
              options: ['rbind', 'rslave', 'rw', 'nosuid', 'nodev'],
            },
          ]
        : []),
      ...(create.layer?.mounts ?? []).map(({ source, target, writable }) => ({
        destination: target,
        type: 'bind',
        source,
        options: ['bind', 'nosuid', 'nodev', writable ? 'rw' : 'ro'],
      })),
    ],
    linux: {
      cgroupsPath,
      namespaces: [
        { type: 'pid' },
        { type: 'ipc' },
        { type: 'uts' },
        { type: 'mount' },
        { type: 'network', path: `/run/netns/${create.networkNamespace}` },
      ],
    },
  };
  await writeFile(join(directory, 'config.json'), JSON.stringify(config), { mode: 0o600 });
}

interface WrittenBundle {
  readonly root: { readonly path: string };
  readonly linux: { readonly namespaces: readonly { readonly type: string; readonly path?: string }[] };
}

/** @throws CasemateError `sandbox_ended` without a bundle. */
async function readBundle(directory: string): Promise<WrittenBundle> {
  const text = await readFile(join(directory, 'config.json'), 'utf8').catch(() => undefined);
  if (text === undefined) throw new CasemateError('sandbox_ended', 'The sandbox is not there any more.');
  return JSON.parse(text) as WrittenBundle;
}

/** The network namespace that a bundle was written for. @throws CasemateError `sandbox_ended` */
export async function bundleNetwork(directory: string): Promise<string> {
  const { linux } = await readBundle(directory);
  return linux.namespaces.find(({ type }) => type === 'network')?.path ?? '';
}

/** The root file system that a bundle was written for. @throws CasemateError `sandbox_ended` */
export async function bundleRoot(directory: string): Promise<string> {
  return (await readBundle(directory)).root.path;
}
