/** One output for several readers: each gets all of it, the slowest sets the pace, the last one lets go. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { ExecStream, ExitInfo, OutputChunk } from '../../guest/types.ts';
import { Feeds, type Reader } from './feed.ts';

const exited: ExitInfo = { exitCode: 0, reason: 'exited', truncatedStdoutBytes: 0, truncatedStderrBytes: 0 };

/** A program that says `pieces` numbers; `told` counts what was taken of it. */
function program(pieces: number): { stream: ExecStream; told: () => number; detached: () => boolean } {
  let [told, detached] = [0, false];
  async function* output(): AsyncGenerator<OutputChunk> {
    for (; told < pieces && !detached; told += 1) yield { channel: 'stdout', data: Buffer.from(`${told} `) };
  }
  const stream: ExecStream = {
    pid: 7,
    truncatedStdoutBytes: 0,
    truncatedStderrBytes: 0,
    output: output(),
    exited: Promise.resolve(exited),
    detach: () => {
      detached = true;
    },
  };
  return { stream, told: () => told, detached: () => detached };
}

async function textOf(reader: Reader): Promise<string> {
  let text = '';
  for (let event = await reader.take(1000); event?.kind === 'data'; event = await reader.take(1000)) {
    text += event.chunk.data.toString();
  }
  return text;
}

it('gives every reader everything, and waits for the slowest', async () => {
  const { stream, told } = program(100);
  const feeds = new Feeds();
  const { reader: first, pid } = feeds.open('sandbox', 'exec', stream);
  const second = feeds.join('sandbox', 'exec');
  assert.equal(pid, 7);
  assert.ok(second !== undefined);
  const fast = textOf(first);
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.ok(told() < 20, `${told()} pieces were taken while one reader took none`);
  assert.equal(await textOf(second.reader), await fast);
  assert.equal((await fast).split(' ').length, 101);
  assert.equal(feeds.join('sandbox', 'exec'), undefined);
});

it('lets go of a program that nobody reads', async () => {
  const { stream, detached } = program(1000);
  const feeds = new Feeds();
  const { reader } = feeds.open('sandbox', 'exec', stream);
  await reader.take(1000);
  reader.close();
  assert.equal(detached(), true);
  assert.equal(await reader.take(1000), undefined);
  assert.equal(feeds.join('sandbox', 'exec'), undefined);
});

it('says when nothing comes, and what went wrong', async () => {
  const never = new Promise<never>(() => {});
  const silent = { ...program(0).stream, output: { [Symbol.asyncIterator]: () => ({ next: () => never }) } };
  const { reader } = new Feeds().open('sandbox', 'exec', silent);
  assert.deepEqual(await reader.take(10), { kind: 'idle' });
  const taken = { ...program(0).stream, exited: Promise.resolve(undefined) };
  await assert.rejects(new Feeds().open('sandbox', 'exec', taken).reader.take(1000), { code: 'conflict' });
});
