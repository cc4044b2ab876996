/** The policy language: closed by default, levels only narrow, deny beats allow, errors say where. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import type { EgressPolicy } from '../../schema/policy.ts';
import { parseAddress } from './address.ts';
import {
  allowsPrivate,
  bodyLimitsOf,
  exactNames,
  judgeConnection,
  judgeName,
  judgeRequest,
  needsTermination,
  portsOf,
  protocolOf,
  udpPlacesOf,
  type Verdict,
} from './match.ts';
import { isPlainPath, type Level, narrow, type Presets, parseLevel } from './policy.ts';
import { hostsIn } from './presets.ts';

const presets: Presets = {
  pip: [{ host: 'index.test', port: 8443, isPrivate: false }],
  npm: [],
  apt: [{ host: 'mirror.test', port: 3142, isPrivate: true }],
  cargo: [],
  go: [],
};

function level(written: unknown, administrator = false): Level {
  return parseLevel(written, { name: 'sandbox', administrator, presets });
}

function policy(...written: EgressPolicy[]): ReturnType<typeof narrow> {
  return narrow(written.map((each) => level(each)));
}

function code(verdict: Verdict): string {
  return verdict.allowed ? 'allowed' : verdict.code;
}

it('allows nothing where nothing is written', () => {
  for (const nothing of [narrow([]), policy({}), policy({ allow: [] })]) {
    assert.equal(code(judgeName(nothing, 'a.test')), 'name_not_allowed');
    assert.equal(code(judgeConnection(nothing, { host: 'a.test', port: 443 }, 'tls')), 'name_not_allowed');
  }
});

it('says which place of a policy is wrong', () => {
  const wrong: [unknown, RegExp, string][] = [
    [{ allow: [{ host: 'a.test' }, { host: 'a.test', ports: [0] }] }, /^allow\[1\]/, 'invalid_request'],
    [{ alow: [] }, /alow/, 'invalid_request'],
    [{ allow: [{ host: '127.0.0.1' }] }, /allow\[0\]: "127\.0\.0\.1" is no host name/, 'invalid_request'],
    [{ allow: [{ host: 'a.test', paths: ['/a/../b'] }] }, /two ways/, 'invalid_request'],
    [
      { allow: [{ host: 'a.test', ports: [22], protocol: 'tcp', methods: ['GET'] }] },
      /need HTTP/,
      'invalid_request',
    ],
    [{ allow: [{ host: 'a.test', ports: [853] }] }, /853/, 'invalid_request'],
    [{ allow: [{ host: 'a.test', ports: [25] }] }, /mail/, 'forbidden'],
    [{ allow: [{ cidr: '10.0.0.0/8', ports: [5432], allowPrivate: true }] }, /administrator/, 'forbidden'],
    [{ allow: [{ preset: 'npm' }] }, /knows no host/, 'invalid_request'],
  ];
  for (const [written, message, expected] of wrong)
    assert.throws(() => level(written), { code: expected, message }, JSON.stringify(written));
  assert.throws(() => level({ allow: [{ host: 'a.test', ports: [53] }] }, true), { code: 'invalid_request' });
});

it('opens UDP by a rule that says so alone, place by place', () => {
  const target = { host: 'a.test', port: 443 };
  const tls = { host: 'a.test' };
  const udp = { host: 'a.test', ports: [443], protocol: 'udp' };
  const judged = (...written: EgressPolicy[]): string[] => {
    const made = policy(...written);
    return (['tls', 'tcp', 'udp'] as const).map((protocol) => code(judgeConnection(made, target, protocol)));
  };
  const [yes, no] = ['allowed', 'protocol_not_allowed'];
  assert.deepEqual(judged({ allow: [tls] }), [yes, no, no]);
  assert.deepEqual(judged({ allow: [udp] }), [no, no, yes]);
  assert.deepEqual(judged({ allow: [udp] }, { allow: [tls] }), [no, no, no]);
  const denied = [{ host: 'a.test', protocol: 'udp' }];
  assert.deepEqual(judged({ allow: [tls, udp], deny: denied }), [yes, no, 'denied_by_rule']);
  assert.deepEqual(judged({ allow: [{ ...tls, inspect: true }, udp] }), [yes, no, no]);
  assert.equal(code(judgeName(policy({ allow: [tls, udp], deny: denied }), 'a.test')), 'allowed');
  assert.deepEqual([...portsOf(policy({ allow: [udp] }))], []);
  const both = policy({ allow: [udp, { cidr: '192.0.2.0/30', ports: [1], protocol: 'udp' }] });
  assert.equal(udpPlacesOf(both).length, 5);
  assert.equal(udpPlacesOf(policy({ allow: [udp] }, {})).length, 0);
  for (const wrong of [
    { host: 'a.test', protocol: 'udp' },
    { host: '*.a.test', ports: [1], protocol: 'udp' },
    { host: 'a.test', ports: [1], protocol: 'udp', inspect: true },
    { host: 'a.test', ports: [53], protocol: 'udp' },
    { cidr: '192.0.2.0/24', ports: [1], protocol: 'udp' },
  ])
    assert.throws(() => level({ allow: [wrong] }), { code: 'invalid_request' }, JSON.stringify(wrong));
});

it('takes the widest limit of bodies that a level’s rules give, and the narrowest of the levels', () => {
  const limits = (...written: EgressPolicy[]): number =>
    bodyLimitsOf(policy(...written), { host: 'a.test', port: 443 }, 'tls', { method: 'GET', path: '/x' })
      .requestBytesMax;
  const rule = (requestBytesMax: number, more = {}): object => ({ host: 'a.test', requestBytesMax, ...more });
  assert.equal(limits({ allow: [{ host: 'a.test' }] }), Number.POSITIVE_INFINITY);
  assert.equal(limits({ allow: [rule(5), rule(9), rule(99, { paths: ['/y'] })] } as EgressPolicy), 9);
  assert.equal(limits({ allow: [rule(5)] } as EgressPolicy, { allow: [rule(3)] } as EgressPolicy), 3);
  assert.ok(needsTermination(policy({ allow: [rule(5)] } as EgressPolicy), { host: 'a.test', port: 443 }));
});

it('opens mail ports and private addresses for an administrator alone', () => {
  const opened = narrow([level({ allow: [{ host: 'mail.test', ports: [587], allowPrivate: true }] }, true)]);
  const target = { host: 'mail.test', port: 587 };
  const address = parseAddress('10.0.0.1');
  assert.ok(address !== undefined);
  assert.equal(code(judgeConnection(opened, target, 'tcp')), 'allowed');
  assert.ok(allowsPrivate(opened, target, address));
  assert.ok(!allowsPrivate(opened, { host: 'mail.test', port: 443 }, address));
});

it('opens the private address of the operator’s own mirror by its preset alone, on its port alone', () => {
  const address = parseAddress('10.0.0.1');
  assert.ok(address !== undefined);
  const opens = (written: EgressPolicy, host: string, port: number): boolean =>
    allowsPrivate(policy(written), { host, port }, address);
  const byPreset: EgressPolicy = { allow: [{ preset: 'apt' }, { preset: 'pip' }] };
  assert.ok(opens(byPreset, 'mirror.test', 3142));
  assert.ok(!opens(byPreset, 'mirror.test', 443));
  assert.ok(!opens(byPreset, 'index.test', 8443)); // public when the server started
  assert.ok(!opens({ allow: [{ host: 'mirror.test', ports: [3142] }] }, 'mirror.test', 3142));
  const both: EgressPolicy = {
    allow: [{ preset: 'apt' }, { host: 'db.corp.test' }, { host: '*.corp.test' }],
  };
  assert.ok(!opens(both, 'db.corp.test', 443));
  assert.ok(!opens(both, 'db.corp.test', 3142));
});

it('lets deny beat allow, and a level below only narrow', () => {
  const denying = policy({ allow: [{ host: '*.a.test' }], deny: [{ host: 'bad.a.test' }] });
  assert.equal(code(judgeName(denying, 'bad.a.test')), 'denied_by_rule');
  assert.equal(code(judgeName(denying, 'good.a.test')), 'allowed');
  const two = policy(
    { allow: [{ host: '*.a.test' }] },
    { allow: [{ host: 'x.a.test' }, { host: 'b.test' }] },
  );
  assert.equal(code(judgeName(two, 'x.a.test')), 'allowed');
  assert.equal(code(judgeName(two, 'b.test')), 'name_not_allowed');
  assert.equal(code(judgeName(two, 'y.a.test')), 'name_not_allowed');
  assert.deepEqual(exactNames(two), ['x.a.test']);
});

it('judges ports, protocols, methods and paths, and says what is open', () => {
  const here = policy({
    allow: [
      { host: 'api.test', methods: ['GET', 'HEAD'], paths: ['/v1', '/static/'] },
      { host: 'db.test', ports: [5432] },
      { preset: 'pip' },
    ],
  });
  const api = { host: 'api.test', port: 443 };
  const ask = (method: string, path: string): string =>
    code(judgeRequest(here, api, 'tls', { method, path }));
  assert.ok(needsTermination(here, api) && !needsTermination(here, { host: 'index.test', port: 8443 }));
  assert.deepEqual(
    [ask('GET', '/v1'), ask('GET', '/v1/x?y=/../'), ask('HEAD', '/static/a'), ask('POST', '/v1')],
    ['allowed', 'allowed', 'allowed', 'method_not_allowed'],
  );
  assert.deepEqual(
    [
      ask('GET', '/v10'),
      ask('GET', '/v1/../admin'),
      ask('GET', '/v1/%2e%2e/admin'),
      ask('GET', '//v1'),
      ask('GET', '*'),
    ],
    ['path_not_allowed', 'path_ambiguous', 'path_ambiguous', 'path_ambiguous', 'path_ambiguous'],
  );
  assert.equal(protocolOf(here, { host: 'db.test', port: 5432 }), 'tcp');
  const wrong = judgeConnection(here, { host: 'db.test', port: 5433 }, 'tcp');
  assert.ok(!wrong.allowed && wrong.code === 'port_not_allowed' && /5432/.test(wrong.hint));
});

it('closes a raw connection where any level wants to see requests', () => {
  const raw: EgressPolicy = { allow: [{ host: 'a.test', ports: [443], protocol: 'tcp' }] };
  const looking = policy({ allow: [{ host: 'a.test', paths: ['/v1'] }] }, raw);
  for (const kind of ['tls', 'http', 'tcp'] as const)
    assert.equal(code(judgeConnection(looking, { host: 'a.test', port: 443 }, kind)), 'protocol_not_allowed');
  const denying = policy({ ...raw, deny: [{ host: 'a.test', methods: ['DELETE'] }] });
  assert.equal(code(judgeConnection(denying, { host: 'a.test', port: 443 }, 'tcp')), 'denied_by_rule');
});

const names = fc.constantFrom('a.test', 'b.a.test', 'c.b.a.test', 'd.test');
const hostRule = fc.record(
  {
    host: fc.oneof(names, fc.constantFrom('*.a.test', '*.b.a.test')),
    ports: fc.uniqueArray(fc.constantFrom(80, 443, 5432), { minLength: 1, maxLength: 3 }),
    methods: fc.constantFrom<string[]>(['GET'], ['POST', 'GET']),
    paths: fc.constantFrom<string[]>(['/v1'], ['/']),
  },
  { requiredKeys: ['host'] },
);
const written = fc.record({
  allow: fc.array(hostRule, { maxLength: 5 }),
  deny: fc.array(hostRule, { maxLength: 2 }),
});

it('never allows more with another level or another deny rule', () => {
  fc.assert(
    fc.property(written, written, names, fc.constantFrom(80, 443, 5432), (one, other, host, port) => {
      const request = { method: 'GET', path: '/v1/x' };
      for (const kind of ['tls', 'http', 'tcp'] as const) {
        const both = judgeRequest(policy(one, other), { host, port }, kind, request);
        if (!both.allowed) continue;
        assert.ok(judgeRequest(policy(one), { host, port }, kind, request).allowed);
        assert.ok(judgeRequest(policy({ allow: one.allow }), { host, port }, kind, request).allowed);
        assert.ok(judgeName(policy(one, other), host).allowed);
      }
    }),
    { numRuns: 1000 },
  );
});

it('answers any value with a level or a readable error', () => {
  fc.assert(
    fc.property(fc.oneof(fc.anything(), fc.record({ allow: fc.array(fc.anything()) })), (anything) => {
      try {
        level(anything);
      } catch (error) {
        assert.ok(error instanceof Error && 'code' in error, String(error));
      }
    }),
  );
});

it('calls no path plain that a URL parser would change', () => {
  fc.assert(
    fc.property(fc.webPath(), (path) => {
      if (isPlainPath(path)) assert.equal(new URL(`http://a.test${path}`).pathname, path);
    }),
  );
});

it('takes the smallest budget of all levels', () => {
  assert.deepEqual(
    policy({ budgets: { bytesMax: 5 } }, { budgets: { bytesMax: 3, connectionsMax: 9 } }).budgets,
    { bytesMax: 3, connectionsMax: 9 },
  );
});

it('finds hosts in what package clients say of themselves', () => {
  assert.deepEqual(
    hostsIn(
      "global.index-url='https://mirror.test:8443/simple'\n# deb http://no.test\nhttps://p.test|direct",
    ),
    [
      { host: 'mirror.test', port: 8443 },
      { host: 'p.test', port: 443 },
    ],
  );
  assert.deepEqual(
    hostsIn('deb [arch=amd64] http://deb.test/debian stable main\nURIs: http://deb.test/x http://b.test/'),
    [
      { host: 'deb.test', port: 80 },
      { host: 'b.test', port: 80 },
    ],
  );
});
