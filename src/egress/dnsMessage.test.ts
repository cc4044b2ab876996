/** DNS queries are hostile bytes: any of them gives a query, a refusal or silence, and answers can be read by others. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { readQuery, recordTypes, writeAnswer } from './dnsMessage.ts';

function query(name: string, type: number = recordTypes.a, extra: Buffer = Buffer.alloc(0)): Buffer {
  const labels = name.split('.').map((label) => {
    const bytes = Buffer.from(label, 'latin1');
    return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  });
  const header = Buffer.from([0x12, 0x34, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, extra.length > 0 ? 1 : 0]);
  const tail = Buffer.from([0, type >> 8, type & 255, 0, 1]);
  return Buffer.concat([header, ...labels, tail, extra]);
}

it('reads a query, with EDNS or without, and writes an answer that names its address', () => {
  const edns = Buffer.from([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
  for (const bytes of [query('Api.Example.com'), query('Api.Example.com', 1, edns)]) {
    const read = readQuery(bytes);
    assert.ok(read !== undefined && 'name' in read);
    assert.equal(read.name, 'Api.Example.com');
    const answer = writeAnswer(read, 'ok', { bytes: Buffer.from([198, 18, 1, 2]), ttlSeconds: 30 });
    assert.equal(answer.readUInt16BE(0), 0x1234);
    assert.equal(answer.readUInt16BE(6), 1);
    assert.deepEqual([...answer.subarray(-4)], [198, 18, 1, 2]);
    assert.deepEqual(answer.subarray(12, 12 + read.question.length), read.question);
  }
});

it('refuses pointers, two questions, long labels, cut ends and other classes', () => {
  const pointer = Buffer.concat([query('a').subarray(0, 12), Buffer.from([0xc0, 12, 0, 1, 0, 1])]);
  const two = query('a.test');
  two.writeUInt16BE(2, 4);
  const long = Buffer.concat([query('a').subarray(0, 12), Buffer.from([64]), Buffer.alloc(69, 97)]);
  const chaos = query('version.bind');
  chaos.writeUInt16BE(3, chaos.length - 2);
  for (const bytes of [pointer, two, long, query('a.test').subarray(0, -1), chaos, Buffer.alloc(600)]) {
    const read = readQuery(bytes);
    assert.ok(read !== undefined && 'refuse' in read, bytes.toString('hex'));
  }
  const answer = query('a.test');
  answer.writeUInt16BE(0x8180, 2);
  assert.equal(readQuery(answer), undefined);
});

it('lets a dot or a null byte inside a label be no part of a name', () => {
  const inside = Buffer.concat([
    query('x').subarray(0, 12),
    Buffer.from('\x06a.test\x00\x00\x01\x00\x01', 'latin1'),
  ]);
  const read = readQuery(inside);
  assert.ok(read !== undefined && 'name' in read && read.name === 'a?test');
  const nul = readQuery(query('evil\0.test'));
  assert.ok(nul !== undefined && 'name' in nul && nul.name === 'evil?.test');
});

it('answers arbitrary bytes, and sound ones with a changed byte, without a throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => void readQuery(Buffer.from(bytes))),
    { numRuns: 2000 },
  );
  fc.assert(
    fc.property(fc.domain(), fc.nat(), fc.nat({ max: 255 }), (name, where, value) => {
      const bytes = query(name);
      bytes[where % bytes.length] = value;
      const read = readQuery(bytes);
      if (read !== undefined && 'name' in read) assert.match(read.name, /^[\x21-\x7e]*$/);
    }),
    { numRuns: 2000 },
  );
});
