/** Starts Cloud Hypervisor in a folder as its root, as a user of its own: it has no jailer. */
import { join } from 'node:path';
import { fileIn, type VmmLaunch, type VmmProgram } from '../microvm/vmm.ts';

const openFilesMax = 256;

export function jailRoot(directory: string): string {
  return join(directory, 'jail');
}

/** The program has to be static, because it sees nothing but its machine's files. A user without rights gets none back. */
const script = `
set -e
cd "$1"; uid="$2" blocks="$3" program="$4"; shift 4
mkdir -p dev/net
mknod dev/null c 1 3
mknod dev/urandom c 1 9
mknod dev/kvm c 10 232
mknod dev/net/tun c 10 200
chmod 666 dev/null dev/urandom
chown "$uid:$uid" . dev/kvm dev/net/tun
cp "$program" monitor
ulimit -c 0
ulimit -f "$blocks"
ulimit -n ${openFilesMax}
exec setpriv --no-new-privs chroot --userspec="$uid:$uid" --groups= . /monitor "$@"
`;

export function jailArguments({ path }: VmmProgram, launch: VmmLaunch): string[] {
  const { directory, uid, fileMibMax } = launch;
  return [
    ...['sh', '-c', script, 'casemate-jail', jailRoot(directory), String(uid)],
    ...[String(fileMibMax * 2048), path, '--api-socket', `path=/${fileIn.api}`, '--seccomp', 'true'],
  ];
}
