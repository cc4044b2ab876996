/** Templates built with E2B's own SDKs: files uploaded, steps run, logs read, tags moved, and sandboxes started from them. */
import assert from 'node:assert/strict';
import { symlinkSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as newest from 'e2b';
import * as older from 'e2b-a-year-ago';
import { pythonWith, run, scriptArgv } from './python.ts';
import { missingForRegistry, smallRoot, startRegistry, type TestRegistry, writeFiles } from './registry.ts';
import { missingForServer, startServer, type TestServer } from './server.ts';

const skip = missingForServer() ?? missingForRegistry() ?? false;

describe('templates by E2B’s SDKs', { skip }, () => {
  let registry: TestRegistry;
  let server: TestServer;
  let folder: string;
  let options: { apiUrl: string; sandboxUrl: string; apiKey: string };

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'casemate-e2b-template-'));
    registry = await startRegistry({ 'small:1': { template: 'base', only: smallRoot } });
    server = await startServer({ flags: ['--registry', registry.flag] });
    const apiKey = server.apiKey.replace('casemate_', 'e2b_');
    options = { apiUrl: server.url, sandboxUrl: server.url, apiKey };
    process.env.E2B_API_URL = server.url; // templates of a year ago take it from nowhere else
    process.env.E2B_API_KEY = apiKey;
    writeFiles(folder, {
      'app/main.py': 'print("hello from the template")\n',
      'app/deep/er.txt': 'deeper\n',
      'app/skipped.log': 'x',
      'note $1.txt': 'a note\n',
      '.dockerignore': '**/*.log\n',
    });
    symlinkSync('main.py', join(folder, 'app/link.py'));
  });
  after(async () => {
    await server?.close();
    await registry?.close();
    await rm(folder, { recursive: true, force: true });
  });

  async function said(name: string, command: string): Promise<string> {
    const sandbox = await newest.Sandbox.create(name, options);
    try {
      return (await sandbox.commands.run(command)).stdout;
    } finally {
      await sandbox.kill();
    }
  }

  it('builds all kinds of steps with the newest SDK, and starts what they describe', async () => {
    const { Template, waitForFile } = newest;
    const template = Template({ fileContextPath: folder })
      .fromBaseImage()
      .copy('app', 'app')
      .copy('*.txt', '/srv/notes/', { user: 'root', mode: 0o640 })
      .setWorkdir('/work')
      .setEnvs({ GREETING: 'a "b"' })
      .setEnvs({ MORE: '$GREETING!' })
      .runCmd(['id -un > who', 'pwd >> who', 'cat > here <<EOF\n$GREETING\nEOF'])
      .runCmd('id -un > /etc/which', { user: 'root' })
      .makeDir('made/of/it')
      .setStartCmd('echo up > /tmp/up; exec sleep infinity', waitForFile('/tmp/up'));
    const lines: newest.LogEntry[] = [];
    const built = await Template.build(template, 'my_app:v1', {
      ...options,
      tags: ['stable'],
      memoryMB: 640,
      onBuildLogs: (line) => lines.push(line),
    });
    assert.deepEqual([built.templateId, built.name, built.tags], ['my_app', 'my_app:v1', ['v1', 'stable']]);
    const text = lines.map(({ message }) => message).join('\n');
    assert.match(text, /Uploaded 'app'[\s\S]*RUN id -un > who && pwd >> who/);
    const told = await said(
      'my_app:stable',
      'cat who here /etc/which /tmp/up; stat -c "%U %a" /srv/notes/* . ~/app/main.py; pwd; ls ~/app; cat ~/app/link.py; cat ~/app/deep/er.txt; echo $MORE; test -d made/of/it && sudo id -un',
    );
    assert.equal(
      told,
      `user\n/work\na "b"\nroot\nup\nroot 640\nuser 755\nuser 644\n/work\ndeep\nlink.py\nmain.py\nprint("hello from the template")\ndeeper\na "b"!\nroot\n`,
    );
    const sandbox = await newest.Sandbox.create('my_app:v1', options);
    assert.equal((await sandbox.getInfo()).memoryMB, 640);
    await sandbox.kill();
    await assert.rejects(newest.Sandbox.create('my_app', options), newest.SandboxError); // no default tag

    const again: string[] = [];
    const onBuildLogs = ({ message }: newest.LogEntry): number => again.push(message);
    await Template.build(template, 'my_app', { ...options, onBuildLogs });
    assert.ok(
      again.some((message) => message.includes("Skipping upload of 'app'")),
      again.join('\n'),
    );
    assert.ok(!again.some((message) => /^RUN (?![\s\S]*unchanged)/.test(message)), again.join('\n'));
    assert.equal(await said('my_app', 'cat /etc/which'), 'root\n');
  });

  it('moves tags, finds names, removes templates', async () => {
    const { Template } = newest;
    const template = Template().fromTemplate('base').runCmd('echo one > here');
    const { buildId } = await Template.build(template, 'tagged', options);
    assert.deepEqual((await Template.assignTags('tagged', ['blue', 'green'], options)).tags, [
      'blue',
      'green',
    ]);
    const second = Template().fromTemplate('tagged:blue').runCmd('echo two >> here');
    await Template.build(second, 'tagged', options);
    assert.equal(await said('tagged', 'cat here'), 'one\ntwo\n');
    assert.equal(await said('tagged:green', 'cat here'), 'one\n');
    await Template.removeTags('tagged', 'green', options);
    const tags = await Template.getTags('tagged', options);
    assert.deepEqual(tags.map(({ tag }) => tag).sort(), ['blue', 'default']);
    assert.equal(tags.find(({ tag }) => tag === 'blue')?.buildId, buildId);
    assert.equal(await Template.exists('tagged', options), true);
    assert.equal(await Template.exists('tagged:blue', options), true);
    assert.equal(await Template.exists('tagged:green', options), false);
    assert.equal(await Template.exists('code-interpreter-none', options), false);
    await assert.rejects(Template.assignTags('tagged:green', 'x', options), newest.TemplateError);
    await assert.rejects(Template.getTags('none', options), newest.TemplateError);
    assert.equal(await newest.Sandbox.deleteSnapshot('tagged', options), true);
    assert.equal(await Template.exists('tagged', options), false);
  });

  it('builds from an image, in the background, and says which step failed and why', async () => {
    const { Template } = newest;
    const image = Template({ fileContextPath: folder }).fromImage('small:1').copy('app/deep', '/opt/deep');
    const info = await Template.buildInBackground(image, 'small', options);
    assert.match((await Template.getBuildStatus(info, options)).status, /^(waiting|building)$/);
    let status: string;
    let offset = 0;
    do {
      const now = await Template.getBuildStatus(info, { ...options, logsOffset: offset });
      offset += now.logEntries.length;
      ({ status } = now);
      await new Promise((resolve) => setTimeout(resolve, 100));
    } while (status === 'building' || status === 'waiting');
    assert.equal(status, 'ready');
    assert.ok(offset > 0);
    assert.equal(await said('small', 'cat /opt/deep/er.txt; stat -c %U /opt/deep/er.txt'), 'deeper\nuser\n');

    const failing = image.runCmd('true').runCmd('echo "no luck" >&2; exit 3');
    const failed = await Template.buildInBackground(failing, 'small', options);
    let last: newest.TemplateBuildStatusResponse;
    do last = await Template.getBuildStatus(failed, options);
    while (last.status === 'building' || last.status === 'waiting');
    assert.equal(last.status, 'error');
    assert.equal(last.reason?.step, '3');
    assert.equal(last.reason?.message, 'RUN echo "no luck" >&2; exit 3: ended with 3');
    assert.ok(last.reason?.logEntries.some(({ message }) => message === 'no luck'));
    await assert.rejects(Template.build(failing, 'small', options), (error: Error) => {
      assert.ok(error instanceof newest.BuildError);
      assert.match(error.stack ?? '', /e2bTemplates\.test\.ts/); // the step's own line
      return true;
    });
    assert.equal(await said('small', 'cat /opt/deep/er.txt'), 'deeper\n'); // the version before serves on
    const secret = Template().fromImage('small:1', { username: 'a', password: 'b' });
    await assert.rejects(
      Template.build(secret, 'small', options),
      /does not support credentials of registries/,
    );
    const elsewhere = Template().fromImage('registry.example/x');
    await assert.rejects(Template.build(elsewhere, 'small', options), /No images are pulled from/);
    await assert.rejects(
      Template.getBuildStatus({ templateId: 'small', buildId: 'none' }, options),
      newest.BuildError,
    );
    const { url, headers } = await uploadLink('a'.repeat(64));
    assert.equal(
      (await fetch(url.replace(/token=.{5}/, 'token=wrong'), { method: 'PUT', headers })).status,
      401,
    );
    assert.equal((await fetch(url, { method: 'PUT', headers, body: 'no archive' })).status, 400);
  });

  async function uploadLink(hash: string): Promise<{ url: string; headers: Record<string, string> }> {
    const answer = await fetch(`${server.url}/templates/x/files/${hash}`, {
      headers: { 'x-api-key': options.apiKey },
    });
    assert.equal(answer.status, 201);
    const { url } = (await answer.json()) as { url: string };
    return { url, headers: { 'content-type': 'application/octet-stream' } };
  }

  it('builds with the SDK of a year ago', async () => {
    const { Template } = older;
    const template = Template({ fileContextPath: folder })
      .fromTemplate('base')
      .copy('app', '/opt/app')
      .runCmd('touch old')
      .setStartCmd('sleep infinity', 'true');
    await Template.build(template, { alias: 'older', cpuCount: 1, memoryMB: 512 });
    assert.equal(await said('older', 'ls; ls /opt/app'), 'old\ndeep\nlink.py\nmain.py\n');
    const failing = Template().fromTemplate('older').runCmd('exit 4');
    await assert.rejects(Template.build(failing, { alias: 'older' }), /RUN exit 4: ended with 4/);
  });

  for (const version of ['2.63.0', '2.8.1']) {
    it(`builds with Python’s SDK ${version}`, async (test) => {
      const python = await pythonWith(`e2b-python-${version}`, [`e2b==${version}`]);
      if (python.missing !== undefined) return test.skip(python.missing);
      const script = fileURLToPath(new URL('e2b_python/template_checks.py', import.meta.url));
      const { code, output } = await run(python.path, scriptArgv(script), {
        E2B_API_URL: server.url,
        E2B_SANDBOX_URL: server.url,
        E2B_API_KEY: options.apiKey,
        TEMPLATE_FOLDER: folder,
      });
      assert.equal(code, 0, output);
      for (const name of ['builds', 'fails']) assert.match(output, new RegExp(`^ok ${name}$`, 'm'));
    });
  }
});
