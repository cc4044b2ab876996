/** Builds templates into the machine's store, unless they are there: `node scripts/templates.ts base python`. */
import { join } from 'node:path';
import { defaultDataDir } from '../src/base/config.ts';
import { buildTemplate } from '../src/image/store.ts';

const storeDir = process.env.CASEMATE_STORE_DIR ?? join(defaultDataDir, 'store');
for (const name of process.argv.slice(2)) {
  const from = performance.now();
  const { digest } = await buildTemplate({
    storeDir,
    name,
    onProgress: ({ percent, phase }) =>
      console.log(`${String(percent).padStart(6)} %   template ${name}: ${phase}`),
  });
  console.log(
    `${(performance.now() - from).toFixed(0).padStart(6)} ms  template ${name} ${digest.slice(0, 12)}`,
  );
}
