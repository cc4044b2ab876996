/** Looks at this machine by doing: every runtime starts a real sandbox, every needed program is asked. */
import { existsSync } from 'node:fs';
import { namedPrograms, type Paths, systemUser } from '../base/config.ts';
import { runCommand } from '../base/child.ts';
import { listTemplates } from '../image/store.ts';
import { CloudHypervisorDriver } from '../runtime/cloud-hypervisor/driver.ts';
import type { ProbeResult, RuntimeDriver } from '../runtime/driver.ts';
import { FirecrackerDriver } from '../runtime/firecracker/driver.ts';
import { CgroupSet } from '../runtime/host/cgroup.ts';
import { GvisorDriver } from '../runtime/gvisor/driver.ts';
import { QemuDriver } from '../runtime/qemu/driver.ts';

export interface Finding {
  readonly what: string;
  readonly works: boolean;
  /** False where Casemate runs without it. */
  readonly needed: boolean;
  readonly detail: string;
  readonly remedy?: string;
}

const programs = ['ip', 'nft', 'nsenter', 'unshare', 'setpriv', 'mkfs.ext4', 'losetup', 'mmdebstrap'];
const setupRemedy = 'Run `make setup` as root.';

export async function examine(paths: Paths): Promise<Finding[]> {
  return [
    rootRights(),
    await helperPrograms(),
    serverUser(),
    guestAgent(paths),
    cgroups(),
    await gvisor(paths),
    ...(await machines(paths)),
    await templates(paths),
  ];
}

function rootRights(): Finding {
  const works = process.getuid?.() === 0;
  const detail = works ? 'this is root' : 'namespaces, mounts and control groups need root';
  return { what: 'rights', works, needed: true, detail, remedy: 'Run it with sudo.' };
}

async function helperPrograms(): Promise<Finding> {
  const missing: string[] = [];
  for (const program of programs) {
    await runCommand(['sh', '-c', 'command -v "$1"', 'sh', program]).catch(() => missing.push(program));
  }
  const works = missing.length === 0;
  const detail = works ? programs.join(', ') : `not found: ${missing.join(', ')}`;
  return { what: 'programs', works, needed: true, detail, remedy: setupRemedy };
}

function serverUser(): Finding {
  try {
    const { uid } = systemUser('casemate');
    return { what: 'server user', works: true, needed: true, detail: `casemate, uid ${uid}` };
  } catch (error) {
    return { what: 'server user', works: false, needed: true, detail: String(error), remedy: setupRemedy };
  }
}

function guestAgent(paths: Paths): Finding {
  const works = existsSync(`${paths.agentDir}/guest-agent`);
  return {
    what: 'guest agent',
    works,
    needed: true,
    detail: works ? 'built' : 'not built',
    remedy: setupRemedy,
  };
}

/** Makes a group with limits and takes it away again. */
function cgroups(): Finding {
  const set = new CgroupSet(`casemate-doctor-${process.pid}`);
  try {
    set.create('probe', { cpus: 1, memoryMib: 64, diskMib: 64, pids: 32 });
    return {
      what: 'limits',
      works: true,
      needed: true,
      detail: 'control groups for cpu, memory and pids can be set',
    };
  } catch (error) {
    const remedy = 'Mount the cpu, memory and pids controllers (cgroup v1 or v2) where root may write them.';
    return { what: 'limits', works: false, needed: true, detail: String(error), remedy };
  } finally {
    void set.destroy('probe').then(() => set.removeParent());
  }
}

async function gvisor(paths: Paths): Promise<Finding> {
  const driver = new GvisorDriver({
    libraryDir: `${paths.library}/gvisor`,
    sandboxesDir: paths.sandboxes,
    rootsDir: paths.roots,
    agentDir: paths.agentDir,
    cgroups: new CgroupSet(`casemate-doctor-${process.pid}`),
  });
  const probe = await driver.probe();
  if (!probe.available) {
    return { what: 'runtime gvisor', works: false, needed: true, detail: probe.reason, remedy: probe.remedy };
  }
  const { isolation, atDiskLimit, caveats } = probe.capabilities;
  const detail = [
    `runsc ${probe.version} ran a program (${probe.detail}; isolation ${isolation})`,
    atDiskLimit === 'error' ? 'at the disk limit writes fail' : 'at the disk limit the sandbox ends',
    ...caveats,
  ].join('; ');
  return { what: 'runtime gvisor', works: true, needed: true, detail };
}

/**
 * Boots a guest in each: QEMU with KVM first, the others with KVM or not at all. What came of QEMU's is kept until the
 * machine restarts, and is the sentence on KVM.
 */
async function machines(paths: Paths): Promise<Finding[]> {
  const names = ['qemu', 'firecracker', 'cloud-hypervisor'];
  if (process.getuid?.() !== 0) {
    const detail = 'a guest can be booted by root only';
    return names.map((name) => ({ what: `runtime ${name}`, works: false, needed: false, detail }));
  }
  const cgroups = new CgroupSet(`casemate-doctor-${process.pid}`);
  const options = {
    libraryDir: paths.library,
    sandboxesDir: paths.sandboxes,
    agentDir: paths.agentDir,
    cacheDir: paths.machines,
    cgroups,
  };
  const { firecracker, cloudHypervisor } = namedPrograms();
  const drivers: readonly RuntimeDriver[] = [
    new QemuDriver(options),
    new FirecrackerDriver({ ...options, program: firecracker }),
    new CloudHypervisorDriver({ ...options, program: cloudHypervisor }),
  ];
  const findings: Finding[] = [];
  for (const driver of drivers) findings.push(machine(driver.name, await driver.probe()));
  cgroups.removeParent();
  return findings;
}

function machine(name: string, probe: ProbeResult): Finding {
  const what = `runtime ${name}`;
  if (!probe.available)
    return { what, works: false, needed: false, detail: probe.reason, remedy: probe.remedy };
  const { isolation } = probe.capabilities;
  const detail = `${name} ${probe.version} booted a guest (${probe.detail}; isolation ${isolation})`;
  return { what, works: true, needed: false, detail };
}

async function templates(paths: Paths): Promise<Finding> {
  const all = await listTemplates(paths.store);
  const ready = all.filter((template) => template.ready).map((template) => template.name);
  const works = ready.length > 0;
  const detail = works ? `ready: ${ready.join(', ')}` : 'none is built yet';
  return { what: 'templates', works, needed: false, detail, remedy: '`casemate template build base`' };
}
