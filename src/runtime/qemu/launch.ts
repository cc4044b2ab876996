/** Starts QEMU as a user of its own, in namespaces of its own, with nothing to see but its machine's files. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { MachineControl } from './control.ts';

export interface LaunchOptions {
  /** The machine's folder on the host, root's; QEMU sees it as /vm, and writes to what is its user's in there. */
  readonly directory: string;
  readonly uid: number;
  readonly cgroupJoinFiles: readonly string[];
  /** Files by the name that they have in the jail; `writable` ones are the machine's own. */
  readonly files: Readonly<Record<string, { readonly source: string; readonly writable?: boolean }>>;
  /** A library of the jail that QEMU is started with. */
  readonly preload?: string;
  /** No file that QEMU writes grows beyond this. */
  readonly fileMibMax: number;
  readonly kvm: boolean;
  readonly argv: readonly string[];
}

export interface Launched {
  readonly pid: number;
  readonly control: MachineControl;
  /** Lets go of it: it outlives this process. */
  release(): void;
  /** Resolves when it is gone; also one that has not come as far as its control groups, where nobody else finds it. */
  kill(): Promise<void>;
}

/**
 * Joins the control groups first, so that all memory is charged to the machine. The tap lies in a network namespace
 * without anything else, and only the tap is moved to where the sandbox's network is.
 */
const script = `
set -e
directory="$1" uid="$2" join="$3" blocks="$4" files="$5" kvm="$6" preload="$7"; shift 7
IFS='
'
for file in $join; do echo $$ > "$file"; done
ip tuntap add dev tap0 mode tap user "$uid"
mount -t tmpfs -o size=64k,mode=755,nosuid jail "$directory/jail"
cd "$directory/jail"
mkdir usr vm dev dev/net
ln -s usr/lib usr/lib64 usr/bin .
mknod dev/null c 1 3
mknod dev/net/tun c 10 200
mknod dev/urandom c 1 9
chown "$uid" dev/net/tun
chmod 666 dev/null dev/urandom
if [ "$kvm" = yes ]; then mknod dev/kvm c 10 232; chown "$uid" dev/kvm; fi
mount --bind -o ro,nosuid /usr usr
mount --bind "$directory" vm
for line in $files; do
  name="\${line%%:*}" rest="\${line#*:}"
  : > "./$name"
  mount --bind -o "\${rest%%:*}" "\${rest#*:}" "./$name"
done
mount --move . /
umask 0 # its sockets: who reaches them is said by their folder
exec chroot . /usr/bin/sh -c 'cd /; ulimit -c 0; ulimit -f "$1"; shift; exec "$@"' jail "$blocks" \\
  setpriv --reuid "$uid" --regid "$uid" --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs \\
  env -i LD_PRELOAD="$preload" "$@"
`;

/** Container and system software leaves these numbers alone (above systemd's container range). */
const uidFirst = 0x7000_0000;

/** A user number of its own for every machine, the same whenever it is asked for. */
export function machineUid(id: string): number {
  return uidFirst + (createHash('sha256').update(id).digest().readUInt32BE(0) % 0x0f00_0000);
}

/**
 * Resolves when it was started; its first answer over `control` tells that QEMU is up. An early end comes with the last
 * words of its stderr.
 */
export async function launch(options: LaunchOptions): Promise<Launched> {
  const { directory, uid } = options;
  mkdirSync(join(directory, 'jail'), { recursive: true, mode: 0o700 });
  MachineControl.makeFolder(directory, uid);
  const control = new MachineControl(directory);
  await control.watch();
  const files = Object.entries(options.files).map(
    ([name, { source, writable }]) => `${name}:${writable === true ? 'rw' : 'ro'}:${source}`,
  );
  const child = spawn(
    'unshare',
    [
      ...['--mount', '--net', '--ipc', '--uts', '--propagation', 'slave'],
      ...['sh', '-c', script, 'casemate-machine', directory, String(uid), options.cgroupJoinFiles.join('\n')],
      ...[String(options.fileMibMax * 2048), files.join('\n')],
      ...[options.kvm ? 'yes' : 'no', options.preload ?? '', ...options.argv],
    ],
    { stdio: ['ignore', 'ignore', 'pipe'], detached: true, cwd: '/', env: { PATH: process.env.PATH } },
  );
  const { stderr } = child;
  const ended = new Promise<void>((resolve) =>
    child.once('exit', () => resolve()).once('error', () => resolve()),
  );
  stderr.on('error', () => stderr.destroy());
  tellEnd(child, stderr, control);
  return {
    pid: child.pid ?? 0,
    control,
    release: () => {
      stderr.destroy();
      child.unref();
    },
    kill: () => {
      child.kill('SIGKILL');
      return ended;
    },
  };
}

function tellEnd(child: ChildProcess, stderr: Readable, control: MachineControl): void {
  let tail = '';
  stderr.setEncoding('utf8').on('data', (text: string) => {
    tail = (tail + text).slice(-800);
  });
  child.on('error', (error) => control.fail(error));
  child.on('close', (code, signal) =>
    control.fail(new Error(`QEMU ended with ${signal ?? `code ${code}`}: ${tail.trim()}`)),
  );
}
