/** E2B's SDK with E2B_DOMAIN and a key alone, as a team would set it: TLS, HTTP/2, one host a port of a sandbox. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type DomainServer, startDomainServer } from './domain.ts';
import { missingForServer } from './server.ts';

describe('the E2B SDK with E2B_DOMAIN alone', { skip: missingForServer() ?? false }, () => {
  let domain: DomainServer;
  before(async () => {
    domain = await startDomainServer();
  });
  after(() => domain.close());

  for (const sdk of ['e2b', 'e2b-a-year-ago']) {
    it(`finds everything, by ${sdk}`, async () => {
      const { code, output } = await domain.run('program.ts', { SDK: sdk });
      assert.equal(code, 0, output);
      assert.match(output, /^all found$/m);
    });
  }
});
