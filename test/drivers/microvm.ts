/** Runs the shared driver suite against real machines of a monitor, where its program and a KVM that boots are there. */
import { join } from 'node:path';
import { after } from 'node:test';
import { conformance } from '../../src/runtime/conformance.ts';
import type { RuntimeDriver } from '../../src/runtime/driver.ts';
import type { MicrovmOptions } from '../../src/runtime/microvm/platform.ts';
import { slowBootMs, testHost } from './host.ts';

export async function microvmSuite(
  name: string,
  driverOf: (options: MicrovmOptions) => RuntimeDriver,
): Promise<void> {
  const host = testHost(name);
  const bootMsMax = slowBootMs();
  const makeDriver = (): RuntimeDriver =>
    driverOf({
      libraryDir: host.paths.library,
      agentDir: host.paths.agentDir,
      cacheDir: join(host.folder, 'machines'),
      sandboxesDir: join(host.folder, 'sandboxes'),
      cgroups: host.cgroups,
      ...(bootMsMax === undefined ? {} : { bootMsMax }),
    });
  const missing = async (): Promise<string | false> => {
    const lacking = host.missing();
    if (lacking !== false) return lacking;
    const probe = await makeDriver().probe();
    return probe.available ? false : probe.reason;
  };
  conformance(name, () => host.subject(makeDriver), await missing());
  after(() => host.cleanUp());
}
