/** Reads one DNS query out of hostile bytes and writes its answer; no compression, no second question, nothing clever. */

export const recordTypes = { a: 1, aaaa: 28, svcb: 64, https: 65 } as const;

export interface Query {
  readonly id: number;
  readonly recursionDesired: boolean;
  /** Labels joined by dots, as sent; bytes outside of printable ASCII become `?`, which no policy allows. */
  readonly name: string;
  readonly type: number;
  /** The question's bytes, to be sent back as they came. */
  readonly question: Buffer;
}

export const answerCodes = { ok: 0, formatError: 1, nameError: 3, notImplemented: 4, refused: 5 } as const;
export type AnswerCode = keyof typeof answerCodes;

const headerBytes = 12;
/** RFC 1035: a query needs no more, and EDNS options of an honest resolver fit. */
const queryBytesMax = 512;

/** A query, the code to refuse it with, or undefined for what deserves no answer at all. Never throws. */
export function readQuery(
  bytes: Buffer,
): Query | { readonly id: number; readonly refuse: AnswerCode } | undefined {
  if (bytes.length < headerBytes) return undefined;
  const id = bytes.readUInt16BE(0);
  const flags = bytes.readUInt16BE(2);
  if ((flags & 0x8000) !== 0) return undefined; // an answer to an answer would be a loop
  if (bytes.length > queryBytesMax) return { id, refuse: 'formatError' };
  if ((flags & 0x7800) !== 0) return { id, refuse: 'notImplemented' };
  const [questions, answers, authorities, additional] = [4, 6, 8, 10].map((at) => bytes.readUInt16BE(at));
  if (questions !== 1 || answers !== 0 || authorities !== 0 || (additional ?? 0) > 1) {
    return { id, refuse: 'formatError' };
  }
  const name = readName(bytes);
  if (name === undefined || name.end + 4 > bytes.length) return { id, refuse: 'formatError' };
  if (bytes.readUInt16BE(name.end + 2) !== 1) return { id, refuse: 'refused' }; // class IN alone
  return {
    id,
    recursionDesired: (flags & 0x0100) !== 0,
    name: name.text,
    type: bytes.readUInt16BE(name.end),
    question: bytes.subarray(headerBytes, name.end + 4),
  };
}

function readName(bytes: Buffer): { text: string; end: number } | undefined {
  const labels: string[] = [];
  let at = headerBytes;
  for (;;) {
    const length = bytes[at];
    if (length === undefined || length > 63) return undefined; // pointers have no place in a question
    at += 1;
    if (length === 0) return at - headerBytes > 255 ? undefined : { text: labels.join('.'), end: at };
    if (at + length > bytes.length) return undefined;
    // A dot inside a label is not the dot between two.
    labels.push(bytes.toString('latin1', at, at + length).replace(/[^\x21-\x2d\x2f-\x7e]/g, '?'));
    at += length;
  }
}

/** The answer: empty, or one address. */
export function writeAnswer(
  query: Query,
  code: AnswerCode,
  address?: { readonly bytes: Buffer; readonly ttlSeconds: number },
): Buffer {
  const header = Buffer.alloc(headerBytes);
  header.writeUInt16BE(query.id, 0);
  header.writeUInt16BE(0x8480 | (query.recursionDesired ? 0x0100 : 0) | answerCodes[code], 2);
  header.writeUInt16BE(1, 4);
  if (address === undefined) return Buffer.concat([header, query.question]);
  header.writeUInt16BE(1, 6);
  const record = Buffer.alloc(12);
  record.writeUInt16BE(0xc00c, 0); // the name of the question
  record.writeUInt16BE(recordTypes.a, 2);
  record.writeUInt16BE(1, 4);
  record.writeUInt32BE(address.ttlSeconds, 6);
  record.writeUInt16BE(address.bytes.length, 10);
  return Buffer.concat([header, query.question, record, address.bytes]);
}

/** A refusal of something whose question could not be read. */
export function writeRefusal(id: number, code: AnswerCode): Buffer {
  const header = Buffer.alloc(headerBytes);
  header.writeUInt16BE(id, 0);
  header.writeUInt16BE(0x8480 | answerCodes[code], 2);
  return header;
}
