/** The administrator's key and the audit log, through a real server and the real command. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { Casemate } from '../../sdk/typescript/src/index.ts';
import { cliPath, missingForServer, startServer, stopProcess } from './server.ts';

describe('the administrator’s key', { skip: missingForServer() ?? false }, () => {
  it('is replaced at the next start after its file is removed, and the log says so and is whole', async () => {
    const first = await startServer();
    const keyFile = join(first.dataDir, 'server/admin.key');
    await stopProcess(first.process);
    rmSync(keyFile);
    const second = await startServer({ dataDir: first.dataDir });
    try {
      assert.notEqual(second.apiKey, first.apiKey);
      assert.equal(readFileSync(keyFile, 'utf8').trim(), second.apiKey);
      const keys = await second.client.keys.list();
      assert.equal(keys.length, 2, 'the lost key is there until it is removed');
      const made = await second.client.audit.list({ action: 'key.create' });
      assert.deepEqual(
        made.map(({ actor }) => actor),
        ['casemate', 'casemate'],
      );
      const printed = await promisify(execFile)(process.execPath, [cliPath, 'audit', '--verify'], {
        env: second.env,
      });
      assert.match(printed.stdout, /^\d+ events, unchanged; last hash [0-9a-f]{64}\n$/);
      const tenant = await second.client.keys.create({ name: 'a tenant’s', scope: 'tenant' });
      const asTenant = new Casemate({ url: second.url, apiKey: tenant.key });
      await assert.rejects(asTenant.audit.verify(), { code: 'forbidden' });
    } finally {
      await second.close();
    }
  });
});
