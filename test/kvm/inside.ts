/** Inside the nested host: boots one guest and fails unless KVM ran it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defaultDataDir, pathsOf } from '../../src/base/config.ts';
import { findPlatform } from '../../src/runtime/qemu/platform.ts';

const { library, agentDir } = pathsOf(defaultDataDir);
const cacheDir = await mkdtemp(join(tmpdir(), 'casemate-kvm-'));
try {
  const kvmBootMsMax = Number(process.env.CASEMATE_TEST_KVM_BOOT_MS);
  const from = performance.now();
  const { accelerator, kvm } = await findPlatform({ libraryDir: library, agentDir, cacheDir, kvmBootMsMax });
  console.log(`${kvm} (${((performance.now() - from) / 1000).toFixed(1)} s under double emulation)`);
  process.exitCode = accelerator === 'kvm' ? 0 : 1;
} finally {
  await rm(cacheDir, { recursive: true, force: true });
}
