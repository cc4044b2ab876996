/** The token of a signed URL: where it may come from, and that the server inside never sees it. */
import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { it } from 'node:test';
import { previewCookie, previewTokenOf, withoutPreviewCookie, withoutPreviewToken } from './previewToken.ts';

const request = (url: string, headers: Record<string, string> = {}): IncomingMessage =>
  ({ url, headers: { host: '80-a.localhost:7070', ...headers } }) as unknown as IncomingMessage;

it('is taken from the query first, then from the cookie', () => {
  const cookie = 'a=1; casemate-preview=kept; b=2';
  assert.deepEqual(previewTokenOf(request('/x?casemate-preview=asked', { cookie })), {
    token: 'asked',
    from: 'query',
  });
  assert.deepEqual(previewTokenOf(request('/x?q=1', { cookie })), { token: 'kept', from: 'cookie' });
  assert.equal(previewTokenOf(request('/casemate-preview=path')), undefined);
});

it('is not taken from a cookie that another host’s page made the browser send', () => {
  const cookie = 'casemate-preview=kept';
  const from = (headers: Record<string, string>): string | undefined =>
    previewTokenOf(request('/', { cookie, ...headers }))?.from;
  assert.equal(from({ origin: 'http://81-b.localhost:7070' }), undefined);
  assert.equal(from({ origin: 'null' }), undefined);
  assert.equal(from({ 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'no-cors' }), undefined);
  assert.equal(from({ origin: 'http://80-a.localhost:7070', 'sec-fetch-site': 'same-origin' }), 'cookie');
  assert.equal(from({ 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' }), 'cookie');
});

it('stays outside of the sandbox', () => {
  assert.equal(withoutPreviewToken('/a?x=1&casemate-preview=t&y=%20'), '/a?x=1&y=%20');
  assert.equal(withoutPreviewToken('/a?casemate-preview=t'), '/a');
  assert.equal(withoutPreviewToken('/a?'), '/a?');
  assert.equal(withoutPreviewCookie({ cookie: 'a=1; casemate-preview=t; b=2' }), 'a=1; b=2');
  assert.equal(withoutPreviewCookie({ cookie: 'casemate-preview=t' }), undefined);
});

it('is kept by the browser for this host alone, as long as it opens something', () => {
  assert.equal(
    previewCookie('t', 1999, true),
    'casemate-preview=t; Path=/; Max-Age=1; HttpOnly; SameSite=Lax; Secure',
  );
});
