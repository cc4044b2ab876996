/** What the SDKs write for a port is run without the program that they name; all else is run as it is. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { describe, it } from 'node:test';
import { waitForFile, waitForPort } from 'e2b';
import { waitForPort as waitForPortOfAYearAgo } from 'e2b-a-year-ago';
import { readyCommand } from './readyCommand.ts';

describe('a ready command', () => {
  for (const wait of [waitForPort, waitForPortOfAYearAgo]) {
    for (const host of ['127.0.0.1', '::1']) {
      it(`finds a port that listens, on ${host}`, async () => {
        const server = createServer().listen(0, host);
        await once(server, 'listening');
        const address = server.address();
        const port = typeof address === 'object' && address !== null ? address.port : 0;
        const command = readyCommand(wait(port).getCmd());
        const listening = spawnSync('sh', ['-c', command]).status;
        server.close();
        await once(server, 'close');
        assert.doesNotMatch(command, /\bss\b/);
        assert.equal(listening, 0);
        assert.notEqual(spawnSync('sh', ['-c', command]).status, 0);
      });
    }
  }

  it('is run as it is where it names something else', () => {
    assert.equal(readyCommand(waitForFile('/tmp/up').getCmd()), '[ -f /tmp/up ]');
    assert.equal(readyCommand('ss -tuln | grep :80 && true'), 'ss -tuln | grep :80 && true');
  });
});
