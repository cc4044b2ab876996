/** The real CLI against a scripted server: streams and exit codes pass through, errors say what to do. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  apiKey,
  execId,
  exited,
  fail,
  frame,
  type Handler,
  sandboxId,
  started,
  startWireServer,
  type WireServer,
} from '../../sdk/typescript/src/testing/wireServer.ts';

const cli = fileURLToPath(new URL('casemate.mjs', import.meta.url));
const sandboxPath = `/v1/sandboxes/${sandboxId}`;

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface RunOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly stdin?: string;
  /** Sent as soon as the program has printed something. */
  readonly signal?: NodeJS.Signals;
}

function run(url: string, args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const env = { ...process.env, CASEMATE_URL: url, CASEMATE_API_KEY: apiKey, ...options.env };
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', cli, ...args], {
    env,
    timeout: 30_000,
  });
  const { signal } = options;
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (data: Buffer) => {
    stdout += String(data);
    if (signal !== undefined) child.kill(signal);
  });
  child.stderr.on('data', (data: Buffer) => (stderr += String(data)));
  child.stdin.on('error', () => {}); // it may end without reading
  child.stdin.end(options.stdin ?? '');
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, stdout, stderr })));
}

async function withServer(handle: Handler, work: (server: WireServer) => Promise<void>): Promise<void> {
  const server = await startWireServer(handle);
  try {
    await work(server);
  } finally {
    await server.close();
  }
}

const answersExec: Handler = (request, response) => {
  if (request.method !== 'POST' || request.url !== `${sandboxPath}/exec`) return false;
  response.end(Buffer.concat([started, frame(1, 'out\n'), frame(2, '\u001b[31merr\n'), exited(7)]));
  return true;
};

/** The same, once stdin has come. */
function answersExecAfterStdin(): Handler {
  let onStdin = (): void => {};
  const stdin = new Promise<void>((resolve) => {
    onStdin = resolve;
  });
  return async (request, response) => {
    if (request.url?.includes('/stdin') === true) request.once('end', onStdin);
    if (request.url !== `${sandboxPath}/exec`) return false;
    response.write(started);
    await stdin;
    response.end(Buffer.concat([frame(1, 'out\n'), frame(2, '\u001b[31merr\n'), exited(7)]));
    return true;
  };
}

test('run passes streams and exit code through, gives stdin and kills the sandbox', async () => {
  await withServer(answersExecAfterStdin(), async (server) => {
    const flags = ['--template', 'python', '--env', 'A=1', '--timeout', '9', '--memory', '256'];
    const { code, stdout, stderr } = await run(
      server.url,
      ['run', ...flags, '--', 'python3', 'x.py', '--json'],
      {
        stdin: 'typed',
      },
    );
    assert.deepEqual([code, stdout, stderr], [7, 'out\n', '\u001b[31merr\n']);
    const create = JSON.parse(String((await server.sawRequest('POST /v1/sandboxes')).body));
    const { template, env, timeoutMs, limits } = create;
    assert.deepEqual([template, env, timeoutMs, limits], ['python', { A: '1' }, 9000, { memoryMib: 256 }]);
    const exec = JSON.parse(String((await server.sawRequest(`POST ${sandboxPath}/exec`)).body));
    assert.deepEqual([exec.argv, exec.stdin], [['python3', 'x.py', '--json'], true]);
    assert.equal(
      String((await server.sawRequest(`POST ${sandboxPath}/execs/${execId}/stdin`)).body),
      'typed',
    );
    assert.ok(server.seen.some(({ method, url }) => method === 'DELETE' && url === sandboxPath));
  });
});

test('run that is told to end gives the signal to the program and kills the sandbox', async () => {
  let end = (): void => {};
  await withServer(
    (request, response) => {
      if (request.url === `${sandboxPath}/exec`) {
        response.write(Buffer.concat([started, frame(1, 'ready\n')]));
        end = () => void response.end(exited(143, { signal: 'SIGTERM', reason: 'signaled' }));
        return true;
      }
      if (request.url?.endsWith('/signal') === true) setTimeout(() => end(), 10);
      return false;
    },
    async (server) => {
      const { code } = await run(server.url, ['run', 'sleep', '1000'], { signal: 'SIGTERM' });
      assert.equal(code, 143);
      const signal = await server.sawRequest(`POST ${sandboxPath}/execs/${execId}/signal`);
      assert.deepEqual(JSON.parse(String(signal.body)), { signal: 15 });
      assert.ok(server.seen.some(({ method, url }) => method === 'DELETE' && url === sandboxPath));
    },
  );
});

test('exec under --json prints one object', async () => {
  await withServer(answersExec, async ({ url }) => {
    const { code, stdout } = await run(url, ['exec', '--json', sandboxId, 'ls']);
    const { exitCode, stderr } = JSON.parse(stdout);
    assert.deepEqual([code, exitCode, stderr, stdout.includes('\u001b')], [7, 7, '\u001b[31merr\n', false]);
  });
});

test('errors carry code and hint; the exit code is 125 where a program’s own passes through, else 1', async () => {
  await withServer(
    (_, response) => fail(response, 503, 'no_capacity'),
    async ({ url }) => {
      const text = 'error [no_capacity]: it failed\nhint: do better\n';
      assert.deepEqual(await run(url, ['run', 'true']), { code: 125, stdout: '', stderr: text });
      assert.deepEqual(await run(url, ['ls']), { code: 1, stdout: '', stderr: text });
      const { stderr } = await run(url, ['ls', '--json']);
      assert.equal(JSON.parse(stderr).error.code, 'no_capacity');
    },
  );
});

test('global flags count before and behind the verb', async () => {
  await withServer(
    () => false,
    async ({ url }) => {
      const env = { CASEMATE_URL: '', CASEMATE_API_KEY: '' };
      for (const args of [
        ['--url', url, '--key', apiKey, '--json', 'ls'],
        ['ls', '--url', url, '--key', apiKey, '--json'],
      ]) {
        const { code, stdout } = await run('', args, { env });
        assert.equal(code, 0);
        assert.equal(JSON.parse(stdout).id, sandboxId);
      }
    },
  );
});

test('what a sandbox chose cannot steer the terminal', async () => {
  await withServer(
    () => false,
    async ({ url }) => {
      for (const args of [['ls'], ['ls', '--json']]) {
        const { stdout } = await run(url, args);
        assert.ok(stdout.includes('red') && !stdout.includes('\u001b'), stdout);
      }
    },
  );
});

test('a near miss is answered with what was meant', async () => {
  await withServer(
    () => false,
    async ({ url }) => {
      assert.match((await run(url, ['kil', 'x'])).stderr, /Did you mean kill\?/);
      assert.match(
        (await run(url, ['ps', sandboxId.slice(0, 6)])).stderr,
        new RegExp(`Did you mean ${sandboxId}\\?`),
      );
    },
  );
});

test('a missing key file is named', async () => {
  const env = { CASEMATE_API_KEY: undefined, CASEMATE_DATA_DIR: '/nonexistent' };
  const { code, stderr } = await run('http://127.0.0.1:1', ['ls'], { env });
  assert.equal(code, 1);
  assert.match(stderr, /^error \[unauthenticated\]: .*\/nonexistent\/server\/admin\.key does not exist/);
});

test('cp carries folders both ways and refuses names that lead elsewhere', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'casemate-cp-'));
  await mkdir(join(folder, 'up/sub'), { recursive: true });
  await writeFile(join(folder, 'up/sub/a.txt'), 'text', { mode: 0o640 });
  const entry = (name: string, type: string): object => ({
    path: `/d/${name}`,
    name,
    type,
    size: 4,
    mode: 0o600,
  });
  let listed = [entry('ok', 'file'), entry('link', 'symlink')];
  const handle: Handler = (request, response) => {
    const url = new URL(request.url ?? '', 'http://x');
    const path = url.searchParams.get('path');
    const route = `${request.method} ${url.pathname.replace(`${sandboxPath}/files`, '')}`;
    if (route === 'GET /stat') {
      if (path !== '/d') return fail(response, 404, 'file_not_found');
      response.end(JSON.stringify(entry('d', 'directory')));
    } else if (route === 'GET /list') response.end(JSON.stringify({ entries: listed, truncated: false }));
    else if (route === 'GET ') response.end('data');
    else if (route === 'PUT ' || route === 'POST /mkdir') request.once('end', () => response.end('{}'));
    else return false;
    return true;
  };
  try {
    await withServer(handle, async (server) => {
      assert.equal((await run(server.url, ['cp', join(folder, 'up'), `${sandboxId}:/d`])).code, 0);
      const put = await server.sawRequest(`PUT ${sandboxPath}/files`);
      const query = new URL(put.url, 'http://x').searchParams;
      assert.deepEqual(
        [query.get('path'), query.get('mode'), String(put.body)],
        ['/d/up/sub/a.txt', String(0o640), 'text'],
      );

      const { code, stderr } = await run(server.url, ['cp', `${sandboxId}:/d`, join(folder, 'down')]);
      assert.deepEqual([code, stderr], [0, 'skipped /d/link: neither a file nor a folder\n']);
      assert.equal(await readFile(join(folder, 'down/ok'), 'utf8'), 'data');
      assert.equal((await stat(join(folder, 'down/ok'))).mode & 0o777, 0o600);

      listed = [entry('../evil', 'file')];
      const refused = await run(server.url, ['cp', `${sandboxId}:/d`, join(folder, 'other')]);
      assert.deepEqual([refused.code, refused.stderr.startsWith('error [file_invalid]')], [1, true]);
      assert.equal((await run(server.url, ['cp', `${sandboxId}:/d/ok`, '-'])).stdout, 'data');
    });
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('logs shows the newest program, kill ends all, completion names the verbs', async () => {
  const exec = {
    execId,
    pid: 7,
    argv: ['x'],
    user: 'user',
    startedAt: '2026-01-01T00:00:00.000Z',
    pty: false,
  };
  await withServer(
    (request, response) => {
      if (request.url === `${sandboxPath}/execs`) response.end(JSON.stringify({ items: [exec] }));
      else if (request.url?.includes('/output') === true)
        response.end(Buffer.concat([started, frame(1, 'kept\n')]));
      else return false;
      return true;
    },
    async ({ url }) => {
      assert.equal((await run(url, ['logs', sandboxId])).stdout, 'kept\n');
      assert.equal((await run(url, ['kill', '--all'])).stdout, `${sandboxId}\n`);
      for (const shell of ['bash', 'zsh', 'fish']) {
        assert.match((await run(url, ['completion', shell])).stdout, /serve.*doctor|serve[\s\S]*doctor/);
      }
    },
  );
});
