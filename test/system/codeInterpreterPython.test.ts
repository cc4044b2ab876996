/** E2B's code interpreter SDK for Python, unchanged, newest and of a year ago, each in a venv of its own. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startDomainServer } from './domain.ts';
import { type Column, holdBlock, pythonColumns, table } from './e2b/surface.ts';
import { pythonWith, run, scriptArgv } from './python.ts';
import { missingForServer, needTemplates } from './server.ts';

const checks = join(fileURLToPath(new URL('e2b_python/', import.meta.url)), 'interpreter_checks.py');
/** The newest resolves names by itself and goes where E2B_SANDBOX_URL says; the older one knows E2B_DOMAIN alone. */
const versions = [
  { version: '2.11.5', packages: ['e2b-code-interpreter==2.11.5', 'e2b==2.63.0'], isOld: false },
  { version: '2.4.1', packages: ['e2b-code-interpreter==2.4.1', 'e2b==2.8.1'], isOld: true },
];

describe('the code interpreter SDK for Python', { skip: missingForServer() ?? false }, () => {
  it('works at its newest version and at one of a year ago, each call as docs/e2b.md says', async (test) => {
    const columns: Column[] = [];
    for (const { version, packages, isOld } of versions) {
      const python = await pythonWith(`e2b-code-interpreter-${version}`, packages);
      if (python.missing !== undefined) return test.skip(python.missing);
      const domain = await startDomainServer();
      try {
        await needTemplates(domain.server, ['code-interpreter']);
        const { E2B_DOMAIN = '', ...env } = domain.env;
        const { url } = domain.server;
        const where = isOld ? { E2B_DOMAIN } : { E2B_API_URL: url, E2B_SANDBOX_URL: url };
        const { code, output } = await run(python.path, scriptArgv(checks), { ...env, ...where });
        assert.equal(code, 0, output);
        assert.match(output, /^all found$/m);
        columns.push(...pythonColumns(version, output));
      } finally {
        await domain.close();
      }
    }
    holdBlock('calls of code interpreters by Python', table(columns));
  });
});
