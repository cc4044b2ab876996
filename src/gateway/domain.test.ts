/** Below which domain a client finds the ports of its sandboxes. */
import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { it } from 'node:test';
import { domainOf } from './domain.ts';

it('tells the domain below which ports are found', () => {
  const domain = (host: string): string => domainOf({ headers: { host } } as IncomingMessage);
  assert.equal(domain('api.sandboxes.test:8443'), 'sandboxes.test:8443');
  assert.equal(domain('127.0.0.1:7070'), 'localhost:7070');
  assert.equal(domain('10.0.0.5:7070'), '10.0.0.5:7070');
  const own = (host: string): string => domainOf({ headers: { host } } as IncomingMessage, 'own.test');
  assert.equal(own('127.0.0.1:7070'), 'own.test:7070');
  assert.equal(own('[::1]:7070'), 'own.test:7070');
  assert.equal(own('api.other.test'), 'other.test');
});
