/** E2B's desktop SDKs, unchanged, newest and a year old, against a live server; their template takes two minutes to build. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type DomainServer, startDomainServer } from './domain.ts';
import {
  allCalled,
  type Column,
  holdBlock,
  lastLine,
  publicCalls,
  pythonColumns,
  table,
  versionOf,
} from './e2b/surface.ts';
import { pythonWith, run, scriptArgv } from './python.ts';
import { missingForServer, needTemplates } from './server.ts';

const system = fileURLToPath(new URL('.', import.meta.url));
/** The newest resolves names by itself, so it is told where the server is; the stream goes by the domain. */
const pythons = [
  { version: '2.7.2', packages: ['e2b-desktop==2.7.2', 'e2b==2.63.0'], isOld: false },
  { version: '2.2.0', packages: ['e2b-desktop==2.2.0', 'e2b==2.8.1'], isOld: true },
];

describe('the E2B SDKs of desktops', { skip: missingForServer() ?? false }, () => {
  let domain: DomainServer;
  before(async () => {
    domain = await startDomainServer('own');
    await needTemplates(domain.server, ['desktop']);
  });
  after(() => domain?.close());

  it('show, move, type, open and stream by JavaScript, each call as docs/e2b.md says', async () => {
    const columns: Column[] = [];
    for (const name of ['@e2b/desktop', 'e2b-desktop-a-year-ago']) {
      const { code, output } = await domain.run('desktop.ts', { SDK: name });
      assert.equal(code, 0, `${name}: ${output}`);
      assert.match(output, /^all found$/m);
      columns.push({ title: versionOf(name), outcomes: allCalled(publicCalls(name), lastLine(output)) });
    }
    holdBlock('calls of desktops by JavaScript', table(columns));
  });

  it('do so by Python', async (test) => {
    const columns: Column[] = [];
    for (const { version, packages, isOld } of pythons) {
      const { path, missing } = await pythonWith(`e2b-desktop-${version}`, packages);
      if (missing !== undefined) return test.skip(missing);
      const { url } = domain.server;
      const where = isOld ? {} : { E2B_API_URL: url, E2B_SANDBOX_URL: url };
      const { code, output } = await run(path, scriptArgv(join(system, 'e2b_python/desktop_checks.py')), {
        ...{ ...domain.env, ...where },
        PYTHONPATH: join(system, 'e2b_domain/python'),
      });
      assert.equal(code, 0, output);
      assert.match(output, /^all found$/m);
      columns.push(...pythonColumns(version, output));
    }
    holdBlock('calls of desktops by Python', table(columns));
  });
});
