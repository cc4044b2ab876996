/** Secrets in bodies: filled wherever chunks end, escaped for their type, refused where that cannot be. */
import assert from 'node:assert/strict';
import type { IncomingHttpHeaders } from 'node:http';
import { PassThrough, Readable } from 'node:stream';
import { it } from 'node:test';
import { brotliCompressSync, gzipSync, zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { parseHostPattern } from '../policy/host.ts';
import { bodyWithSecrets } from './secretBody.ts';
import { SecretRefusal } from './secrets.ts';

const placeholder = `casemate-secret-${'0123456789abcdef'.repeat(2)}`;
const secrets = [
  { name: 'one', placeholder, value: 'canary "&é', hosts: [parseHostPattern('a.test')] },
  { name: 'two', placeholder: `${placeholder}-two`, value: 'b', hosts: [parseHostPattern('b.test')] },
];
const bound = { host: 'a.test', encrypted: true };

function request(
  chunks: readonly (string | Buffer)[],
  headers: Record<string, string>,
): Readable & { headers: IncomingHttpHeaders } {
  return Object.assign(Readable.from(chunks.map((chunk) => Buffer.from(chunk))), { headers });
}

async function sent(
  chunks: readonly (string | Buffer)[],
  headers: Record<string, string>,
  place = bound,
): Promise<{ bytes: Buffer; length: number | undefined }> {
  const { source, bytes } = await bodyWithSecrets(secrets, place, {
    request: request(chunks, headers),
    body: 'content-length' in headers ? 'counted' : 'chunked',
  });
  const parts: Buffer[] = [];
  for await (const part of source) parts.push(part as Buffer);
  return { bytes: Buffer.concat(parts), length: bytes };
}

const chunked = { 'transfer-encoding': 'chunked' };
const ofLength = (text: string | Buffer): Record<string, string> => ({
  'content-length': String(Buffer.byteLength(text)),
});

it('fills wherever chunks end, and tells the new length', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof(fc.constant(placeholder), fc.string(), fc.constant('casemate-secret-012')), {
        maxLength: 6,
      }),
      fc.array(fc.nat(), { maxLength: 8 }),
      async (parts, cuts) => {
        const whole = Buffer.from(parts.join(''));
        if (whole.length === 0) return;
        const ends = [...new Set(cuts.map((cut) => cut % whole.length))].sort((a, b) => a - b);
        const chunks = [...ends, whole.length].map((end, at) => whole.subarray(ends[at - 1] ?? 0, end));
        const expected = whole.toString().replaceAll(placeholder, 'canary "&é');
        assert.equal((await sent(chunks, chunked)).bytes.toString(), expected);
        const { bytes, length } = await sent(chunks, ofLength(whole));
        assert.deepEqual([bytes.toString(), length], [expected, Buffer.byteLength(expected)]);
      },
    ),
    { numRuns: 200 },
  );
});

it('escapes for JSON and for forms', async () => {
  const json = `{"key":"${placeholder}"}`;
  const made = await sent([json], { ...ofLength(json), 'content-type': 'application/json; charset=utf-8' });
  assert.deepEqual(JSON.parse(made.bytes.toString()), { key: 'canary "&é' });
  const form = `key=${placeholder}&x=1`;
  const type = { 'content-type': 'application/x-www-form-urlencoded' };
  const filled = new URLSearchParams((await sent([form], { ...chunked, ...type })).bytes.toString());
  assert.deepEqual([filled.get('key'), filled.get('x')], ['canary "&é', '1']);
});

it('refuses another host, plain HTTP, a long body of fixed length, and what was compressed', async () => {
  const long = Buffer.concat([Buffer.alloc(1_100_000, 120), Buffer.from(placeholder)]);
  const wrong: [readonly (string | Buffer)[], Record<string, string>, typeof bound][] = [
    [[placeholder], chunked, { ...bound, host: 'c.test' }],
    [[placeholder], ofLength(placeholder), { ...bound, host: 'c.test' }],
    [[placeholder], chunked, { ...bound, encrypted: false }],
    [[long], ofLength(long), bound],
    [[gzipSync(placeholder)], { ...chunked, 'content-encoding': 'gzip' }, bound],
    [[brotliCompressSync(placeholder)], { ...chunked, 'content-encoding': 'br' }, bound],
    [[zstdCompressSync(placeholder)], { ...chunked, 'content-encoding': 'zstd' }, bound],
    [['no gzip at all'], { ...chunked, 'content-encoding': 'gzip' }, bound],
    [[gzipSync(Buffer.alloc(80_000_000))], { ...chunked, 'content-encoding': 'gzip' }, bound],
    [['x'], { ...chunked, 'content-encoding': 'gzip, br' }, bound],
  ];
  for (const [chunks, headers, place] of wrong) {
    await assert.rejects(
      sent(chunks, headers, place),
      (error) => error instanceof SecretRefusal && !error.message.includes('canary'),
      JSON.stringify(headers),
    );
  }
});

it('lets pass unchanged what holds no placeholder', async () => {
  const long = Buffer.alloc(3_000_000, 'casemate-secret-');
  assert.deepEqual((await sent([long], ofLength(long))).bytes, long);
  const packed = gzipSync('nothing of interest');
  assert.deepEqual((await sent([packed], { ...chunked, 'content-encoding': 'gzip' })).bytes, packed);
  const elsewhere = { ...bound, host: 'c.test' };
  assert.deepEqual(
    (await sent(['odd'], { ...chunked, 'content-encoding': 'odd' }, elsewhere)).bytes.toString(),
    'odd',
  );
});

it('keeps nobody waiting for the end of a message that begins like a placeholder', async () => {
  const stream = Object.assign(new PassThrough(), { headers: {} });
  const { source } = await bodyWithSecrets(secrets, bound, { request: stream, body: 'chunked' });
  stream.write('magic');
  let text = '';
  for await (const part of source) {
    text += String(part);
    if (text === 'magic') stream.end();
  }
  assert.equal(text, 'magic');
});
