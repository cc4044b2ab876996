/** Signatures as E2B's clients make them, and tokens that open one sandbox only. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { sandboxNamedBy, SandboxTokens } from '../../control/tokens.ts';
import { signatureOf, userOf } from './auth.ts';
import { metadataOf } from './metadata.ts';

it('signs as E2B does', () => {
  const request = { path: 'hello.txt', operation: 'read', username: 'user', expiration: undefined } as const;
  const signature = signatureOf('0tQG31xiMp0IOQfaz9dcwi72L1CPo8e0', request);
  assert.equal(signature, 'v1_gUtH/s9YCJWgCizjfUxuWfhFE4QSydOWEIIvfLwDr6E');
});

it('gives each sandbox and purpose a token of its own, the same after a restart', () => {
  const [secret, first, second] = [Buffer.alloc(32, 7), 'a'.repeat(20), 'b'.repeat(20)];
  const tokens = new SandboxTokens(secret);
  const token = tokens.of('agent', first);
  assert.equal(new SandboxTokens(secret).of('agent', first), token);
  assert.equal(tokens.matches('agent', first, token), true);
  assert.equal(tokens.matches('ports', first, token), false);
  assert.equal(tokens.matches('agent', second, token), false);
  assert.equal(tokens.matches('agent', second, token.replace(first, second)), false);
  assert.equal(new SandboxTokens(Buffer.alloc(32, 8)).matches('agent', first, token), false);
  assert.equal(sandboxNamedBy(token), first);
});

it('reads the user of the sandbox', () => {
  assert.equal(userOf(`Basic ${btoa('root:')}`), 'root');
  assert.equal(userOf('Bearer x'), undefined);
  assert.equal(userOf(undefined), undefined);
});

it('reads metadata that was encoded twice before the query', () => {
  assert.deepEqual(metadataOf('a=b%2520c&d=%25C3%25A9'), { a: 'b c', d: 'é' });
  assert.deepEqual(metadataOf(undefined), {});
  assert.throws(() => metadataOf('=x'), { code: 'invalid_request' });
  assert.throws(() => metadataOf('a=%25zz'), { code: 'invalid_request' });
});
