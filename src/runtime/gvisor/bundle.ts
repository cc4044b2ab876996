/** Writes the OCI bundle of a sandbox: which root, which first process, which rights. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
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

/** The egress proxy's resolver, at the same address for every sandbox; there is no other. */
const resolverSettings = 'nameserver 198.18.0.1\noptions timeout:5 attempts:2\n';

export interface BundleOptions {
  readonly create: CreateOptions;
  readonly directory: string;
  readonly cgroupsPath: string;
}

/** Writes `config.json` into the sandbox's folder, which then is the bundle. */
export async function writeBundle({ create, directory, cgroupsPath }: BundleOptions): Promise<void> {
  const resolver = join(directory, 'resolv.conf');
  await writeFile(resolver, resolverSettings, { mode: 0o644 });
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
      { destination: '/etc/resolv.conf', type: 'bind', source: resolver, options: ['bind', 'ro'] },
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
