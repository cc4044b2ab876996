/** The Dockerfiles of examples/ build, or stop with an error that names the line; again, nothing is done twice. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { after, before, describe, it } from 'node:test';
import { type CasemateError, type EgressPolicy, Sandbox } from '../../sdk/typescript/src/index.ts';
import { missingForRegistry, startRegistry, type TestRegistry } from '../system/registry.ts';
import { missingForServer, needTemplates, startServer, type TestServer } from '../system/server.ts';

const skip = missingForServer() ?? missingForRegistry() ?? false;
const examples = fileURLToPath(new URL('../../examples/dockerfiles/', import.meta.url));
/** What the issue promises for a second build, with room for a machine that does other things too. */
const secondMsMax = 10_000;

interface Example {
  readonly name: string;
  readonly presets?: readonly ('apt' | 'pip')[];
  /** A program, and what it says in a sandbox of the template. */
  readonly argv: readonly string[];
  readonly says: RegExp;
}

const builds: readonly Example[] = [
  { name: 'nginx-site', presets: ['apt'], argv: ['/usr/sbin/nginx', '-v'], says: /nginx version/ },
  { name: 'flask-app', presets: ['apt', 'pip'], argv: ['flask', '--version'], says: /Flask 3/ },
  { name: 'c-multistage', presets: ['apt'], argv: ['/bin/hello'], says: /Hello from C/ },
  { name: 'static-busybox', presets: ['apt'], argv: ['/bin/uname', '-s'], says: /Linux/ },
  { name: 'postgres', presets: ['apt'], argv: ['postgres', '--version'], says: /PostgreSQL. 15/ },
  { name: 'jq-toolbox', presets: ['apt'], argv: ['cat', '/answer'], says: /^42$/m },
  { name: 'git-server', argv: ['cat', '/srv/git/project.git/HEAD'], says: /refs\/heads\/main/ },
  { name: 'entrypoint-heredoc', argv: ['docker-entrypoint.sh', 'cat', '/etc/motd'], says: /hello, world/ },
  { name: 'archive-app', argv: ['/opt/app/run'], says: /running from an archive/ },
];

describe('the Dockerfiles of the examples', { skip }, () => {
  let registry: TestRegistry;
  let server: TestServer;
  /** Why no packages can be installed. */
  let noPackages: string | undefined;

  before(async () => {
    const preparing = await startServer();
    await needTemplates(preparing, ['base']);
    await preparing.close();
    registry = await startRegistry({ 'debian:12': { template: 'base' } });
    server = await startServer({ flags: ['--registry', registry.flag] });
    const dockerfile = 'FROM debian:12\nRUN apt-get update -o APT::Update::Error-Mode=any\n';
    const policy: EgressPolicy = { allow: [{ preset: 'apt' }] };
    await server.client.templates.buildFrom('probe', { dockerfile }, { policy }).catch(() => {
      noPackages = 'the package archive of this machine is not reached under preset:apt';
    });
  });
  after(async () => {
    await server?.close();
    await registry?.close();
  });

  async function build(
    { name, presets = [] }: Pick<Example, 'name' | 'presets'>,
    change = (text: string) => text,
  ) {
    const context = `${examples}${name}`;
    const policy: EgressPolicy = { allow: presets.map((preset) => ({ preset })) };
    const log: string[] = [];
    const from = performance.now();
    const version = await server.client.templates.buildFrom(
      name,
      { dockerfile: change(readFileSync(`${context}/Dockerfile`, 'utf8')), context },
      {
        policy,
        buildArgs: presets.includes('pip') ? { PIP_INDEX_URL: pipIndex() } : {},
        onLog: ({ stream, text }) => (stream === 'build' ? log.push(text) : undefined),
      },
    );
    return { version, log, ms: performance.now() - from };
  }

  for (const example of builds)
    it(`builds ${example.name}, and again without doing anything`, async (test) => {
      if (example.presets !== undefined && noPackages !== undefined) return test.skip(noPackages);
      await build(example);
      await using sandbox = await Sandbox.create({
        url: server.url,
        apiKey: server.apiKey,
        template: example.name,
      });
      const said = await sandbox.exec([...example.argv]);
      assert.match(said.stdout + said.stderr, example.says);
      const again = await build(example);
      const steps = again.log.filter((line) => /^(RUN|COPY|ADD|WORKDIR) /.test(line));
      assert.ok(
        steps.length > 0 && steps.every((line) => line.endsWith('(unchanged)')),
        again.log.join('\n'),
      );
      assert.ok(again.ms < secondMsMax, `${again.ms} ms`);
      test.diagnostic(`the second build took ${Math.round(again.ms)} ms`);
    });

  it('makes the last step again where only that changed', async () => {
    const changed = await build({ name: 'archive-app' }, (text) =>
      text.replace('/opt/app/run\n', '/opt/app/run x\n'),
    );
    const steps = changed.log.filter((line) => /^(RUN|COPY|ADD) /.test(line));
    assert.deepEqual(
      steps.map((line) => line.endsWith('(unchanged)')),
      [true, true, false],
    );
  });

  it('stops node-express at its line, because its base is not on this registry', async () => {
    await assert.rejects(build({ name: 'node-express' }), (error: CasemateError) => {
      assert.equal(error.code, 'build_failed');
      assert.match(error.message, /^Dockerfile line 7: .*manifest unknown/);
      return true;
    });
  });
});

/** Where this machine's own pip looks; its own module tells what is built in. */
function pipIndex(): string {
  const ask = (argv: readonly string[]): string => {
    try {
      return execFileSync(argv[0] ?? '', argv.slice(1), {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      }).trim();
    } catch {
      return '';
    }
  };
  const builtIn = 'from pip._internal.models.index import PyPI; print(PyPI.simple_url)';
  return ask(['pip', 'config', 'get', 'global.index-url']) || ask(['python3', '-c', builtIn]);
}
