/** Which requests are E2B's, and for which port of which sandbox; every form that a client in the field sends. */
import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { it } from 'node:test';
import { addressOf, speaksE2b } from './address.ts';

const id = 'abcdefghij0123456789';

function request(url: string, headers: Record<string, string>): IncomingMessage {
  return { url, headers } as unknown as IncomingMessage;
}

it('reads the host, then the headers, then the token', () => {
  const byHost = {
    host: `3000-${id}.sandboxes.test:8443`,
    'e2b-sandbox-id': 'other',
    'e2b-sandbox-port': '1',
  };
  assert.deepEqual(addressOf(request('/', byHost)), { sandboxId: id, port: 3000 });
  assert.deepEqual(addressOf(request('/', { ':authority': `80-${id}-old.x.y` })), {
    sandboxId: id,
    port: 80,
  });
  const byHeaders = { host: 'localhost', 'e2b-sandbox-id': id, 'e2b-sandbox-port': '49983' };
  assert.deepEqual(addressOf(request('/health', byHeaders)), { sandboxId: id, port: 49_983 });
  const byToken = { host: 'localhost', 'x-access-token': `${id}-${'a'.repeat(43)}` };
  assert.deepEqual(addressOf(request('/files?path=x', byToken)), { sandboxId: id, port: 49_983 });
  assert.equal(addressOf(request('/sandboxes/x', byHeaders)), undefined);
  assert.equal(addressOf(request('/', { host: 'localhost' })), undefined);
});

it('refuses half an address and ports that are none', () => {
  for (const headers of [
    { 'e2b-sandbox-id': id },
    { 'e2b-sandbox-port': '80' },
    { 'e2b-sandbox-id': '../etc', 'e2b-sandbox-port': '80' },
    { 'e2b-sandbox-id': id, 'e2b-sandbox-port': '65536' },
    { host: `0-${id}.x.y` },
  ]) {
    assert.throws(() => addressOf(request('/', headers as Record<string, string>)), {
      code: 'invalid_request',
    });
  }
});

it('leaves Casemate’s own routes alone', () => {
  for (const url of [
    '/v1/sandboxes',
    '/healthz',
    '/docs',
    '/files',
    '/sandboxesx',
    '/v1/sandboxes/x/files?path=a',
  ]) {
    assert.equal(speaksE2b(request(url, { host: 'localhost' })), false, url);
  }
  for (const url of [
    '/sandboxes',
    '/v2/sandboxes?limit=1',
    '/v3/templates',
    '/files?path=a&signature=v1_x',
  ]) {
    assert.equal(speaksE2b(request(url, { host: 'localhost' })), true, url);
  }
});
