/** E2B's own Python SDK, unchanged, against a live server: the newest and one of a year ago, each in a venv of its own. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { missingForServer, startServer, type TestServer } from './server.ts';

const versions = ['2.63.0', '2.8.1'];
const folder = fileURLToPath(new URL('e2b_python/', import.meta.url));
const cache = process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache');

describe('the E2B SDK for Python', { skip: missingForServer() ?? false }, () => {
  let server: TestServer;
  before(async () => {
    server = await startServer();
  });
  after(() => server.close());

  for (const version of versions) {
    it(`works at version ${version}`, async (test) => {
      const python = await pythonWith(version);
      if (python.missing !== undefined) return test.skip(python.missing);
      const { code, output } = await run(python.path, [join(folder, 'sandbox_checks.py')], {
        E2B_API_URL: server.url,
        E2B_SANDBOX_URL: server.url,
        E2B_API_KEY: server.apiKey.replace('casemate_', 'e2b_'),
      });
      assert.equal(code, 0, output);
      assert.ok(output.match(/^ok /gm), output);
      for (const name of output.matchAll(/^ok (\w+)$/gm)) test.diagnostic(`ok ${name[1]}`);
    });
  }
});

/** An interpreter with the SDK, made once a machine; or why there is none. */
async function pythonWith(version: string): Promise<{ path: string; missing?: string }> {
  const venv = join(cache, 'casemate', `e2b-python-${version}`);
  const path = join(venv, 'bin', 'python');
  if (existsSync(join(venv, 'complete'))) return { path };
  const made = await run('python3', ['-m', 'venv', venv], {});
  if (made.code !== 0) return { path, missing: `python3 makes no venv: ${made.output.slice(-200)}` };
  const argv = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', `e2b==${version}`];
  const installed = await run(path, argv, {});
  if (installed.code !== 0)
    return { path, missing: `PyPI cannot be reached: ${installed.output.slice(-200)}` };
  await run('touch', [join(venv, 'complete')], {});
  return { path };
}

function run(
  program: string,
  argv: readonly string[],
  env: Record<string, string>,
): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve) => {
    const child = spawn(program, argv, { env: { ...process.env, ...env }, timeout: 240_000 });
    let output = '';
    const hear = (text: string): void => {
      output = `${output}${text}`.slice(-20_000);
    };
    child.stdout.setEncoding('utf8').on('data', hear);
    child.stderr.setEncoding('utf8').on('data', hear);
    child.once('error', (error) => resolve({ code: null, output: String(error) }));
    child.once('close', (code) => resolve({ code, output }));
  });
}
