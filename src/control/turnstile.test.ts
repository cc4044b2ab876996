/** Whose turn is next, and that no turn is kept for ever. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { setImmediate as settle } from 'node:timers/promises';
import { Turnstile } from './turnstile.ts';

beforeEach(() => mock.timers.enable({ apis: ['setTimeout'] }));
afterEach(() => mock.timers.reset());

/** Work whose beginning is noted, and whose end the test says. */
function bench(turnstile: Turnstile): {
  begun: string[];
  begin: (name: string, tenant: string, kind?: 'create' | 'exec') => Promise<string>;
  end: (name: string) => Promise<void>;
} {
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  return {
    begun,
    begin: (name, tenant, kind = 'exec') =>
      turnstile.pass(
        tenant,
        kind,
        async () => {
          begun.push(name);
          return name;
        },
        () => new Promise<void>((resolve) => ends.set(name, resolve)),
      ),
    end: async (name) => {
      ends.get(name)?.();
      await settle();
    },
  };
}

test('begins so many at once, and the next when one is over', async () => {
  const { begun, begin, end } = bench(new Turnstile({ turns: 2 }));
  const all = Promise.all(['a', 'b', 'c', 'd'].map((name) => begin(name, 'one')));
  await settle();
  assert.deepEqual(begun, ['a', 'b']);
  await end('b');
  assert.deepEqual(begun, ['a', 'b', 'c']);
  await end('a');
  assert.deepEqual(begun, ['a', 'b', 'c', 'd']);
  assert.deepEqual(await all, ['a', 'b', 'c', 'd']);
});

test('gives tenants their turns one after the other, however many one has waiting', async () => {
  const { begun, begin, end } = bench(new Turnstile({ turns: 1 }));
  for (const name of ['a1', 'a2', 'a3', 'a4']) void begin(name, 'a');
  void begin('b1', 'b');
  await settle();
  for (const name of ['a1', 'a2', 'b1', 'a3']) await end(name);
  assert.deepEqual(begun, ['a1', 'a2', 'b1', 'a3', 'a4']);
});

test('lets programs go before creates, and a create after four programs', async () => {
  const { begun, begin, end } = bench(new Turnstile({ turns: 1 }));
  void begin('first', 'a');
  void begin('create', 'a', 'create');
  const execs = ['1', '2', '3', '4', '5'];
  for (const name of execs) void begin(name, 'a');
  await settle();
  for (const name of ['first', ...execs.slice(0, 4)]) await end(name);
  assert.deepEqual(begun, ['first', '1', '2', '3', '4', 'create']);
});

test('takes a turn back that nobody ends, and one whose work has failed', async () => {
  const turnstile = new Turnstile({ turns: 1 });
  const { begun, begin } = bench(turnstile);
  await begin('endless', 'a');
  const failing = turnstile.pass('a', 'exec', async () => {
    throw new Error('no such program');
  });
  mock.timers.tick(100);
  await assert.rejects(failing, /no such program/);
  await begin('after', 'a');
  assert.deepEqual(begun, ['endless', 'after']);
});
