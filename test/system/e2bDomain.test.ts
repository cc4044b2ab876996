/** E2B's SDK with E2B_DOMAIN and a key alone, as a team would set it: TLS, HTTP/2, one host a port of a sandbox. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { startDomainServer } from './domain.ts';
import { missingForServer } from './server.ts';

const cases = [
  { authority: 'brought', sdk: 'e2b-a-year-ago' },
  { authority: 'own', sdk: 'e2b' },
] as const;

describe('the E2B SDK with E2B_DOMAIN alone', { skip: missingForServer() ?? false }, () => {
  for (const { authority, sdk } of cases) {
    it(`finds everything, by ${sdk}, with a certificate that is ${authority}`, async () => {
      const domain = await startDomainServer(authority);
      try {
        const { code, output } = await domain.run('program.ts', { SDK: sdk });
        assert.equal(code, 0, output);
        assert.match(output, /^all found$/m);
      } finally {
        await domain.close();
      }
    });
  }
});
