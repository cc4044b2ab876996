/** The decoder of hostile bytes: any cutting of sound frames gives the same frames; anything else is a violation. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { CasemateError } from '../base/errors.ts';
import { encodeHeader, FrameDecoder, resyncPreamble } from './frame.ts';

const frames = fc.array(
  fc.record({
    type: fc.integer({ min: 1, max: 8 }),
    stream: fc.nat({ max: 2 ** 32 - 1 }),
    payload: fc.uint8Array({ maxLength: 3000 }),
    end: fc.boolean(),
    channel: fc.nat({ max: 15 }),
  }),
  { maxLength: 12 },
);

function decodeAll(
  bytes: Buffer,
  cuts: readonly number[],
): { type: number; payload: string; end: boolean }[] {
  const decoder = new FrameDecoder();
  const decoded: { type: number; payload: string; end: boolean }[] = [];
  let at = 0;
  for (const cut of [...cuts].sort((a, b) => a - b).concat(bytes.length)) {
    decoder.push(bytes.subarray(at, Math.max(at, cut)));
    at = Math.max(at, cut);
    for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) {
      decoded.push({ type: frame.type, payload: frame.payload.toString('hex'), end: frame.end });
    }
  }
  return decoded;
}

it('reads the same frames however the bytes are cut', () => {
  fc.assert(
    fc.property(frames, fc.array(fc.nat({ max: 40_000 }), { maxLength: 30 }), (sent, cuts) => {
      const bytes = Buffer.concat(sent.flatMap((frame) => [encodeHeader(frame), Buffer.from(frame.payload)]));
      const inside = cuts.map((cut) => Math.min(cut, bytes.length));
      const expected = sent.map(({ type, payload, end }) => ({
        type,
        payload: Buffer.from(payload).toString('hex'),
        end,
      }));
      assert.deepEqual(decodeAll(bytes, inside), expected);
    }),
  );
});

it('answers arbitrary bytes with frames, patience or a violation, nothing else', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 4000 }), (bytes) => {
      const decoder = new FrameDecoder();
      decoder.push(Buffer.from(bytes));
      try {
        while (decoder.next() !== undefined);
      } catch (error) {
        assert.ok(error instanceof CasemateError && error.code === 'guest_protocol');
      }
    }),
  );
});

it('notices one changed byte', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 1, maxLength: 500 }),
      fc.nat(),
      fc.integer({ min: 1, max: 255 }),
      (payload, where, change) => {
        const bytes = Buffer.concat([encodeHeader({ type: 3, stream: 1, payload }), payload]);
        const at = where % bytes.length;
        bytes[at] = (bytes[at] ?? 0) ^ change;
        const decoder = new FrameDecoder();
        decoder.push(bytes);
        let read: unknown;
        try {
          read = decoder.next();
        } catch {
          return;
        }
        assert.equal(read, undefined); // a longer length: it waits for bytes that never come
      },
    ),
  );
});

it('finds the marker behind whatever was left of an earlier host', () => {
  const decoder = new FrameDecoder();
  decoder.push(Buffer.alloc(5000, 7));
  assert.equal(decoder.skipToMarker(), false);
  const preamble = resyncPreamble();
  decoder.push(preamble.subarray(0, preamble.length - 5));
  assert.equal(decoder.skipToMarker(), false);
  decoder.push(preamble.subarray(preamble.length - 5));
  assert.equal(decoder.skipToMarker(), true);
  decoder.push(encodeHeader({ type: 7, stream: 0, payload: Buffer.alloc(0) }));
  assert.equal(decoder.next()?.type, 7);
});
