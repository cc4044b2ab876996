/** Slots: nothing that was staged is forgotten. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createLog } from '../base/log.ts';
import type { JournalEntry } from './journal.ts';
import { type SlotKind, Slots } from './slots.ts';

const limits = { cpus: 1, memoryMib: 512, diskMib: 1024, pids: 100 };
const usual: SlotKind = { runtime: 'gvisor', limits };

it('gives back one that was being staged while others went', async () => {
  const there = new Set<string>();
  const staging = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const begun = Promise.withResolvers<void>();
  let made = 0;
  const slots = new Slots({
    usual,
    usualCount: 2,
    aheadOf: () => 0,
    stage: async () => {
      const number = made;
      made += 1;
      if (number === 1) begun.resolve();
      await staging[number]?.promise;
      there.add(String(number));
      return { id: String(number) } as JournalEntry;
    },
    destroy: async (id) => there.delete(id),
    isQuiet: () => true,
    log: createLog({ role: 'test' }),
  });
  slots.fillLater();
  staging[0]?.resolve();
  await begun.promise;
  await slots.forgetSnapshot('a-snapshot');
  staging[1]?.resolve();
  await slots.stop();
  assert.equal(made, 2);
  assert.deepEqual([...there], []);
});
