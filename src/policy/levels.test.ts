/** Levels only narrow: what passes all of them passes each of them; one that is not there changes nothing. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import type { EgressPolicy } from '../../schema/policy.ts';
import { levelNames, levelsFor } from './levels.ts';
import { judgeConnection, judgeName, judgeRequest, portsOf } from './match.ts';
import { narrow, parseLevel } from './policy.ts';

const presets = { pip: [], npm: [], apt: [], cargo: [], go: [] };
const hosts = ['a.test', 'b.test', 'x.a.test', '*.a.test'];
const rule = fc.record(
  {
    host: fc.constantFrom(...hosts),
    ports: fc.subarray([443, 80, 5432], { minLength: 1 }),
    methods: fc.subarray(['GET', 'POST'], { minLength: 1 }),
    paths: fc.subarray(['/', '/v1', '/v1/x'], { minLength: 1 }),
  },
  { requiredKeys: ['host'] },
);
const written: fc.Arbitrary<EgressPolicy> = fc.record(
  {
    allow: fc.array(rule, { maxLength: 4 }),
    deny: fc.array(rule, { maxLength: 2 }),
    budgets: fc.record(
      {
        bytesMax: fc.nat(9),
        connectionsMax: fc.nat(9),
        bytesPerSecondMax: fc.integer({ min: 1024, max: 1033 }),
      },
      { requiredKeys: [] },
    ),
  },
  { requiredKeys: [] },
);
const target = fc.record({
  host: fc.constantFrom('a.test', 'b.test', 'x.a.test', 'c.test'),
  port: fc.constantFrom(443, 80, 5432, 22),
});
const request = fc.record({
  method: fc.constantFrom('GET', 'POST', 'PUT'),
  path: fc.constantFrom('/', '/v1', '/v1/x/y', '/v10', '/v1/../x', '/v2?q'),
});
const keys = { tenantId: 't', workspaceId: 'w', functionId: 'f', template: 'base' };

/** A policy or none for each level above, and the sandbox's own. */
const stack = fc.tuple(
  fc.array(fc.option(written, { nil: undefined }), { minLength: 4, maxLength: 4 }),
  written,
);

function levelsOf([above, own]: [(EgressPolicy | undefined)[], EgressPolicy]): ReturnType<
  typeof parseLevel
>[] {
  const found = levelsFor<EgressPolicy>(keys, { policy: own, administrator: false }, (name) => {
    const policy = above[levelNames.indexOf(name)];
    return policy === undefined ? undefined : { policy, administrator: false };
  });
  return found.map(({ policy, ...options }) => parseLevel(policy, { ...options, presets }));
}

it('lets nothing pass that a single level refuses, and never widens a budget', () => {
  fc.assert(
    fc.property(
      stack,
      target,
      request,
      fc.constantFrom('tls', 'http', 'tcp'),
      (written, at, asked, protocol) => {
        const levels = levelsOf(written);
        const all = narrow(levels);
        const kind = protocol as 'tls';
        const passes = (policy: typeof all): boolean[] => [
          judgeName(policy, at.host).allowed,
          judgeConnection(policy, at, kind).allowed,
          judgeRequest(policy, at, kind, asked).allowed,
        ];
        const together = passes(all);
        const alone = levels.map((level) => passes(narrow([level])));
        together.forEach((passed, what) => {
          assert.equal(
            passed,
            alone.every((each) => each[what]),
            JSON.stringify([written, at, asked, protocol, what]),
          );
        });
        for (const { budgets } of levels) {
          for (const key of ['bytesMax', 'connectionsMax', 'bytesPerSecondMax'] as const) {
            if (budgets[key] !== undefined) assert.ok((all.budgets[key] ?? 9999) <= (budgets[key] ?? 0));
          }
        }
      },
    ),
    { numRuns: 2000 },
  );
});

it('closes a sandbox without a policy of its own, whatever stands above it', () => {
  const open = { policy: { allow: [{ host: 'a.test' }] }, administrator: true };
  const levels = levelsFor<EgressPolicy>(keys, undefined, () => open);
  const policy = narrow(
    levels.map(({ policy: own, ...options }) => parseLevel(own, { ...options, presets })),
  );
  assert.equal(judgeName(policy, 'a.test').allowed, false);
  assert.equal(portsOf(policy).size, 0);
});

it('asks for the policies of the scopes that a sandbox has, from the widest to the narrowest', () => {
  const asked: string[] = [];
  levelsFor({ tenantId: 't', template: 'base' }, { policy: {}, administrator: false }, (level, subject) => {
    asked.push(`${level} ${subject}`);
    return undefined;
  });
  assert.deepEqual(asked, ['tenant t', 'template base']);
});
