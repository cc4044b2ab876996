/** Runs the shared driver suite against real runsc programs: each one that this machine has. */
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { defaultDataDir, pathsOf } from '../../base/config.ts';
import { newId } from '../../base/ids.ts';
import { attachAgent } from '../../guest/attach.ts';
import { SandboxNetworks } from '../../network/namespace.ts';
import { templateRoot } from '../../image/store.ts';
import { type ConformanceSubject, conformance } from '../conformance.ts';
import { CgroupSet } from '../host/cgroup.ts';
import { GvisorDriver } from './driver.ts';

const paths = pathsOf(defaultDataDir);
const tag = newId(6);
const folder = join(tmpdir(), `casemate-driver-${tag}`);
const networks = new SandboxNetworks(tag);
const cgroups = new CgroupSet(`casemate-${tag}`);

function makeDriver(libraryDir: string): GvisorDriver {
  return new GvisorDriver({
    libraryDir,
    sandboxesDir: join(folder, 'sandboxes'),
    rootsDir: join(folder, 'roots'),
    agentDir: paths.agentDir,
    cgroups,
  });
}

async function subject(libraryDir: string): Promise<ConformanceSubject> {
  mkdirSync(join(folder, 'sandboxes'), { recursive: true });
  mkdirSync(join(folder, 'roots'), { recursive: true });
  await networks.openGate();
  let index = 0;
  return {
    driver: makeDriver(libraryDir),
    again: () => makeDriver(libraryDir),
    templateRoot: (await templateRoot(paths.store, 'base')).root,
    streamOwner: { uid: 0, gid: 0 },
    makeNetwork: async (id) => {
      index += 1;
      return (await networks.create(id, index + Math.floor(Math.random() * 10_000))).namespace;
    },
    removeNetwork: (id) => networks.destroy(id),
    runInside: async (driver, id, argv) => {
      const guest = await attachAgent(driver.agentStream(id));
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
  if (!existsSync(join(paths.agentDir, 'guest-agent'))) return 'the guest agent is not built (make setup)';
  if (!existsSync(join(paths.store, 'templates'))) return 'the template "base" is not built';
  return false;
}

const newest = join(paths.library, 'gvisor');
conformance('gvisor (newest runsc)', () => subject(newest), missing());
const machines = existsSync('/usr/bin/runsc') ? missing() : 'this machine has no runsc of its own';
conformance('gvisor (the machine’s runsc)', () => subject('/nonexistent'), machines);

after(async () => {
  if (!existsSync(folder)) return;
  await makeDriver(newest).release();
  await networks.closeGate();
  cgroups.removeParent();
  rmSync(folder, { recursive: true, force: true });
});
