/** Egress from inside a real sandbox of a real server: closed until a policy is set, then open to just what it says. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Sandbox } from '../../sdk/typescript/src/index.ts';
import { runCommand } from '../../src/base/child.ts';
import { newId } from '../../src/base/ids.ts';
import { createLog } from '../../src/base/log.ts';
import { egressSocketPath } from '../../src/egress/argv.ts';
import { EgressSocketClient } from '../../src/egress/client.ts';
import { noPresets } from './egress/range.ts';
import { missingForServer, needTemplates, startServer, type TestServer } from './server.ts';

/** A network of its own for the one server outside; private, so the rule has to be an administrator's. */
const outside = {
  host: '10.98.7.1',
  server: '10.98.7.2',
  namespace: `egv-${newId(6)}`,
  device: `egv${newId(6)}`,
};
const serving = `
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
  def do_GET(self):
    self.send_response(200); self.end_headers(); self.wfile.write(b"outside")
  def log_message(self, *args): pass
server = http.server.HTTPServer(("${outside.server}", 80), Handler)
print("ready", flush=True)
server.serve_forever()`;

const probe = `
import socket, sys, time, urllib.request
def attempt(name, work):
  start = time.time()
  try: result = work()
  except Exception as error: result = type(error).__name__
  print(name, result, "slow" if time.time() - start > 2 else "quick")
attempt("outside", lambda: urllib.request.urlopen("http://${outside.server}/", timeout=5).read().decode())
attempt("named", lambda: socket.gethostbyname("www.world.test")[:4])
attempt("unnamed", lambda: socket.gethostbyname("secret.evil.test"))
attempt("metadata", lambda: socket.create_connection(("169.254.169.254", 80), timeout=5))
attempt("udp", lambda: (lambda s: (s.settimeout(5), s.connect(("8.8.8.8", 443)), s.send(b"x"), s.recv(1)))(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)))
`;

describe('egress of a gVisor sandbox', { skip: missingForServer() ?? false }, () => {
  let server: TestServer;
  let web: ChildProcess | undefined;
  let client: EgressSocketClient;
  before(async () => {
    const { namespace, device, host } = outside;
    await runCommand(['ip', 'netns', 'add', namespace]);
    await runCommand([
      'ip',
      'link',
      'add',
      device,
      'type',
      'veth',
      'peer',
      'name',
      'eth0',
      'netns',
      namespace,
    ]);
    await runCommand(['ip', 'addr', 'add', `${host}/30`, 'dev', device]);
    await runCommand(['ip', 'link', 'set', device, 'up']);
    await runCommand(['ip', '-n', namespace, 'addr', 'add', `${outside.server}/30`, 'dev', 'eth0']);
    await runCommand(['ip', '-n', namespace, 'link', 'set', 'eth0', 'up']);
    web = spawn('ip', ['netns', 'exec', namespace, 'python3', '-c', serving], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    if (web.stdout !== null) await once(web.stdout, 'data');
    server = await startServer();
    await needTemplates(server, ['python']);
    client = new EgressSocketClient({
      socketPath: egressSocketPath(join(server.dataDir, 'egress')),
      log: createLog({ role: 'test' }),
    });
  });
  after(async () => {
    client?.close();
    await server?.close();
    web?.kill('SIGKILL');
    await runCommand(['ip', 'netns', 'del', outside.namespace]);
  });

  /** The address of the sandbox's end of its link, read off the gate. */
  const addressOf = async (id: string): Promise<string> => {
    const tag = readFileSync(join(server.dataDir, 'instance'), 'utf8').trim();
    const device = `cm${id.slice(0, 12)}`;
    const { stdout } = await runCommand([
      'ip',
      '-n',
      `cm-${tag}-gate`,
      '-o',
      '-4',
      'addr',
      'show',
      'dev',
      device,
    ]);
    const gate = /inet (\d+\.\d+\.\d+)\.(\d+)\/30/.exec(stdout);
    return `${gate?.[1]}.${Number(gate?.[2]) + 1}`;
  };

  it('reaches nothing without a policy, and just what its policy says with one', async () => {
    await using sbx = await Sandbox.create({ url: server.url, apiKey: server.apiKey, template: 'python' });
    await sbx.files.write('probe.py', probe);
    const closed = await sbx.exec(['python3', 'probe.py'], { timeoutMs: 60_000 });
    assert.deepEqual(closed.stdout.trim().split('\n'), [
      'outside HTTPError quick', // 403 from the proxy, in words
      'named gaierror quick',
      'unnamed gaierror quick',
      'metadata ConnectionRefusedError quick',
      'udp ConnectionRefusedError quick',
    ]);
    await client.set({
      id: sbx.id,
      address: await addressOf(sbx.id),
      levels: [
        {
          name: 'sandbox',
          administrator: true,
          policy: {
            allow: [
              { cidr: `${outside.server}/32`, ports: [80], allowPrivate: true },
              { host: 'www.world.test' },
            ],
          },
        },
      ],
      presets: noPresets,
      secrets: [],
    });
    const open = await sbx.exec(['python3', 'probe.py'], { timeoutMs: 60_000 });
    assert.deepEqual(open.stdout.trim().split('\n').slice(0, 4), [
      'outside outside quick',
      'named 198. quick',
      'unnamed gaierror quick',
      'metadata ConnectionRefusedError quick',
    ]);
    const denied = await server.client.audit.list({ sandboxId: sbx.id, action: 'network.denied' });
    const told = denied.find(({ detail }) => detail.host === 'secret.evil.test');
    assert.equal(told?.detail.code, 'name_not_allowed', JSON.stringify(denied));
  });
});
