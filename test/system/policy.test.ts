/** Egress policies through the whole product: created with, changed while it runs, kept over pause, restart and snapshot. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Casemate, type CreateOptions, type EgressPolicy, Sandbox } from '../../sdk/typescript/src/index.ts';
import { missingForServer, startServer, type TestServer } from './server.ts';

const namespace = `cmt-${process.pid}`;
const device = `cmt${process.pid}`;
const outside = '10.78.0.2';
const port = 8080;
/** An administrator's, because the test's outside has a private address. */
const policy: EgressPolicy = {
  allow: [{ cidr: `${outside}/32`, ports: [port], protocol: 'http', allowPrivate: true }],
};
const get = `curl -s -m 5 -o /dev/null -w '%{http_code}' http://${outside}:${port}/`;

describe('an egress policy', { skip: missingForServer() ?? false }, () => {
  let server: TestServer;
  let web: ChildProcess;
  before(async () => {
    const ip = (...args: string[]): unknown => execFileSync('ip', args);
    ip('netns', 'add', namespace);
    ip('link', 'add', device, 'type', 'veth', 'peer', 'name', 'w0', 'netns', namespace);
    ip('addr', 'add', '10.78.0.1/24', 'dev', device);
    ip('link', 'set', device, 'up');
    ip('-n', namespace, 'addr', 'add', `${outside}/24`, 'dev', 'w0');
    ip('-n', namespace, 'link', 'set', 'w0', 'up');
    const program = `require('node:http').createServer((q, s) => q.url === '/slow' ? s.write('begin') : s.end('served')).listen(${port}, '0.0.0.0', () => console.log('up'))`;
    web = spawn('ip', ['netns', 'exec', namespace, process.execPath, '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await new Promise((resolve) => web.stdout?.once('data', resolve));
    server = await startServer();
  });
  after(async () => {
    await server?.close();
    web?.kill('SIGKILL');
    execFileSync('ip', ['netns', 'del', namespace]);
  });

  const create = (options: CreateOptions = {}): Promise<Sandbox> =>
    Sandbox.create({ url: server.url, apiKey: server.apiKey, timeoutMs: 600_000, ...options });
  /** A port that the proxy listens on for others answers in words, any other is reset. */
  const isClosed = async (sbx: Sandbox): Promise<boolean> => ['000', '403'].includes(await status(sbx));
  const status = async (sbx: Sandbox): Promise<string> => (await sbx.exec(get)).stdout;

  it('is closed without one, and says why', async () => {
    await using sbx = await create();
    assert.ok(await isClosed(sbx));
    const lookup = await sbx.exec('getent hosts secret.evil.test');
    assert.notEqual(lookup.exitCode, 0);
    await sleep(2500);
    const denied = await server.client.audit.list({ sandboxId: sbx.id, action: 'network.denied' });
    assert.ok(
      denied.some(({ detail }) => detail.host === outside && detail.port === port),
      JSON.stringify(denied),
    );
    const name = denied.find(({ detail }) => detail.host === 'secret.evil.test');
    assert.ok(name !== undefined && String(name.detail.hint).length > 10, JSON.stringify(denied));
  });

  it('opens what it names, for warm ones too, and records the flow', async () => {
    await using sbx = await create({ policy });
    assert.equal(await status(sbx), '200');
    assert.deepEqual((await sbx.info()).policy, policy);
    await sleep(500);
    const flows = await server.client.audit.list({ sandboxId: sbx.id, action: 'network.flow' });
    assert.ok(flows.some(({ detail }) => detail.host === outside && Number(detail.bytesReceived) > 0));
  });

  it('changes while it runs, and cuts what no longer complies within a second', async () => {
    await using sbx = await create();
    assert.ok(await isClosed(sbx));
    await sbx.setPolicy(policy);
    assert.equal(await status(sbx), '200');
    const slow = await sbx.spawn(`curl -s -m 60 http://${outside}:${port}/slow; echo ended`);
    await sleep(1000);
    const from = performance.now();
    await sbx.setPolicy({});
    assert.equal((await slow.wait()).exitCode, 0);
    assert.ok(performance.now() - from < 1500, 'the open connection was cut');
    assert.ok(await isClosed(sbx));
  });

  it('is kept over pause and resume, a snapshot of the source, and a crash of everything', async () => {
    const sbx = await create({ policy });
    await sbx.pause();
    await sbx.resume();
    assert.equal(await status(sbx), '200');
    await sbx.snapshot({ name: 'with-policy' });
    await sleep(300);
    assert.equal(await status(sbx), '200');
    const { process: crashed, dataDir } = server;
    const gone = new Promise((resolve) => crashed.once('exit', resolve));
    process.kill(-(crashed.pid ?? 0), 'SIGKILL');
    await gone;
    server = await startServer({ dataDir });
    const again = await Sandbox.connect(sbx.id, { url: server.url, apiKey: server.apiKey });
    assert.equal(await status(again), '200');
    const copy = await create({ snapshot: 'with-policy' });
    assert.ok(await isClosed(copy), 'a copy has a policy of its own: none');
    await Promise.all([again.kill(), copy.kill()]);
    await server.client.snapshots.remove('with-policy');
  });

  it('of a tenant or a template narrows what runs at once, and is an administrator’s to change', async () => {
    const { policies } = server.client;
    await using sbx = await create({ policy });
    assert.equal(await status(sbx), '200');
    for (const place of [{}, { template: 'base' }]) {
      const slow = await sbx.spawn(`curl -s -m 60 http://${outside}:${port}/slow; echo ended`);
      await sleep(1000);
      const from = performance.now();
      assert.deepEqual(await policies.set(place, {}), {});
      assert.equal((await slow.wait()).exitCode, 0);
      assert.ok(performance.now() - from < 1500, 'the open connection was cut');
      assert.ok(await isClosed(sbx));
      await using later = await create({ policy });
      assert.ok(await isClosed(later), 'it holds for those that are made later');
      const { key } = await server.client.keys.create({ name: 'tenant', scope: 'tenant' });
      const tenant = new Casemate({ url: server.url, apiKey: key });
      assert.deepEqual(await tenant.policies.get(place), {});
      await assert.rejects(tenant.policies.set(place, policy), { code: 'forbidden' });
      await assert.rejects(tenant.policies.remove(place), { code: 'forbidden' });
      await policies.set(place, policy);
      assert.equal(await status(sbx), '200');
      await policies.remove(place);
      assert.equal(await policies.get(place), null);
      assert.equal(await status(sbx), '200');
    }
  });

  it('is learned from what was denied, without opening anything', async () => {
    await using sbx = await create({ learn: true });
    const asked = await sbx.exec('curl -s -m 5 http://needed.test/v1; curl -s -m 5 http://needed.test:25/');
    assert.match(asked.stdout, /name_not_allowed/);
    await sleep(2500);
    const { policy: learned, remarks } = await sbx.learned();
    assert.deepEqual(learned.allow, [{ host: 'needed.test', ports: [80], methods: ['GET'], paths: ['/v1'] }]);
    assert.match(remarks.join(), /needed\.test:25.*administrators/);
    await sbx.setPolicy(learned);
    assert.doesNotMatch((await sbx.exec('curl -s -m 5 http://needed.test/v1')).stdout, /not_allowed/);
  });

  it('refuses what it cannot mean, and private addresses to all but administrators', async () => {
    const broken: EgressPolicy = { allow: [{ host: '*.com' }] };
    await assert.rejects(create({ policy: broken }), { code: 'invalid_request' });
    const { key } = await server.client.keys.create({ name: 'tenant', scope: 'tenant' });
    await assert.rejects(Sandbox.create({ url: server.url, apiKey: key, policy }), { code: 'forbidden' });
  });
});
