/** What is learned allows what was denied, and nothing of another host, port or method. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { type Denied, learn } from './learn.ts';
import { judgeConnection, judgeName, judgeRequest, protocolOfPort } from './match.ts';
import { narrow, parseLevel } from './policy.ts';

const presets = { pip: [], npm: [], apt: [], cargo: [], go: [] };
const denied = fc.record(
  {
    code: fc.constantFrom('name_not_allowed', 'port_not_allowed', 'method_not_allowed'),
    host: fc.constantFrom('a.test', 'b.test'),
    port: fc.constantFrom(443, 80, 8080, 5432),
    protocol: fc.constantFrom('tls', 'http', 'tcp', 'dns'),
    method: fc.constantFrom('GET', 'POST'),
    path: fc.constantFrom('/', '/v1', '/v1/x', '/../x'),
  },
  { requiredKeys: ['code', 'host', 'protocol'] },
);

it('allows everything that was denied, and no port or method that was not asked for', () => {
  fc.assert(
    fc.property(fc.array(denied, { minLength: 1, maxLength: 12 }), (denials: Denied[]) => {
      const { policy, remarks } = learn(denials);
      assert.deepEqual(remarks, []);
      const all = narrow([parseLevel(policy, { name: 'sandbox', administrator: false, presets })]);
      for (const { host, port, protocol, method, path } of denials) {
        assert.ok(judgeName(all, host).allowed);
        if (port === undefined) continue;
        const spoken = protocol === 'tls' || protocol === 'http' ? protocol : protocolOfPort(port);
        assert.ok(judgeConnection(all, { host, port }, spoken).allowed, JSON.stringify([policy, host, port]));
        if (method === undefined || path === undefined || path === '/../x') continue;
        assert.ok(
          judgeRequest(all, { host, port }, spoken, { method, path }).allowed,
          JSON.stringify(policy),
        );
      }
      for (const host of ['a.test', 'b.test', 'c.test']) {
        const mentioned = denials.filter((each) => each.host === host);
        assert.equal(judgeName(all, host).allowed, mentioned.length > 0);
        const ports = mentioned.flatMap(({ port }) => port ?? []);
        for (const port of [443, 80, 8080, 5432, 22]) {
          const expected = ports.length === 0 && mentioned.length > 0 ? [443, 80] : ports;
          const kinds = ['tls', 'http', 'tcp'] as const;
          const allowed = kinds.some((kind) => judgeConnection(all, { host, port }, kind).allowed);
          assert.equal(allowed, expected.includes(port), `${host}:${port} ${JSON.stringify(policy)}`);
        }
      }
    }),
    { numRuns: 500 },
  );
});

it('keeps methods and paths together as they were asked for', () => {
  const http = { code: 'name_not_allowed', host: 'a.test', port: 80, protocol: 'http' };
  const { policy } = learn([
    { ...http, method: 'GET', path: '/list' },
    { ...http, method: 'GET', path: '/item' },
    { ...http, method: 'POST', path: '/item' },
    { code: 'address_not_allowed', host: '192.0.2.7', port: 5432, protocol: 'tcp' },
  ]);
  assert.deepEqual(policy.allow, [
    { host: 'a.test', ports: [80], methods: ['GET'], paths: ['/list'] },
    { host: 'a.test', ports: [80], methods: ['GET', 'POST'], paths: ['/item'] },
    { cidr: '192.0.2.7/32', ports: [5432] },
  ]);
});

it('says what no rule opens', () => {
  const { policy, remarks } = learn([
    { code: 'port_not_allowed', host: 'mail.test', port: 25, protocol: 'tcp' },
    { code: 'address_private', host: 'inside.test', port: 80, protocol: 'http' },
    { code: 'protocol_not_allowed', host: 'a.test', port: 443, protocol: 'udp' },
  ]);
  assert.deepEqual(policy.allow, []);
  assert.equal(remarks.length, 3);
});

it('opens UDP as UDP, says that QUIC needs no rule, and leaves out what nobody reaches', () => {
  const udp = { code: 'protocol_not_allowed', protocol: 'udp' };
  const { policy, remarks } = learn([
    { ...udp, host: 'time.test', port: 123 },
    { ...udp, host: '192.0.2.7', port: 123 },
    { ...udp, host: 'a.test', port: 443 },
    { ...udp, host: '224.0.0.251', port: 5353 },
  ]);
  assert.deepEqual(policy.allow, [
    { host: 'time.test', ports: [123], protocol: 'udp' },
    { cidr: '192.0.2.7/32', ports: [123], protocol: 'udp' },
  ]);
  assert.deepEqual(remarks, [
    'a.test:443: QUIC; programs take TLS over TCP instead.',
    '224.0.0.251:5353: nobody reaches this address.',
  ]);
});
