/** `exec` against a scripted server: frames cut anywhere, errors, abort, back-pressure, stdin. */
import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import { CasemateError, Sandbox } from './index.ts';
import {
  apiKey,
  eventFrame,
  execId,
  exited,
  fail,
  frame,
  sandboxId,
  started,
  startWireServer,
} from './testing/wireServer.ts';

type Script = (response: ServerResponse) => void | Promise<void>;

/** Runs `work` with a sandbox whose next exec answers as the script says. */
async function withExec(
  script: Script,
  work: (sbx: Sandbox, server: Awaited<ReturnType<typeof startWireServer>>) => Promise<void>,
): Promise<void> {
  const server = await startWireServer(async (request, response) => {
    if (request.method !== 'POST' || request.url !== `/v1/sandboxes/${sandboxId}/exec`) return false;
    response.writeHead(200, { 'content-type': 'application/vnd.casemate.exec-stream' });
    await script(response);
    return true;
  });
  try {
    await work(await Sandbox.connect(sandboxId, { url: server.url, apiKey }), server);
  } finally {
    await server.close();
  }
}

const tick = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1));

test('a stream cut at every byte gives the same result, and no character is broken', async () => {
  const whole = Buffer.concat([started, frame(1, 'grü'), frame(2, 'warn\n'), frame(1, 'ße €\n'), exited(3)]);
  const heard: string[] = [];
  await withExec(
    async (response) => {
      for (const byte of whole) {
        response.write(Buffer.of(byte));
        if (byte % 16 === 0) await tick();
      }
      response.end();
    },
    async (sbx, server) => {
      const result = await sbx.exec('x', { onStderr: (text) => void heard.push(text) });
      assert.deepEqual(result, {
        execId,
        exitCode: 3,
        reason: 'exited',
        stdout: 'grüße €\n',
        stderr: '',
        truncatedStdoutBytes: 0,
        truncatedStderrBytes: 0,
      });
      assert.equal(heard.join(''), 'warn\n');
      const request = await server.sawRequest('POST /v1');
      assert.equal(request.headers.accept, 'application/vnd.casemate.exec-stream');
      assert.deepEqual(JSON.parse(String(request.body)), { command: 'x', stdin: false });
    },
  );
});

test('a list is sent as argv and bytes come back as bytes', async () => {
  await withExec(
    (response) => void response.end(Buffer.concat([started, frame(1, Buffer.of(0, 255, 128)), exited()])),
    async (sbx, server) => {
      const { stdout } = await sbx.exec(['cat', 'a b'], { encoding: 'bytes', cwd: '/tmp', env: { A: '1' } });
      assert.deepEqual(Buffer.from(stdout), Buffer.of(0, 255, 128));
      const body = JSON.parse(String((await server.sawRequest('POST /v1')).body));
      assert.deepEqual(body, { argv: ['cat', 'a b'], cwd: '/tmp', env: { A: '1' }, stdin: false });
    },
  );
});

test('output beyond 8 MiB is dropped and counted', async () => {
  const piece = frame(1, Buffer.alloc(1024 * 1024, 'x'));
  await withExec(
    async (response) => {
      response.write(started);
      for (let index = 0; index < 9; index += 1) response.write(piece);
      response.end(exited(0, { truncatedStdoutBytes: 5 }));
    },
    async (sbx) => {
      const result = await sbx.exec('x');
      assert.equal(result.stdout.length, 8 * 1024 * 1024);
      assert.equal(result.truncatedStdoutBytes, 1024 * 1024 + 5);
    },
  );
});

test('a slow callback holds the server back', { timeout: 30_000 }, async () => {
  const total = 64 * 1024 * 1024;
  const piece = frame(1, Buffer.alloc(64 * 1024, 'y'));
  let written = 0;
  let got = 0;
  let aheadMax = 0;
  await withExec(
    async (response) => {
      response.write(started);
      while (written < total) {
        written += 64 * 1024;
        if (!response.write(piece)) await new Promise((resolve) => response.once('drain', resolve));
      }
      response.end(exited());
    },
    async (sbx) => {
      await sbx.exec('x', {
        onStdout: async (text) => {
          if (got === 0) await new Promise((resolve) => setTimeout(resolve, 300));
          aheadMax = Math.max(aheadMax, written - got);
          got += text.length;
        },
      });
      assert.equal(got, total);
      assert.ok(aheadMax < 16 * 1024 * 1024, `${aheadMax} bytes were sent ahead of the callback`);
    },
  );
});

test('an error within the stream, a broken connection and an early end are typed errors', async () => {
  const ended = eventFrame({
    type: 'error',
    error: { code: 'sandbox_ended', message: 'gone', hint: 'make a new one' },
  });
  const endings: [Script, string][] = [
    [(response) => void response.end(Buffer.concat([started, ended])), 'sandbox_ended'],
    [
      (response) => void response.write(started, () => setTimeout(() => response.destroy(), 20)),
      'node_unavailable',
    ],
    [(response) => void response.end(started), 'conflict'],
  ];
  for (const [script, code] of endings) {
    await withExec(script, async (sbx) => {
      await assert.rejects(sbx.exec('x'), (error) => error instanceof CasemateError && error.code === code);
    });
  }
});

test('an answer that is an error carries code, status, hint and request id', async () => {
  const server = await startWireServer((_, response) => fail(response, 503, 'no_capacity'));
  await assert.rejects(Sandbox.create({ url: server.url, apiKey }), (error) => {
    assert.ok(error instanceof CasemateError);
    const { code, status, hint, requestId, retryable } = error;
    assert.deepEqual(
      [code, status, hint, requestId, retryable],
      ['no_capacity', 503, 'do better', 'r1', true],
    );
    return true;
  });
  assert.equal(server.seen.length, 1, 'nothing is tried again behind the back of the caller');
  await server.close();
  await assert.rejects(Sandbox.create({ url: server.url, apiKey }), { code: 'node_unavailable', status: 0 });
});

test('aborting kills the program and rejects with the reason', async () => {
  await withExec(
    (response) => void response.write(Buffer.concat([started, frame(1, 'go')])),
    async (sbx, server) => {
      const controller = new AbortController();
      const running = sbx.exec('x', { signal: controller.signal, onStdout: () => controller.abort() });
      await assert.rejects(running, { name: 'AbortError' });
      const kill = await server.sawRequest(`POST /v1/sandboxes/${sandboxId}/execs/${execId}/signal`);
      assert.deepEqual(JSON.parse(String(kill.body)), { signal: 9 });
    },
  );
});

test('aborting before the program has started kills it once it has', async () => {
  await withExec(
    async (response) => {
      await new Promise((resolve) => setTimeout(resolve, 60));
      response.write(started);
    },
    async (sbx, server) => {
      await assert.rejects(sbx.exec('x', { signal: AbortSignal.timeout(10) }), { name: 'TimeoutError' });
      await server.sawRequest(`POST /v1/sandboxes/${sandboxId}/execs/${execId}/signal`);
    },
  );
});

test('a callback that throws ends the program and is what exec rejects with', async () => {
  await withExec(
    (response) => void response.write(Buffer.concat([started, frame(1, 'go')])),
    async (sbx, server) => {
      const onStdout = (): void => {
        throw new RangeError('too much');
      };
      await assert.rejects(sbx.exec('x', { onStdout }), { name: 'RangeError' });
      await server.sawRequest(`POST /v1/sandboxes/${sandboxId}/execs/${execId}/signal`);
    },
  );
});

test('stdin is sent and closed; a source that never ends does not outlive the program', {
  timeout: 10_000,
}, async () => {
  const answer: Script = async (response) => {
    response.write(started);
    await new Promise((resolve) => setTimeout(resolve, 50));
    response.end(exited());
  };
  await withExec(answer, async (sbx, server) => {
    await sbx.exec('cat', { stdin: 'héllo' });
    const sent = await server.sawRequest(`POST /v1/sandboxes/${sandboxId}/execs/${execId}/stdin?end=true`);
    assert.equal(String(sent.body), 'héllo');
  });
  await withExec(answer, async (sbx) => {
    const endless = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(Buffer.from('a')),
    });
    assert.equal((await sbx.exec('true', { stdin: endless })).exitCode, 0);
  });
});

test('a source of stdin that fails makes exec fail, and the program is killed', {
  timeout: 10_000,
}, async () => {
  async function* failing(): AsyncGenerator<Uint8Array> {
    yield Buffer.from('a');
    throw new RangeError('the source broke');
  }
  await withExec(
    (response) => void response.write(started),
    async (sbx, server) => {
      await assert.rejects(sbx.exec('cat', { stdin: failing() }), { message: 'the source broke' });
      await server.sawRequest(`POST /v1/sandboxes/${sandboxId}/execs/${execId}/signal`);
    },
  );
});

test('a spawned program can be let go while its output is awaited', { timeout: 10_000 }, async () => {
  await withExec(
    (response) => void response.write(started),
    async (sbx) => {
      const child = await sbx.spawn('sleep 1000');
      const waiting = child.wait();
      await tick();
      await child.detach();
      await assert.rejects(waiting, { code: 'conflict' });
    },
  );
});

test('writes to stdin keep the order of the calls', async () => {
  await withExec(
    (response) => void response.write(started),
    async (sbx, server) => {
      const child = await sbx.spawn('cat', { stdin: true });
      await Promise.all(['a', 'b', 'c', 'd'].map((text) => child.writeStdin(text)));
      const sent = server.seen.filter(({ url }) => url.endsWith('/stdin')).map(({ body }) => String(body));
      assert.deepEqual(sent, ['a', 'b', 'c', 'd']);
      await child.detach();
    },
  );
});
