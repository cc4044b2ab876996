/** Makes a template's root file system from Debian packages with mmdebstrap. */
import { spawn } from 'node:child_process';
import { mkdir, rm } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import type { TemplateDefinition } from './definition.ts';
import { additionHooks, removeAdditions, stageAdditions } from './additions.ts';
import { debianMirror } from './mirror.ts';

export interface BuildProgress {
  readonly phase: string;
  /** 0–100 over the whole build. */
  readonly percent: number;
  readonly message: string;
}

/** Where the egress proxy answers names, in every sandbox; it answers those that the policy allows. */
const resolverAddress = '198.18.0.1';
const buildMsMax = 15 * 60_000;
const errorLinesKept = 12;

/** mmdebstrap's steps as it names them, with the share of the build that is behind when one begins. */
const phases: readonly [start: string, percent: number, phase: string][] = [
  ['running apt-get update', 2, 'update'],
  ['downloading packages', 8, 'download'],
  ['extracting archives', 30, 'extract'],
  ['installing essential', 38, 'essential'],
  ['installing remaining', 50, 'install'],
  ['running --customize-hook', 88, 'customize'],
  ['cleaning package lists', 96, 'clean'],
];

/**
 * mmdebstrap mounts the host's /dev/shm, /proc and /sys inside what it builds. In namespaces of its own all of that,
 * and every program that it starts, ends with it and with this process: what is removed afterwards has no way to the
 * host in it. The host's umask may be narrow; a sandbox's files are for all of its users.
 */
const contained = [
  ...['setpriv', '--pdeathsig', 'KILL'],
  ...['unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'],
  ...['sh', '-c', 'umask 022; exec "$@"', 'casemate-build', 'mmdebstrap'],
];

/** Fills `directory`, which must not exist yet. @throws Error with the end of what mmdebstrap said. */
export async function buildRootfs(
  definition: TemplateDefinition,
  directory: string,
  onProgress: (progress: BuildProgress) => void,
): Promise<void> {
  const mirror = await debianMirror();
  const temporary = temporaryBeside(directory);
  try {
    await mkdir(temporary);
    await stageAdditions(definition, directory, onProgress);
    await runMmdebstrap(definition, directory, mirror, onProgress);
  } finally {
    await removeAdditions(directory);
    await rm(temporary, { recursive: true, force: true });
  }
}

/** What mmdebstrap leaves when it is killed lies beside what it builds, and goes with that. */
const temporaryBeside = (directory: string): string => `${directory}.tmp`;

async function runMmdebstrap(
  definition: TemplateDefinition,
  directory: string,
  mirror: string,
  onProgress: (progress: BuildProgress) => void,
): Promise<void> {
  const [program = '', ...argv] = [
    ...contained,
    ...mmdebstrapArguments(definition, directory),
    definition.suite,
    directory,
    mirror,
  ];
  await new Promise<void>((resolve, reject) => {
    // SIGKILL, because unshare holds the others back while its child runs.
    const child = spawn(program, argv, {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, TMPDIR: temporaryBeside(directory) },
      timeout: buildMsMax,
      killSignal: 'SIGKILL',
    });
    const last: string[] = [];
    createInterface({ input: child.stderr }).on('line', (line) => {
      last.push(line);
      if (last.length > errorLinesKept) last.shift();
      const found = phases.find(([start]) => line.includes(start));
      if (found !== undefined)
        onProgress({ phase: found[2], percent: found[1], message: line.replace(/^I: /, '') });
    });
    child.on('error', reject);
    child.on('close', (code, signal) => {
      if (code === 0) return resolve();
      reject(new Error(`mmdebstrap ended with ${signal ?? code}: ${last.join(' | ')}`));
    });
  });
}

function mmdebstrapArguments(definition: TemplateDefinition, directory: string): string[] {
  const { packages, user, warmUp } = definition;
  const home = `/home/${user.name}`;
  const hooks = [
    'mkdir -m 755 "$1/.casemate"',
    `: > "$1/etc/machine-id"; echo nameserver ${resolverAddress} > "$1/etc/resolv.conf"`,
    'echo sandbox > "$1/etc/hostname"',
    'printf "127.0.0.1 localhost sandbox\\n::1 localhost\\n" > "$1/etc/hosts"',
    `chroot "$1" useradd --uid ${user.uid} --create-home --shell /bin/bash ${user.name}`,
  ];
  // A login shell asks who it is without starting a program, and a locale is one file instead of twelve: under an
  // application kernel each of both costs every command 10 to 30 ms.
  hooks.push(`sed -i 's/"$(id -u)"/"\${EUID:-$(id -u)}"/' "$1/etc/profile"`);
  hooks.push('chroot "$1" localedef --add-to-archive /usr/lib/locale/C.utf8 >/dev/null');
  if (user.sudo) {
    hooks.push(`echo "${user.name} ALL=(ALL) NOPASSWD:ALL" > "$1/etc/sudoers.d/${user.name}"`);
    hooks.push(`chmod 440 "$1/etc/sudoers.d/${user.name}"`);
    // Where the runtime's kernel knows no set-uid programs, the agent does what sudo would (guest-agent/sudo.go).
    hooks.push(`chroot "$1" usermod --append --groups sudo ${user.name}`);
    hooks.push('ln -s /.casemate/guest-agent "$1/usr/local/bin/sudo"');
  }
  hooks.push(...additionHooks(definition, directory));
  if (warmUp !== undefined) {
    hooks.push(
      `chroot "$1" setpriv --reuid=${user.uid} --regid=${user.uid} --clear-groups env HOME=${home} python3 -c "${warmUp}"`,
    );
  }
  const unneeded = ['/usr/share/man/*', '/usr/share/doc/*', '/usr/share/locale/*', '/usr/share/info/*'];
  return [
    '--mode=root',
    '--variant=minbase',
    `--include=${packages.join(',')}`,
    '--aptopt=APT::Install-Recommends "false"',
    ...unneeded.map((path) => `--dpkgopt=path-exclude=${path}`),
    '--dpkgopt=path-include=/usr/share/doc/*/copyright',
    // Some packages (Java's) register manual pages and fail where not even their folder is there.
    '--essential-hook=mkdir -p "$1/usr/share/man/man1"',
    ...hooks.map((hook) => `--customize-hook=${hook}`),
  ];
}
