/** Files of snapshots, which nobody may change any more: also not who still has one open. */
import { chmodSync, chownSync } from 'node:fs';
import { runCommand } from '../../base/child.ts';
import { CasemateError } from '../../base/errors.ts';

const copyMsMax = 300_000;

/**
 * Shared blocks where the file system can, holes stay holes.
 * @param descriptors what `cp` gets as 3, 4, …
 */
export async function copySparse(
  from: string,
  to: string,
  descriptors: readonly number[] = [],
): Promise<void> {
  const argv = ['cp', '--reflink=auto', '--sparse=always', from, to];
  await runCommand(argv, { timeoutMs: copyMsMax, descriptors });
}

/** A lease for reading (1024 is F_SETLEASE, 0 F_RDLCK: fcntl(2)) is refused while anybody has the file open, or mapped, to write. */
const leases =
  'for (@ARGV) { open my $f, "<", $_ or die "$_: $!\\n"; fcntl $f, 1024, 0 or die "$_: $!\\n"; close $f }';

/**
 * Makes files root's and read-only.
 * @throws CasemateError `internal` where somebody could still write to one: nothing else is to be made of it then.
 */
export async function seal(...paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    chownSync(path, 0, 0);
    chmodSync(path, 0o444);
  }
  try {
    await runCommand(['perl', '-e', leases, ...paths]);
  } catch (cause) {
    throw new CasemateError('internal', 'Somebody can still write to a file of the snapshot.', { cause });
  }
}
