/** E2B's rules of the network against a small model of them: allow beats deny, and the rest is open. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { inCidr, parseAddress } from '../../policy/address.ts';
import { deniesAddress, judgeConnection, judgeName } from '../../policy/match.ts';
import { narrow, parseLevel, type Policy, type Presets } from '../../policy/policy.ts';
import { parseRange } from '../../policy/ranges.ts';
import { type InternetCeiling, networkView, policyOf, type WrittenNetwork } from './network.ts';

const presets: Presets = {
  pip: [{ host: 'index.test', port: 443, isPrivate: false }],
  npm: [],
  apt: [],
  cargo: [],
  go: [],
};

const placeholder = (name: string): string => `$${'{'}e2b.${name}}`;

function judged(written: WrittenNetwork, ceiling: InternetCeiling): Policy {
  const policy = policyOf(written, ceiling, presets);
  return narrow([parseLevel(policy, { name: 'sandbox', administrator: ceiling === 'open', presets })]);
}

/** Few bits differ, so that ranges meet and nest. */
const octet = fc.constantFrom(0, 1, 128, 255);
const address = fc.tuple(octet, octet).map(([a, b]) => `44.44.${a}.${b}`);
const range = fc.tuple(address, fc.integer({ min: 8, max: 32 })).map(([text, prefix]) => `${text}/${prefix}`);
const ranges = fc.array(fc.oneof(address, range, fc.constant('0.0.0.0/0')), { maxLength: 6 });

/** What E2B documents. */
function model(
  text: string,
  { allowOut = [], denyOut = [], allow_internet_access }: WrittenNetwork,
): boolean {
  const found = parseAddress(text);
  assert.ok(found);
  const covers = (list: readonly string[]): boolean => list.some((one) => inCidr(parseRange(one), found));
  return covers(allowOut) || !(allow_internet_access === false || covers(denyOut));
}

function reaches(policy: Policy, text: string): boolean {
  const found = parseAddress(text);
  assert.ok(found);
  const { allowed } = judgeConnection(policy, { address: found, port: 443 }, 'tls');
  return allowed && deniesAddress(policy, 443, found) === undefined;
}

describe('E2B’s network rules', () => {
  it('reach by address what the model says, where the internet is open', () => {
    fc.assert(
      fc.property(
        ranges,
        ranges,
        fc.boolean(),
        fc.array(address, { minLength: 1 }),
        (allowOut, denyOut, internet, probes) => {
          // All of it, allowed, is the internet: with a deny-all beside it the ceiling decides, which the next test says.
          const named = allowOut.filter((text) => text !== '0.0.0.0/0');
          const written = { allowOut: named, denyOut, allow_internet_access: internet };
          const policy = judged(written, 'open');
          for (const probe of probes) assert.equal(reaches(policy, probe), model(probe, written), probe);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('never reach more under a lower ceiling', () => {
    fc.assert(
      fc.property(ranges, ranges, address, (allowOut, denyOut, probe) => {
        const written = { allowOut: allowOut.filter((text) => text !== '0.0.0.0/0'), denyOut };
        if (reaches(judged(written, 'packages'), probe)) assert.ok(reaches(judged(written, 'open'), probe));
        assert.equal(reaches(judged({ denyOut }, 'closed'), probe), false);
      }),
    );
  });

  it('give the package indexes alone by default, and what is named', () => {
    const byDefault = judged({}, 'packages');
    assert.ok(judgeName(byDefault, 'index.test').allowed);
    assert.equal(judgeName(byDefault, 'example.test').allowed, false);
    assert.equal(
      judgeName(judged({ allow_internet_access: false }, 'packages'), 'index.test').allowed,
      false,
    );
    const named = judged({ allowOut: ['*.example.test'], denyOut: ['0.0.0.0/0'] }, 'packages');
    assert.ok(judgeName(named, 'a.b.example.test').allowed);
    assert.equal(judgeName(named, 'example.test').allowed, false);
    assert.equal(judgeName(named, 'index.test').allowed, false);
    assert.equal(reaches(judged({ allowOut: ['0.0.0.0/0'] }, 'packages'), '44.44.0.1'), false);
    assert.ok(judgeName(judged({}, 'open'), 'anything.test').allowed);
    assert.equal(judgeConnection(judged({}, 'open'), { host: 'a.test', port: 25 }, 'tcp').allowed, false);
  });

  it('set headers where the host is reached, and open nothing by themselves', () => {
    const rules = {
      'api.test': [{ transform: { headers: { 'X-Key': `k ${placeholder('secrets.token')}` } } }],
    };
    const closed = policyOf({ rules }, 'packages', presets);
    assert.ok(!JSON.stringify(closed).includes('api.test'));
    const opened = policyOf({ rules, allowOut: ['api.test'], denyOut: ['0.0.0.0/0'] }, 'packages', presets);
    assert.ok(JSON.stringify(opened).includes('k {{secret:token}}'));
    assert.deepEqual(networkView(opened), {
      allowOut: ['api.test'],
      denyOut: ['0.0.0.0/0'],
      rules: { 'api.test': [{ transform: { headers: { 'X-Key': 'k {{secret:token}}' } } }] },
    });
  });

  it('refuse what E2B refuses, and say so where the server gives nothing', () => {
    assert.throws(() => judged({ allowOut: ['a.test'] }, 'open'), { code: 'invalid_request' });
    assert.throws(() => judged({ denyOut: ['a.test'] }, 'open'), { code: 'invalid_request' });
    assert.throws(() => judged({ allowOut: ['1.1.1.1'] }, 'closed'), { code: 'forbidden' });
    assert.throws(
      () =>
        judged(
          { rules: { 'a.test': [{ transform: { headers: { a: placeholder('identity.tokens.x') } } }] } },
          'open',
        ),
      {
        code: 'unsupported',
      },
    );
  });
});
