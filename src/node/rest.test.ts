/** Standing still: at once for pooled ones, after a while without use and without programs for the others. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, it, mock } from 'node:test';
import { Rest } from './rest.ts';

let folder: string;
let file: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'casemate-rest-'));
  file = join(folder, 'freezer');
  writeFileSync(file, 'awake');
  mock.timers.enable({ apis: ['setTimeout'] });
});
afterEach(() => {
  mock.timers.reset();
  rmSync(folder, { recursive: true });
});

function rest(processes: () => number | Error, idle: 'quiet' | 'restless' = 'restless'): Rest {
  return new Rest({
    freezer: { file, frozen: 'still', thawed: 'awake' },
    idle,
    countProcesses: async () => {
      const count = processes();
      if (count instanceof Error) throw count;
      return count;
    },
  });
}

const state = (): string => readFileSync(file, 'utf8');

/** Lets timers and what they start come to an end. */
async function pass(ms: number): Promise<void> {
  mock.timers.tick(ms);
  for (let turn = 0; turn < 5; turn += 1) await Promise.resolve();
}

it('stands still some time after the last of several uses, and wakes for the next', async () => {
  const sandbox = rest(() => 1);
  const [first, second] = [sandbox.use(), sandbox.use()];
  first();
  first(); // twice is once
  await pass(5000);
  assert.equal(state(), 'awake');
  second();
  await pass(500);
  assert.equal(state(), 'awake');
  await pass(600);
  assert.equal(state(), 'still');
  const third = sandbox.use();
  assert.equal(state(), 'awake');
  third();
});

it('does not stand still while programs run inside, and looks again', async () => {
  let processes = 3;
  const sandbox = rest(() => processes);
  sandbox.use()();
  await pass(1100);
  assert.equal(state(), 'awake');
  processes = 1;
  await pass(2100);
  assert.equal(state(), 'still');
});

it('does not stand still when it is used while it looks, or cannot be asked', async () => {
  const failing = rest(() => new Error('ended'));
  failing.use()();
  await pass(1100);
  assert.equal(state(), 'awake');
  const sandbox = rest(() => {
    sandbox.use();
    return 1;
  });
  sandbox.use()();
  await pass(1100);
  assert.equal(state(), 'awake');
  sandbox.end();
});

it('says nothing when the control group is gone', () => {
  rmSync(file);
  rmSync(folder, { recursive: true });
  rest(() => 1).standStill();
  folder = mkdtempSync(join(tmpdir(), 'casemate-rest-'));
});

it('lets a runtime alone that sleeps by itself', async () => {
  const sandbox = rest(() => 1, 'quiet');
  sandbox.standStill();
  sandbox.use()();
  await pass(5000);
  assert.equal(state(), 'awake');
  assert.equal(sandbox.wake(), false);
});
