/** Host names: one canonical form, and everything that two parsers could read differently refused. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { canonicalHost, hostMatches, parseHostPattern } from './host.ts';

it('refuses null bytes, odd encodings, user info, ports and numbers in every notation', () => {
  const corpus = [
    ...[
      'evil.test\0.example.com',
      'a.example.com\n',
      'a b.example.com',
      'a%2eexample.com',
      'user@example.com',
    ],
    ...['example.com:443', '[::1]', '::1', '127.0.0.1', '127.1', '0177.0.0.1', '0x7f000001', '2130706433'],
    ...[
      '0x7f.1',
      '127.0.0.1.',
      'example..com',
      '.example.com',
      '-a.example.com',
      'a-.example.com',
      '*',
      '*.a.test',
    ],
    ...[
      'ex\u0430mple.com',
      '\uff45xample.com',
      'example\u3002com',
      'a\u00adb.example.com',
      '',
      '.',
      'a'.repeat(64),
    ],
    ...[
      `${'a.'.repeat(127)}aa`,

      'xn--\u0430.com',
      'a\\b.com',
      'a/b.com',
      'a?b.com',
      'a#b.com',
      '[::ffff:1.2.3.4]',
    ],
  ];
  for (const host of corpus) assert.equal(canonicalHost(host), undefined, JSON.stringify(host));
});

it('folds case and one trailing dot', () => {
  assert.equal(canonicalHost('API.Example.COM.'), 'api.example.com');
  assert.equal(canonicalHost('xn--bcher-kva.example'), 'xn--bcher-kva.example');
  assert.equal(canonicalHost('example.com..'), undefined);
});

it('answers any text with a canonical name or nothing, and is idempotent', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.domain()), (text) => {
      const name = canonicalHost(text);
      if (name === undefined) return;
      assert.match(name, /^[a-z0-9_.-]+$/);
      assert.equal(canonicalHost(name), name);
      assert.equal(URL.parse(`http://${name}/`)?.hostname ?? name, name);
    }),
    { numRuns: 2000 },
  );
});

it('matches a wildcard below its name and never the apex, nor a name that only ends alike', () => {
  const pattern = parseHostPattern('*.example.com');
  assert.ok(hostMatches(pattern, 'a.example.com') && hostMatches(pattern, 'a.b.example.com'));
  assert.ok(!hostMatches(pattern, 'example.com') && !hostMatches(pattern, 'badexample.com'));
  assert.throws(() => parseHostPattern('*.com'), { code: 'invalid_request' });
  assert.throws(() => parseHostPattern('a.*.com'), { code: 'invalid_request' });
  assert.equal(parseHostPattern('bücher.example').name, 'xn--bcher-kva.example');
});
