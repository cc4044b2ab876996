/** Runs the shared driver suite against real Firecracker machines, where a program and a KVM that boots are there. */
import { join } from 'node:path';
import { after } from 'node:test';
import { conformance } from '../conformance.ts';
import { slowBootMs, testHost } from '../../../test/drivers/host.ts';
import { FirecrackerDriver } from './driver.ts';

const host = testHost('firecracker');
const bootMsMax = slowBootMs();

function makeDriver(): FirecrackerDriver {
  return new FirecrackerDriver({
    program: process.env.CASEMATE_FIRECRACKER,
    libraryDir: host.paths.library,
    agentDir: host.paths.agentDir,
    cacheDir: join(host.folder, 'machines'),
    sandboxesDir: join(host.folder, 'sandboxes'),
    cgroups: host.cgroups,
    ...(bootMsMax === undefined ? {} : { bootMsMax }),
  });
}

async function missing(): Promise<string | false> {
  const lacking = host.missing();
  if (lacking !== false) return lacking;
  const probe = await makeDriver().probe();
  return probe.available ? false : probe.reason;
}

conformance('firecracker', () => host.subject(makeDriver), await missing());

after(() => host.cleanUp());
