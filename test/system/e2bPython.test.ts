/** E2B's own Python SDK, unchanged, against a live server: the newest and one of a year ago, each in a venv of its own. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Sandbox as NativeSandbox } from '../../sdk/typescript/src/index.ts';
import { type Column, holdBlock, pythonColumns, table } from './e2b/surface.ts';
import { pythonWith, run, scriptArgv } from './python.ts';
import { missingForRegistry, smallRoot, startRegistry, type TestRegistry } from './registry.ts';
import { missingForServer, startServer, type TestServer } from './server.ts';

const versions = ['2.63.0', '2.8.1'];
const folder = fileURLToPath(new URL('e2b_python/', import.meta.url));
const skip = missingForServer() ?? missingForRegistry() ?? false;

describe('the E2B SDK for Python', { skip }, () => {
  let registry: TestRegistry;
  let server: TestServer;
  before(async () => {
    registry = await startRegistry({ 'small:1': { template: 'base', only: smallRoot } });
    server = await startServer({ flags: ['--registry', registry.flag] });
  });
  after(async () => {
    await server?.close();
    await registry?.close();
  });

  for (const version of versions) {
    it(`works at version ${version}`, async (test) => {
      const python = await pythonWith(`e2b-python-${version}`, [`e2b==${version}`]);
      if (python.missing !== undefined) return test.skip(python.missing);
      const { url, apiKey } = server;
      const small = await NativeSandbox.create({ url, apiKey, limits: { diskMib: 64 } });
      const { code, output } = await run(python.path, scriptArgv(join(folder, 'sandbox_checks.py')), {
        SMALL_SANDBOX: small.id,
        E2B_API_URL: server.url,
        E2B_SANDBOX_URL: server.url,
        E2B_API_KEY: server.apiKey.replace('casemate_', 'e2b_'),
      });
      assert.equal(code, 0, output);
      assert.ok(output.match(/^ok /gm), output);
      for (const name of output.matchAll(/^ok (\w+)$/gm)) test.diagnostic(`ok ${name[1]}`);
    });
  }

  it('ends as docs/e2b.md says, call by call', async (test) => {
    const columns: Column[] = [];
    for (const version of versions) {
      const python = await pythonWith(`e2b-python-${version}`, [`e2b==${version}`]);
      if (python.missing !== undefined) return test.skip(python.missing);
      const { code, output } = await run(python.path, scriptArgv(join(folder, 'surface.py')), {
        E2B_API_URL: server.url,
        E2B_SANDBOX_URL: server.url,
        E2B_API_KEY: server.apiKey.replace('casemate_', 'e2b_'),
        E2B_VOLUME_API_URL: server.url,
      });
      assert.equal(code, 0, output);
      columns.push(...pythonColumns(version, output));
    }
    holdBlock('calls of Python', table(columns));
  });
});
