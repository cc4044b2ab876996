/** What the drivers' test files need of this machine: folders, control groups and networks of their own, and the agent's client. */
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defaultDataDir, type Paths, pathsOf } from '../../src/base/config.ts';
import { newId } from '../../src/base/ids.ts';
import { attachAgent } from '../../src/guest/attach.ts';
import { templateRoot } from '../../src/image/store.ts';
import { SandboxNetworks } from '../../src/network/namespace.ts';
import type { ConformanceSubject } from '../../src/runtime/conformance.ts';
import type { RuntimeDriver } from '../../src/runtime/driver.ts';
import { CgroupSet } from '../../src/runtime/host/cgroup.ts';

export interface TestHost {
  readonly paths: Paths;
  readonly folder: string;
  readonly cgroups: CgroupSet;
  /** The namespace where all links end. */
  readonly gate: string;
  subject(makeDriver: () => RuntimeDriver): Promise<ConformanceSubject>;
  /** Why no virtual machine can be tested here, whatever runs it. */
  missing(): string | false;
  cleanUp(): Promise<void>;
}

/** Set where KVM itself is emulated (`make test-kvm`): how long a guest may take to come up. */
export function slowBootMs(): number | undefined {
  const text = process.env.CASEMATE_TEST_KVM_BOOT_MS;
  return text === undefined ? undefined : Number(text);
}

export function testHost(name: string): TestHost {
  const paths = pathsOf(defaultDataDir);
  const tag = newId(6);
  const folder = join(tmpdir(), `casemate-${name}-${tag}`);
  const networks = new SandboxNetworks(tag);
  const cgroups = new CgroupSet(`casemate-${tag}`);
  let index = 0;
  return {
    paths,
    folder,
    cgroups,
    gate: networks.gate,
    subject: async (makeDriver) => {
      mkdirSync(join(folder, 'sandboxes'), { recursive: true });
      await networks.openGate();
      return {
        driver: makeDriver(),
        again: makeDriver,
        templateRoot: (await templateRoot(paths.store, 'base')).root,
        streamOwner: { uid: 0, gid: 0 },
        makeNetwork: async (id) => {
          index += 1;
          return (await networks.create(id, index)).namespace;
        },
        removeNetwork: (id) => networks.destroy(id),
        runInside,
      };
    },
    missing: () => {
      if (process.getuid?.() !== 0) return 'needs root';
      if (!existsSync(join(paths.library, 'kernel'))) return 'there is no guest kernel (make setup)';
      if (!existsSync(join(paths.agentDir, 'guest-agent')))
        return 'the guest agent is not built (make setup)';
      if (!existsSync(join(paths.store, 'templates'))) return 'the template "base" is not built';
      return false;
    },
    cleanUp: async () => {
      if (!existsSync(folder)) return;
      await networks.closeGate();
      cgroups.removeParent();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function runInside(
  driver: RuntimeDriver,
  id: string,
  argv: readonly string[],
): Promise<{ exitCode: number; stdout: string }> {
  const guest = await attachAgent(driver.agentStream(id));
  try {
    const exec = await guest.execStart({ execId: newId(), argv: [...argv], user: 'root' });
    let stdout = '';
    for await (const { channel, data } of exec.output) if (channel === 'stdout') stdout += data.toString();
    return { exitCode: (await exec.exited)?.exitCode ?? -1, stdout };
  } finally {
    guest.close();
  }
}
