/** The same program with the SDK in Node and in Bun, against a scripted server. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { apiKey, exited, fail, frame, sandboxId, started, startWireServer } from './testing/wireServer.ts';

const smoke = fileURLToPath(new URL('testing/smoke.ts', import.meta.url));
const bun = fileURLToPath(new URL('../../../node_modules/.bin/bun', import.meta.url));
const downBytes = 64 * 1024 * 1024;

async function runIn(program: string): Promise<Record<string, unknown>> {
  let execs = 0;
  const server = await startWireServer(async (request, response) => {
    const what = `${request.method} ${request.url?.replace(`/v1/sandboxes/${sandboxId}`, '')}`;
    if (what === 'POST /exec') {
      execs += 1;
      if (execs === 1) response.end(Buffer.concat([started, frame(1, 'out'), frame(2, 'err'), exited()]));
      else response.write(Buffer.concat([started, frame(1, 'go')]));
    } else if (what.startsWith('PUT /files')) {
      let size = 0;
      for await (const piece of request as AsyncIterable<Buffer>) size += piece.length;
      response.end(JSON.stringify({ path: '/up', size }));
    } else if (what.startsWith('GET /files?')) {
      const piece = Buffer.alloc(256 * 1024);
      for (let sent = 0; sent < downBytes; sent += piece.length) {
        if (!response.write(piece)) await new Promise((resolve) => response.once('drain', resolve));
      }
      response.end();
    } else if (what.startsWith('GET /files/stat')) {
      fail(response, 404, 'file_not_found');
    } else {
      return false;
    }
    return true;
  });
  try {
    const env = { ...process.env, CASEMATE_URL: server.url, CASEMATE_API_KEY: apiKey };
    const { stdout } = await promisify(execFile)(program, [smoke], { env, timeout: 60_000 });
    assert.ok(
      server.seen.some(({ method, url }) => method === 'DELETE' && url.endsWith(sandboxId)),
      'disposed',
    );
    return JSON.parse(stdout.trim()) as Record<string, unknown>;
  } finally {
    await server.close();
  }
}

for (const [name, program] of [
  ['Node', process.execPath],
  ['Bun', bun],
] as const) {
  const skip = existsSync(program) ? false : `${name} is not installed`;
  test(`the SDK works in ${name}`, { skip }, async (context) => {
    const { upMibPerSecond, downMibPerSecond, ...result } = await runIn(program);
    assert.deepEqual(result, {
      stdout: 'out',
      stderr: 'err',
      reason: 'AbortError',
      size: downBytes,
      downBytes,
      missing: false,
    });
    context.diagnostic(`${upMibPerSecond} MiB/s up, ${downMibPerSecond} MiB/s down`);
  });
}
