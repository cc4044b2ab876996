/** E2B's desktop SDK, unchanged, against a live server; its template is built for it, which takes two minutes. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { startDomainServer } from '../system/domain.ts';
import { missingForServer, needTemplates } from '../system/server.ts';

describe('the E2B SDK of desktops', { skip: missingForServer() ?? false }, () => {
  it('shows, moves, types, opens and streams', async () => {
    const domain = await startDomainServer();
    try {
      await needTemplates(domain.server, ['desktop']);
      const { code, output } = await domain.run('desktop.ts', {});
      assert.equal(code, 0, output);
      assert.match(output, /^all found$/m);
    } finally {
      await domain.close();
    }
  });
});
