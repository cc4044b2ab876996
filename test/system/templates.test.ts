/** Templates out of Dockerfiles and images, from the SDK to a sandbox that runs what was built. */
import assert from 'node:assert/strict';
import { chmodSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { runCommand } from '../../src/base/child.ts';
import {
  type BuildOptions,
  Casemate,
  type CasemateError,
  Sandbox,
  template,
  type TemplateVersion,
} from '../../sdk/typescript/src/index.ts';
import { missingForRegistry, smallRoot, startRegistry, type TestRegistry, writeFiles } from './registry.ts';
import { missingForServer, needTemplates, startServer, type TestServer } from './server.ts';

const skip = missingForServer() ?? missingForRegistry() ?? false;

describe('templates of one’s own', { skip }, () => {
  let registry: TestRegistry;
  let server: TestServer;
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'casemate-context-'));
    const preparing = await startServer();
    await needTemplates(preparing, ['base']);
    await preparing.close();
    registry = await startRegistry({
      'debian:12': { template: 'base' },
      'small:1': { template: 'base', config: ['--config.workingdir', '/srv'], only: smallRoot },
    });
    server = await startServer({ flags: ['--registry', registry.flag] });
  });

  after(async () => {
    await server?.close();
    await registry?.close();
    await rm(folder, { recursive: true, force: true });
  });

  async function build(
    name: string,
    dockerfile: string,
    options: BuildOptions & { context?: string } = {},
  ): Promise<{ version: TemplateVersion; log: string; ms: number }> {
    const lines: string[] = [];
    const from = performance.now();
    const { context, ...rest } = options;
    const source = { dockerfile, ...(context === undefined ? {} : { context }) };
    const version = await server.client.templates.buildFrom(name, source, {
      ...rest,
      onLog: ({ text }) => lines.push(text),
    });
    return { version, log: lines.join('\n'), ms: performance.now() - from };
  }

  async function inside(name: string, command: string): Promise<string> {
    await using sandbox = await Sandbox.create({ url: server.url, apiKey: server.apiKey, template: name });
    return (await sandbox.exec(command)).stdout;
  }

  it('builds a Dockerfile of several stages, and again without doing anything', async () => {
    const context = join(folder, 'stages');
    writeFiles(context, {
      'app/main.sh': '#!/bin/sh\necho "built by $WHO"\n',
      'app/skipped.log': 'x',
      'app/private.txt': 'for its owner',
      '.dockerignore': '**/*.log\n',
    });
    chmodSync(join(context, 'app/private.txt'), 0o600);
    const dockerfile = `ARG BASE=debian:12
FROM \${BASE} AS build
WORKDIR /out
ARG WHO=nobody
RUN --mount=type=cache,target=/cache echo "$WHO" > who && date +%N > /cache/stamp && id -u > uid
FROM debian:12
ENV WHO=unset GREETING="hello there"
COPY --from=build --chown=1000:1000 /out/ /opt/out/
COPY app /app
COPY --chmod=755 <<EOF /usr/local/bin/greet
#!/bin/sh
echo "$GREETING"
EOF
RUN chmod +x /app/main.sh && rm /etc/issue
USER user
WORKDIR /app
CMD ["./main.sh"]
`;
    const options = { context, buildArgs: { WHO: 'ada' } };
    const first = await build('stages', dockerfile, options);
    assert.deepEqual(first.version.cmd, ['./main.sh']);
    const said = await inside(
      'stages',
      'cat /opt/out/who /opt/out/uid; stat -c %u /opt/out/who; pwd; ls /app; stat -c %a /app/private.txt; sudo cat /app/private.txt; echo; greet; echo $GREETING; id -un; test -e /etc/issue || echo gone',
    );
    const expected = [
      'ada',
      '0',
      '1000',
      '/app',
      'main.sh',
      'private.txt',
      '600',
      'for its owner',
      'hello there',
      'hello there',
      'user',
      'gone',
      '',
    ];
    assert.equal(said, expected.join('\n'));
    const second = await build('stages', dockerfile, options);
    assert.equal(second.log.match(/\(unchanged\)/g)?.length, 8, second.log);
    assert.ok(second.ms < 20_000, `${second.ms} ms`);
    const third = await build('stages', dockerfile.replace('rm /etc/issue', 'rm /etc/issue.net'), options);
    const changed = third.log.split('\n').filter((line) => line.startsWith('RUN') && !line.includes('unch'));
    assert.equal(changed.length, 1, third.log);
  });

  it('says which line failed, and lets the version before serve on; and goes back to an older one', async () => {
    const good = 'FROM template://base\nRUN echo one > /etc/which\n';
    const first = await build('web', good);
    assert.equal(first.version.number, 1);
    const wrong: [dockerfile: string, message: RegExp][] = [
      [`${good}\nRUN true\nRUN echo two > /etc/which && exit 7\n`, /line 5: RUN echo two .*ended with 7/],
      [`${good}COPY nothing /\n`, /line 3: "nothing" is not in the build context/],
      [`${good}ADD https://host.example/x /x\n`, /line 3: ADD of an address/],
      [`${good}ONBUILD RUN true\n`, /line 3: ONBUILD is not an instruction/],
      ['FROM debian:no-such-tag\n', /line 1: .*manifest unknown/],
      ['FROM other.example/thing\n', /line 1: No images are pulled from "other.example"/],
      [`${good}RUN curl -sS --max-time 5 http://host.example/\n`, /line 3: RUN curl .*ended with 6/],
    ];
    for (const [dockerfile, message] of wrong)
      await assert.rejects(build('web', dockerfile), (error: CasemateError) => {
        assert.equal(error.code, 'build_failed');
        assert.match(error.message, message);
        return true;
      });
    assert.equal(await inside('web', 'cat /etc/which'), 'one\n');

    await build('web', good.replace('one', 'two'), { tag: 'latest' });
    assert.equal(await inside('web', 'cat /etc/which'), 'two\n');
    const { templates } = server.client;
    await templates.tag('web', 'stable', 1);
    assert.equal(await inside('web:stable', 'cat /etc/which'), 'one\n');
    assert.equal(await templates.rollback('web'), 1);
    assert.equal(await inside('web', 'cat /etc/which'), 'one\n');
    await assert.rejects(templates.rollback('web'), /no version to go back to/);
    await templates.addAlias('web', 'website');
    assert.equal(await inside('website:stable', 'cat /etc/which'), 'one\n');
    const { versions, aliases } = await templates.get('web');
    assert.deepEqual(aliases, ['website']);
    assert.deepEqual(
      versions.flatMap(({ number, state, tags }) => (state === 'ready' ? [[number, tags]] : [])),
      [
        [versions.length, []],
        [1, ['latest', 'stable']],
      ],
    );
  });

  it('starts what a builder describes, uploads each file once, and keeps the started one in its pool', async () => {
    const context = join(folder, 'builder');
    writeFiles(context, {
      'server.sh': 'while sleep 0.2; do date +%s > /tmp/beat; done\n',
      'other.txt': 'x',
    });
    const beating = template()
      .fromTemplate('base')
      .copy('server.sh', '/opt/', { owner: 'user' })
      .env({ PRICE: '5 $ "each"' })
      .workdir('/opt')
      .user('user')
      .start('bash /opt/server.sh', 'test -s /tmp/beat');
    const version = await server.client.templates.buildFrom('beating', beating, { context });
    assert.deepEqual(
      [version.user, version.workdir, version.start?.ready],
      ['user', '/opt', 'test -s /tmp/beat'],
    );
    assert.equal(
      await inside('beating', 'cat /tmp/beat > /dev/null && echo "$PRICE" && pwd'),
      '5 $ "each"\n/opt\n',
    );
    await server.client.pools.set('beating', { size: 1 });
    await untilReady('beating');
    await using warm = await Sandbox.create({ url: server.url, apiKey: server.apiKey, template: 'beating' });
    assert.equal((await warm.info()).source, 'warm');
    assert.equal((await warm.exec('test -s /tmp/beat && echo "$PRICE"')).stdout, '5 $ "each"\n');
    const dead = beating.start('exit 3', 'false', { readyTimeoutMs: 3000 });
    await assert.rejects(
      server.client.templates.buildFrom('beating', dead, { context }),
      /start command ended with 3/,
    );
    // A new version turns the pool over.
    await server.client.templates.buildFrom('beating', beating.env({ PRICE: '6' }), { context });
    await untilReady('beating');
    assert.equal(await inside('beating', 'echo "$PRICE"'), '6\n');
    await server.client.pools.set('beating', { size: 0 });
  });

  async function untilReady(name: string): Promise<void> {
    for (let round = 0; round < 150; round += 1) {
      const pool = (await server.client.pools.list()).find((status) => status.template === name);
      if (pool !== undefined && pool.ready >= pool.size) return;
      await sleep(200);
    }
    throw new Error(`the pool of ${name} was not filled`);
  }

  it('takes an archive and a folder in OCI layout', async () => {
    const image = `docker://${registry.url.replace('http://', '')}/library/small:1`;
    const archive = join(folder, 'small.tar');
    const layout = join(folder, 'layout');
    const flags = ['--insecure-policy', 'copy', '--src-tls-verify=false', image];
    await runCommand(['skopeo', ...flags, `docker-archive:${archive}`], { timeoutMs: 60_000 });
    await runCommand(['skopeo', ...flags, `oci:${layout}`], { timeoutMs: 60_000 });
    for (const source of [{ archive }, { layout }]) {
      await server.client.templates.buildFrom('taken', source);
      assert.equal(await inside('taken', 'pwd; id -un; sudo id -u'), '/srv\nuser\n0\n');
    }
  });

  it('shows a tenant its own, and what others show', async () => {
    const { client } = server;
    const { key } = await client.keys.create({ name: 'other', scope: 'tenant', tenantId: 'other' });
    const other = new Casemate({ url: server.url, apiKey: key });
    const create = (name: string) => Sandbox.create({ url: server.url, apiKey: key, template: name });
    const isMissing = (error: CasemateError): boolean => error.code === 'not_found';
    await assert.rejects(create('web'), isMissing);
    await assert.rejects(create('default/web'), isMissing);
    await assert.rejects(other.templates.get('web'), isMissing);
    await assert.rejects(other.templates.remove('web'), isMissing);
    await client.templates.setVisibility('web', 'public');
    const sandbox = await create('default/web');
    assert.equal((await sandbox.exec('cat /etc/which')).stdout, 'one\n');
    await sandbox.kill();
    assert.ok((await other.templates.list()).some(({ name }) => name === 'default/web'));
    await assert.rejects(other.templates.collect(), (error: CasemateError) => error.code === 'forbidden');
    await assert.rejects(
      other.templates.buildFrom('base', { image: 'debian:12' }),
      (error: CasemateError) => error.code === 'conflict',
    );
  });

  it('takes away what nothing needs, and says before what that is', async () => {
    const { templates } = server.client;
    await build('short', 'FROM template://base\nRUN echo 1 > /one\n');
    const sandbox = await Sandbox.create({ url: server.url, apiKey: server.apiKey, template: 'short' });
    for (const number of [2, 3, 4]) await build('short', `FROM template://base\nRUN echo ${number} > /one\n`);
    const planned = await templates.collect({ dryRun: true });
    assert.ok(planned.versions.includes('short:2') && !planned.versions.includes('short:1'));
    assert.ok(planned.bytes > 0 && planned.layers > 0);
    assert.deepEqual(await templates.collect(), planned);
    const left = (await templates.get('short')).versions.map(({ number }) => number);
    assert.deepEqual(left, [4, 3, 1]); // serving, the one before, and one that a sandbox runs from
    assert.equal((await sandbox.exec('cat /one')).stdout, '1\n');
    await assert.rejects(templates.remove('short'), /in use: version 1 has a sandbox/);
    await sandbox.kill();
    await templates.remove('short');
    await assert.rejects(templates.get('short'), (error: CasemateError) => error.code === 'not_found');
    assert.equal(await inside('web', 'cat /etc/which'), 'one\n');
  });
});
