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
  /** A change of its last step. */
  readonly change: readonly [from: string, to: string];
}

const builds: readonly Example[] = [
  {
    name: 'nginx-site',
    presets: ['apt'],
    argv: ['/usr/sbin/nginx', '-v'],
    says: /nginx version/,
    change: ['nginx/error.log', 'nginx/error.log && true'],
  },
  {
    name: 'flask-app',
    presets: ['apt', 'pip'],
    argv: ['flask', '--version'],
    says: /Flask 3/,
    change: ['COPY app.py', 'COPY --chmod=644 app.py'],
  },
  {
    name: 'c-multistage',
    presets: ['apt'],
    argv: ['/bin/hello'],
    says: /Hello from C/,
    change: ['COPY --from=compiler', 'COPY --chmod=755 --from=compiler'],
  },
  {
    name: 'static-busybox',
    presets: ['apt'],
    argv: ['/bin/uname', '-s'],
    says: /Linux/,
    change: ['COPY --from=files', 'COPY --chown=0:0 --from=files'],
  },
  {
    name: 'postgres',
    presets: ['apt'],
    argv: ['postgres', '--version'],
    says: /PostgreSQL. 15/,
    change: ['initdb', 'initdb --no-instructions'],
  },
  {
    name: 'jq-toolbox',
    presets: ['apt'],
    argv: ['cat', '/answer'],
    says: /^42$/m,
    change: ['WORKDIR /data', 'WORKDIR /more'],
  },
  {
    name: 'git-server',
    argv: ['cat', '/srv/git/project.git/HEAD'],
    says: /refs\/heads\/main/,
    change: ['git config --global', 'git config  --global'],
  },
  {
    name: 'entrypoint-heredoc',
    argv: ['docker-entrypoint.sh', 'cat', '/etc/motd'],
    says: /hello, world/,
    change: ['"hello, world"', 'hello'],
  },
  {
    name: 'archive-app',
    argv: ['/opt/app/run'],
    says: /running from an archive/,
    change: ['WORKDIR /opt/app', 'WORKDIR /opt/app-1.0'],
  },
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
    registry = await startRegistry({ 'debian:12': { template: 'base', trustsHost: true } });
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
    it(`builds ${example.name}, again without doing anything, and changed only its last step`, async (test) => {
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
      assert.ok(madeAnew(again.log).length > 0, again.log.join('\n'));
      assert.ok(!madeAnew(again.log).includes(true), again.log.join('\n'));
      assert.ok(again.ms < secondMsMax, `${again.ms} ms`);
      const [from, to] = example.change;
      const changed = await build(example, (text) => {
        const at = text.lastIndexOf(from);
        assert.ok(at > 0, `${from} is not in it`);
        return text.slice(0, at) + to + text.slice(at + from.length);
      });
      const made = madeAnew(changed.log);
      assert.equal(made.indexOf(true), made.length - 1, changed.log.join('\n'));
      test.diagnostic(`again: ${Math.round(again.ms)} ms; the last step alone: ${Math.round(changed.ms)} ms`);
    });

  it('stops node-express at its line, because its base is not on this registry', async () => {
    await assert.rejects(build({ name: 'node-express' }), (error: CasemateError) => {
      assert.equal(error.code, 'build_failed');
      assert.match(error.message, /^Dockerfile line 7: .*manifest unknown/);
      return true;
    });
  });
});

/** Of each step that makes a layer, whether it was made and not found. */
function madeAnew(log: readonly string[]): boolean[] {
  const steps = log.filter((line) => /^(RUN|COPY|ADD|WORKDIR) /.test(line));
  return steps.map((line) => !line.endsWith('(unchanged)'));
}

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
