/** `make test-kvm`: the suites of all virtual machine drivers with a real KVM, inside an emulated host made from Debian packages. */
import { existsSync, mkdirSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defaultDataDir, pathsOf } from '../../src/base/config.ts';
import { findKernel } from '../../src/runtime/qemu/binary.ts';
import { bootNestedHost, type NestedHost } from './host.ts';
import { givenPrograms, nestedCheckout, nestedRoot } from './image.ts';

const repository = join(dirname(fileURLToPath(import.meta.url)), '../..');
const paths = pathsOf(defaultDataDir);
const cache = join(repository, 'build/kvm');
const checkMsMax = 10 * 60_000;
const suiteMsMax = 40 * 60_000;
const from = performance.now();

function say(text: string): void {
  console.log(`${((performance.now() - from) / 1000).toFixed(0).padStart(5)} s  ${text}`);
}

/** Where things lie inside; a given program keeps its name. */
function environment(): Record<string, string> {
  const programs = givenPrograms.flatMap((name) => {
    const program = process.env[name];
    return program === undefined ? [] : [[name, `/casemate/programs/${name}/${program.split('/').pop()}`]];
  });
  return {
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    CASEMATE_STORE_DIR: '/casemate/store',
    CASEMATE_LIB_DIR: '/casemate/library',
    // Emulated twice over: a guest that is up in half a second elsewhere takes ten.
    CASEMATE_TEST_KVM_BOOT_MS: '180000',
    ...Object.fromEntries(programs),
  };
}

const setUp = `
mount -t erofs -o ro /dev/vdc /casemate
mount -t cgroup2 cgroup2 /sys/fs/cgroup
modprobe -a kvm-amd tun veth nf_tables nft_chain_nat nft_masq nft_ct nft_log nft_limit nft_reject_inet loop
mkdir -p /run/netns
ls -l /dev/kvm
`;

async function suites(host: NestedHost): Promise<number> {
  const node = ['/casemate/repository/node_modules/node/bin/node', '--disable-warning=ExperimentalWarning'];
  const inside = '/casemate/repository';
  say('loading KVM inside');
  const made = await host.run(['/bin/sh', '-exc', setUp], environment(), checkMsMax);
  if (made !== 0) return made;
  say('booting a guest with KVM inside');
  const checked = await host.run([...node, `${inside}/test/kvm/inside.ts`], environment(), checkMsMax);
  if (checked !== 0) return checked;
  const files = process.argv.slice(2).map((name) => `${inside}/${name}`);
  say(`running ${process.argv.slice(2).join(', ')}`);
  return host.run([...node, `${inside}/scripts/test.ts`, '--', ...files], environment(), suiteMsMax);
}

if (process.getuid?.() !== 0 || !existsSync('/usr/bin/qemu-system-x86_64')) {
  console.log('0 passed, 0 failed, 1 skipped: this needs root and QEMU (make setup)');
  process.exit(0);
}
for (const name of givenPrograms)
  if (process.env[name] === undefined) say(`${name} names no program: its suite will be skipped`);
mkdirSync(cache, { recursive: true });
const folder = await mkdtemp(join(cache, 'run-'));
let host: NestedHost | undefined;
const stop = (): void => {
  host?.end();
  process.exitCode = 1;
};
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, stop);
try {
  const kernel = await findKernel(join(paths.library, 'kernel'));
  const root = await nestedRoot(cache, kernel, say);
  say('packing the checkout');
  const checkout = await nestedCheckout(folder);
  say(`booting the nested host, kernel ${kernel.version}`);
  host = await bootNestedHost({ folder, kernel, agentDir: paths.agentDir, root, checkout });
  process.exitCode = await suites(host);
  say(process.exitCode === 0 ? 'passed' : `failed with code ${process.exitCode}`);
} catch (error) {
  const log = await readFile(join(folder, 'console.log'), 'utf8').catch(() => '');
  console.error(`${String(error)}\nThe end of the nested host’s console:\n${log.slice(-2000)}`);
  process.exitCode = 1;
} finally {
  host?.end();
  await rm(folder, { recursive: true, force: true });
}
process.exit();
