/** Secrets go to the hosts that they are bound to, over TLS, and their value is in no message. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { parseHostPattern } from '../policy/host.ts';
import { applySecrets, SecretRefusal } from './secrets.ts';

const secrets = [
  { name: 'one', placeholder: 'placeholder-one', value: 'canary-$&-1', hosts: [parseHostPattern('a.test')] },
  { name: 'two', placeholder: 'placeholder-two', value: 'canary 2', hosts: [parseHostPattern('*.b.test')] },
];
const at = (host: string, encrypted = true): { host: string; encrypted: boolean } => ({ host, encrypted });

it('puts values into headers, Basic credentials and the query, escaped where they stand', () => {
  const basic = Buffer.from('me:placeholder-two').toString('base64');
  const made = applySecrets(
    secrets,
    at('x.b.test'),
    { headers: ['Authorization', `Basic ${basic}`, 'X', 'a placeholder-two b'], path: '/?k=placeholder-two' },
    [{ name: 'x', value: 'set {{secret:two}}' }],
  );
  const filled = Buffer.from('me:canary 2').toString('base64');
  assert.deepEqual(made, {
    headers: ['Authorization', `Basic ${filled}`, 'x', 'set canary 2'],
    path: '/?k=canary%202',
  });
  const literal = applySecrets(secrets, at('a.test'), { headers: ['X', 'placeholder-one'], path: '/' }, []);
  assert.deepEqual(literal.headers, ['X', 'canary-$&-1']);
});

it('refuses another host, plain HTTP and a secret that does not exist, without telling the value', () => {
  const given = { headers: ['X', 'placeholder-one'], path: '/' };
  const wrong: (() => unknown)[] = [
    () => applySecrets(secrets, at('b.test'), given, []),
    () => applySecrets(secrets, at('a.test', false), given, []),
    () =>
      applySecrets(secrets, at('a.test'), { headers: [], path: '/' }, [
        { name: 'X', value: '{{secret:no}}' },
      ]),
  ];
  for (const work of wrong) {
    assert.throws(work, (error) => error instanceof SecretRefusal && !error.message.includes('canary'));
  }
});

it('never lets a value out to a host that it is not bound to', () => {
  fc.assert(
    fc.property(fc.array(fc.string(), { maxLength: 4 }), fc.string(), (texts, path) => {
      const headers = texts.flatMap((text) => ['X', `${text}placeholder-one${text}`]);
      try {
        const made = applySecrets(secrets, at('evil.test'), { headers, path }, []);
        assert.ok(!JSON.stringify(made).includes('canary'));
      } catch (error) {
        assert.ok(error instanceof SecretRefusal);
      }
    }),
  );
});
