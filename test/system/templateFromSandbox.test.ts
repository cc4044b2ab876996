/** A running sandbox as a template: what it changed becomes a layer; and start commands that outlive pauses. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Casemate, type CasemateError, Sandbox, template } from '../../sdk/typescript/src/index.ts';
import { missingForServer, needTemplates, startServer, type TestServer } from './server.ts';

describe('a template of a running sandbox', { skip: missingForServer() ?? false }, () => {
  let server: TestServer;
  before(async () => {
    server = await startServer();
    await needTemplates(server, ['base']);
  });
  after(() => server?.close());

  const create = (name: string): Promise<Sandbox> =>
    Sandbox.create({ url: server.url, apiKey: server.apiKey, template: name });
  const changes = [
    'sudo rm /usr/bin/less',
    'sudo rm -r /usr/share/doc/bash',
    'sudo mkdir -p /opt/tool/bin /srv/data',
    'echo "echo hello" | sudo tee /opt/tool/bin/hello > /dev/null',
    'sudo chmod 4755 /opt/tool/bin/hello',
    'sudo ln -s tool/bin /opt/bin',
    'sudo mv /etc/debian_version /etc/moved',
    'sudo rm /bin/zgrep && sudo mkdir /bin/zgrep',
    'echo more | sudo tee -a /etc/issue > /dev/null',
    'printf "a name\\nwith a line" > "/home/user/odd $(printf "\\377\\n") name"',
    'sudo chown 1234:4321 /srv/data',
    'touch -d 2001-02-03 dated',
    'echo gone > /tmp/gone',
  ].join(' && ');
  const look = [
    'ls /usr/bin/less /usr/share/doc/bash /etc/debian_version /tmp/gone 2>/dev/null',
    'sh /opt/bin/hello',
    'stat -c "%a %U %n" /opt/tool/bin/hello',
    'readlink /opt/bin',
    'test -s /etc/moved && test -d /bin/zgrep && tail -1 /etc/issue',
    'cat /home/user/odd*; echo',
    'stat -c "%u:%g" /srv/data',
    'date -r dated +%Y-%m-%d',
    'sudo git --version | cut -c 1-11',
  ].join('; ');
  const seen = [
    ...['hello', '4755 root /opt/tool/bin/hello', 'tool/bin', 'more', 'a name', 'with a line'],
    ...['1234:4321', '2001-02-03', 'git version', ''],
  ].join('\n');

  it('has its files, its template below, and nothing twice', async () => {
    const { templates } = server.client;
    await using source = await create('base');
    assert.equal((await source.exec(changes)).exitCode, 0);
    const log: string[] = [];
    const version = await templates.buildFrom(
      'kept',
      { sandbox: source.id },
      { onLog: ({ text }) => log.push(text) },
    );
    assert.equal(version.source, `sandbox://${source.id}`);
    // Every layer has the tables of its file system.
    const empty = await templates.buildFrom('empty', { dockerfile: 'FROM template://base\nRUN true\n' });
    const more = (version.bytes ?? 0) - (empty.bytes ?? 0);
    assert.ok(more < 1024 * 1024, `${more} bytes`);
    assert.ok(log.includes('take what the sandbox has changed'));
    await using copy = await create('kept');
    assert.equal((await copy.exec(look)).stdout, seen);
    assert.equal((await source.exec('cat /tmp/gone')).stdout, 'gone\n'); // it goes on
    // What is made of the copy begins with the layer that the copy has.
    await copy.exec('sudo rm -r /opt/tool');
    const next = template().fromSandbox(copy.id).run('test ! -e /opt/tool && echo next > /next');
    await templates.buildFrom('kept', next);
    await using second = await create('kept');
    assert.equal((await second.exec('cat /next /etc/issue | tail -1')).stdout, 'more\n');
  });

  it('is a tenant’s own', async () => {
    await using source = await create('base');
    const { key } = await server.client.keys.create({ name: 'other', scope: 'tenant', tenantId: 'other' });
    const other = new Casemate({ url: server.url, apiKey: key });
    await assert.rejects(
      other.templates.buildFrom('stolen', { sandbox: source.id }),
      (error: CasemateError) =>
        error.code === 'build_failed' && /line 1: There is no sandbox/.test(error.message),
    );
  });

  it('starts what its template starts again after a pause that kept files only, and not twice otherwise', async () => {
    const counting = template()
      .fromTemplate('base')
      .user('user')
      .start('echo started >> /home/user/starts; touch /tmp/ready; exec sleep 1000', 'test -e /tmp/ready');
    await server.client.templates.buildFrom('counting', counting);
    await using sbx = await create('counting');
    const starts = async (): Promise<number> =>
      (await sbx.exec('cat /home/user/starts')).stdout.split('\n').length - 1;
    const runs = async (): Promise<number> => Number((await sbx.exec('pgrep -cx sleep')).stdout);
    assert.deepEqual([await starts(), await runs()], [1, 1]);
    await sbx.pause();
    await sbx.resume();
    assert.deepEqual([await starts(), await runs()], [1, 1]);
    await sbx.exec('rm /tmp/ready');
    await sbx.pause({ keepMemory: false });
    await sbx.resume();
    assert.deepEqual([await starts(), await runs()], [2, 1]);
  });
});
