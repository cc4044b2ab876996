/** Unit tests of our HTTP client: whatever a monitor answers, the root process stays bounded. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { callSocket, RefusedCall } from './httpSocket.ts';
import { withListener } from '../../../test/drivers/listener.ts';

const get = { method: 'GET', path: '/' } as const;

describe('a call to a monitor', () => {
  it('sends its body as JSON and answers an object', () =>
    withListener(
      async (path, asked) => {
        const said = await callSocket(path, { method: 'PUT', path: '/vm', body: { state: 'Paused' } });
        assert.deepEqual(said, { ok: true });
        assert.deepEqual(asked, [{ call: 'PUT /vm', body: { state: 'Paused' } }]);
      },
      (response) => void response.end('{"ok":true}'),
    ));

  it('answers an empty object where there is no body', () =>
    withListener(async (path) => assert.deepEqual(await callSocket(path, get), {})));

  it('tells a refusal in the monitor’s words, without control characters and cut', () =>
    withListener(
      (path) =>
        assert.rejects(callSocket(path, get), (error) => {
          assert.ok(error instanceof RefusedCall);
          assert.equal(error.status, 400);
          assert.match(error.message, /GET \/ was answered with 400: no {2}\[31m such kernel x+$/);
          assert.ok(error.message.length < 400);
          return true;
        }),
      (response) =>
        void response.writeHead(400).end(`{"fault_message":"no \u001b[31m such kernel ${'x'.repeat(5000)}"}`),
    ));

  it('refuses an answer that is too long, without reading it all', () =>
    withListener(
      (path) => assert.rejects(callSocket(path, get), /too long/),
      (response) => {
        const flood = (): void => {
          while (!response.destroyed && response.write(Buffer.alloc(16 * 1024, 97)));
        };
        response.on('drain', flood).on('error', () => {});
        flood();
      },
    ));

  it('refuses what is no object', () =>
    withListener(
      async (path) => {
        for (let round = 0; round < 4; round += 1)
          await assert.rejects(callSocket(path, get), /no JSON object/);
      },
      (
        (answers) => (response) =>
          void response.end(answers.pop())
      )(['[1]', '"text"', '{"cut":', 'null']),
    ));

  it('gives up on a monitor that never answers, and on one that stops in the middle', async () => {
    await withListener(
      (path) => assert.rejects(callSocket(path, get, 100), /not answered within 100 ms/),
      () => {},
    );
    await withListener(
      (path) => assert.rejects(callSocket(path, get, 100), /not answered within 100 ms/),
      (response) => void response.writeHead(200).write('{"a":'),
    );
  });

  it('says that nobody is there', () => assert.rejects(callSocket('/nonexistent/socket', get), /ENOENT/));
});
