/** Fuzzes the parsers of hostile bytes from a corpus: a second each, or CASEMATE_FUZZ_SECONDS (`make fuzz`). */
import { createHash, randomInt } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { parsers } from './fuzz/parsers.ts';

const corpusFolder = join(import.meta.dirname, 'fuzz/corpus');
const seconds = Number(process.env.CASEMATE_FUZZ_SECONDS ?? 1);
const bytesMax = 4096;

/** xorshift: quick, and a seed that is printed gives the same run again. */
function randomOf(seed: number): (below: number) => number {
  let state = seed | 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % Math.max(1, below);
  };
}

type Mutation = (bytes: Buffer, random: (below: number) => number, other: Buffer) => Buffer;
const odd = [0, 1, 0x7f, 0x80, 0xff, 0x0a, 0x0d, 0x2e, 0x2f, 0x3a, 0x40, 0x25];
const mutations: readonly Mutation[] = [
  (bytes, random) => changed(bytes, random, (value) => value ^ (1 << random(8))),
  (bytes, random) => changed(bytes, random, () => random(256)),
  (bytes, random) => changed(bytes, random, () => odd[random(odd.length)] ?? 0),
  (bytes, random) => bytes.subarray(0, random(bytes.length + 1)),
  (bytes, random) => {
    const at = random(bytes.length + 1);
    return Buffer.concat([bytes.subarray(0, at), bytes.subarray(random(at + 1))]);
  },
  (bytes, random, other) =>
    Buffer.concat([bytes.subarray(0, random(bytes.length + 1)), other.subarray(random(other.length + 1))]),
  (bytes, random) => {
    const at = random(bytes.length + 1);
    const inserted = Buffer.alloc(1 + random(8), odd[random(odd.length)]);
    return Buffer.concat([bytes.subarray(0, at), inserted, bytes.subarray(at)]);
  },
];

function changed(bytes: Buffer, random: (below: number) => number, make: (value: number) => number): Buffer {
  const copy = Buffer.from(bytes);
  if (copy.length > 0) {
    const at = random(copy.length);
    copy[at] = make(copy[at] ?? 0);
  }
  return copy;
}

for (const [name, property] of Object.entries(parsers)) {
  const folder = join(corpusFolder, name);
  const corpus = readdirSync(folder).map((file) => readFileSync(join(folder, file)));

  it(`${name}: every input of the corpus`, () => {
    if (corpus.length === 0) throw new Error('the corpus is empty');
    for (const bytes of corpus) property(bytes);
  });

  it(`${name}: changed inputs, for ${seconds} s`, (t) => {
    const seed = randomInt(1, 2 ** 31);
    const random = randomOf(seed);
    const until = performance.now() + seconds * 1000;
    let runs = 0;
    while (performance.now() < until) {
      let bytes: Buffer = corpus[random(corpus.length)] ?? Buffer.alloc(0);
      for (let left = 1 + random(4); left > 0; left -= 1) {
        const other = corpus[random(corpus.length)] ?? bytes;
        bytes = mutations[random(mutations.length)]?.(bytes, random, other) ?? bytes;
      }
      bytes = bytes.subarray(0, bytesMax);
      runs += 1;
      try {
        property(bytes);
      } catch (error) {
        const file = join(folder, `crash-${createHash('sha256').update(bytes).digest('hex').slice(0, 12)}`);
        writeFileSync(file, bytes);
        throw new Error(`${file}, seed ${seed}: ${String(error)}`, { cause: error });
      }
    }
    t.diagnostic(`${runs} inputs`);
  });
}
