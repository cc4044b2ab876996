/** Runs the shared driver suite against real virtual machines. */
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { defaultDataDir, pathsOf } from '../../base/config.ts';
import { newId } from '../../base/ids.ts';
import { GuestClient } from '../../guest/client.ts';
import { openAgentStream } from '../../guest/stream.ts';
import { templateRoot } from '../../image/store.ts';
import { SandboxNetworks } from '../../network/namespace.ts';
import { type ConformanceSubject, conformance } from '../conformance.ts';
import { CgroupSet } from '../host/cgroup.ts';
import { QemuDriver } from './driver.ts';

const paths = pathsOf(defaultDataDir);
const tag = newId(6);
const folder = join(tmpdir(), `casemate-qemu-${tag}`);
const networks = new SandboxNetworks(tag);
const cgroups = new CgroupSet(`casemate-${tag}`);

function makeDriver(): QemuDriver {
  return new QemuDriver({
    libraryDir: paths.library,
    agentDir: paths.agentDir,
    cacheDir: join(folder, 'machines'),
    sandboxesDir: join(folder, 'sandboxes'),
    cgroups,
  });
}

let index = 0;

async function subject(): Promise<ConformanceSubject> {
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
    runInside: async (driver, id, argv) => {
      const guest = await GuestClient.attach(await openAgentStream(driver.agentStream(id)));
      try {
        const exec = await guest.execStart({ execId: newId(), argv: [...argv], user: 'root' });
        let stdout = '';
        for await (const { channel, data } of exec.output)
          if (channel === 'stdout') stdout += data.toString();
        return { exitCode: (await exec.exited)?.exitCode ?? -1, stdout };
      } finally {
        guest.close();
      }
    },
  };
}

function missing(): string | false {
  if (process.getuid?.() !== 0) return 'needs root';
  if (!existsSync('/usr/bin/qemu-system-x86_64')) return 'QEMU is not installed (make setup)';
  if (!existsSync(join(paths.library, 'kernel'))) return 'there is no guest kernel (make setup)';
  if (!existsSync(join(paths.agentDir, 'guest-agent'))) return 'the guest agent is not built (make setup)';
  if (!existsSync(join(paths.store, 'templates'))) return 'the template "base" is not built';
  return false;
}

conformance('qemu', subject, missing());

after(async () => {
  if (!existsSync(folder)) return;
  await networks.closeGate();
  cgroups.removeParent();
  rmSync(folder, { recursive: true, force: true });
});
