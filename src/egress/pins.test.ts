/** Pins: one address a name, stable, capped for one sandbox alone. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { isPinned, Pins, pinsMax, serviceAddress } from './pins.ts';

it('gives each name one address of its own, the same after a restart', () => {
  const pins = new Pins();
  const address = pins.addressOf('a.test');
  assert.equal(pins.addressOf('a.test'), address);
  assert.notEqual(pins.addressOf('b.test'), address);
  assert.equal(pins.nameOf(address), 'a.test');
  assert.equal(new Pins().addressOf('a.test'), address);
  assert.ok(isPinned(address) && isPinned(serviceAddress) && !isPinned('198.20.0.1'));
});

it('forgets the name that was unused longest, and never mixes two up', () => {
  const pins = new Pins();
  const first = pins.addressOf('first.test');
  const addresses = new Map<string, string>();
  for (let number = 0; number < pinsMax + 500; number += 1) {
    if (number % 100 === 0) pins.addressOf('first.test');
    addresses.set(`n${number}.test`, pins.addressOf(`n${number}.test`));
  }
  assert.equal(pins.size, pinsMax);
  assert.equal(pins.nameOf(first), 'first.test');
  assert.ok(!pins.has('n0.test'));
  for (const [name, address] of addresses) if (pins.has(name)) assert.equal(pins.nameOf(address), name);
});
