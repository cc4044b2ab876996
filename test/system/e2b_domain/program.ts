/** A program as a team on E2B has it: nothing in it says where the server is. */
import assert from 'node:assert/strict';
import { request } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import type * as E2b from 'e2b';

const { Sandbox } = (await import(process.env.SDK ?? 'e2b')) as typeof E2b;

const echoServer = `
const server = require('http').createServer((q, r) => q.pipe(r));
server.on('upgrade', (q, s) => { s.write('HTTP/1.1 101 Switching\\r\\nConnection: Upgrade\\r\\nUpgrade: echo\\r\\n\\r\\n'); s.pipe(s); });
server.listen(3000);
`;

const sandbox = await Sandbox.create('python', { timeoutMs: 60_000 });
try {
  assert.equal(await sandbox.isRunning(), true);
  assert.equal((await sandbox.commands.run('echo hello')).stdout, 'hello\n');
  await sandbox.files.write('a.txt', 'a');
  assert.equal(await (await fetch(await sandbox.downloadUrl('a.txt'))).text(), 'a');
  await sandbox.files.write('echo.js', echoServer);
  await sandbox.commands.run('node echo.js', { background: true, timeoutMs: 0 });
  const url = `https://${sandbox.getHost(3000)}/`;
  const post = async (): Promise<Response> => fetch(url, { method: 'POST', body: 'x'.repeat(1_000_000) });
  let answer = await post();
  for (let i = 0; i < 100 && answer.status === 502; i += 1) {
    await sleep(100);
    answer = await post();
  }
  assert.equal((await answer.text()).length, 1_000_000);
  assert.equal(await upgraded(url, 'over an upgrade'), 'over an upgrade');
} finally {
  await sandbox.kill();
}
console.log('all found');
process.exit(0); // the SDK keeps connections for its next call

/** What comes back on a connection that was upgraded, as WebSockets are. */
function upgraded(url: string, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const upgrade = request(url, { headers: { connection: 'Upgrade', upgrade: 'echo' } });
    upgrade.once('upgrade', (_response, socket) => {
      socket.once('data', (data: Buffer) => {
        resolve(data.toString());
        socket.destroy();
      });
      socket.write(text);
    });
    upgrade.once('response', ({ statusCode }) => reject(new Error(`answered ${statusCode}`)));
    upgrade.once('error', reject);
    upgrade.end();
  });
}
