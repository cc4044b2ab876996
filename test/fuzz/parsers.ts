/** The parsers of hostile bytes, each with what has to hold for any input. A property that fails throws. */
import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { CasemateError } from '../../src/base/errors.ts';
import { readClientHello } from '../../src/egress/clientHello.ts';
import { readQuery, writeAnswer } from '../../src/egress/dnsMessage.ts';
import { readLine } from '../../src/egress/exchange.ts';
import { asObject, endToEnd, joinCookies, pairs } from '../../src/egress/httpHeaders.ts';
import type { OpenFlow } from '../../src/egress/openFlow.ts';
import { previewTokenOf, withoutPreviewCookie, withoutPreviewToken } from '../../src/gateway/previewToken.ts';
import { FrameDecoder } from '../../src/guest/frame.ts';
import { inCidr, parseAddress, parseCidr, reachOf } from '../../src/policy/address.ts';
import { canonicalHost, hostMatches, parseHostPattern } from '../../src/policy/host.ts';
import { judgeConnection, judgeName, judgeRequest, protocolOf } from '../../src/policy/match.ts';
import { isPlainPath, narrow, parseLevel } from '../../src/policy/policy.ts';

const presets = { pip: [], npm: [], apt: [], cargo: [], go: [] };

/** A refusal in words is an answer; anything else that is thrown is a defect. */
function orRefused<Result>(work: () => Result): Result | undefined {
  try {
    return work();
  } catch (error) {
    if (error instanceof CasemateError && error.code !== 'internal') return undefined;
    throw error;
  }
}

function dns(bytes: Buffer): void {
  const query = readQuery(bytes);
  if (query === undefined || 'refuse' in query) return;
  assert.match(query.name, /^[\x21-\x7e]*$/);
  const answer = writeAnswer(query, 'ok', { bytes: Buffer.from([198, 18, 1, 2]), ttlSeconds: 1 });
  assert.equal(answer.length, 12 + query.question.length + 16);
  const name = canonicalHost(query.name);
  assert.ok(
    name === undefined ||
      bytes
        .toString('latin1')
        .toLowerCase()
        .includes(name.split('.')[0] ?? ''),
  );
}

function hello(bytes: Buffer): void {
  for (const second of [false, true]) {
    const read = readClientHello(bytes, { second });
    if (read.state !== 'hello') continue;
    const { serverName, bytes: length } = read.hello;
    assert.equal(canonicalHost(serverName), serverName);
    assert.ok(length <= bytes.length);
    assert.deepEqual(readClientHello(bytes.subarray(0, length), { second }), read);
  }
}

function host(bytes: Buffer): void {
  for (const text of [bytes.toString('latin1'), bytes.toString('utf8')]) {
    const name = canonicalHost(text);
    if (name !== undefined) {
      assert.equal(canonicalHost(name), name);
      assert.equal(parseAddress(name), undefined);
      assert.equal(URL.parse(`http://${name}/`)?.hostname ?? name, name);
    }
    const pattern = orRefused(() => parseHostPattern(text));
    if (pattern?.wildcard === true) assert.ok(!hostMatches(pattern, pattern.name));
  }
}

function address(bytes: Buffer): void {
  const text = bytes.toString('latin1');
  const read = parseAddress(text);
  if (read !== undefined) {
    assert.ok(read.value >= 0n && read.value < 1n << BigInt(read.bits));
    assert.ok(['never', 'private', 'public'].includes(reachOf(read)));
  }
  const cidr = orRefused(() => parseCidr(text));
  if (cidr !== undefined) assert.ok(inCidr(cidr, cidr));
}

function policy(bytes: Buffer): void {
  let written: unknown;
  try {
    written = JSON.parse(bytes.toString('utf8'));
  } catch {
    return;
  }
  const level = orRefused(() => parseLevel(written, { name: 'sandbox', administrator: false, presets }));
  if (level === undefined) return;
  const closed = parseLevel({}, { name: 'tenant', administrator: false, presets });
  for (const rule of level.allow) {
    const name = rule.host === undefined ? undefined : `${rule.host.wildcard ? 'a.' : ''}${rule.host.name}`;
    const port = rule.ports[0] ?? 443;
    if (name === undefined) continue;
    const target = { host: name, port };
    const open = narrow([level]);
    const narrowed = narrow([level, closed]);
    const protocol = protocolOf(open, target);
    judgeName(open, name);
    judgeRequest(open, target, protocol, { method: 'GET', path: rule.paths?.[0] ?? '/' });
    assert.equal(judgeName(narrowed, name).allowed, false);
    assert.equal(judgeConnection(narrowed, target, protocol).allowed, false);
    for (const path of rule.paths ?? []) assert.ok(isPlainPath(path));
  }
}

function headers(bytes: Buffer): void {
  const raw = bytes.toString('latin1').split('\n');
  const kept = endToEnd(raw);
  assert.equal(kept.length % 2, 0);
  for (const [name] of pairs(kept))
    assert.doesNotMatch(name, /^(:.*|transfer-encoding|connection|upgrade)$/i);
  assert.deepEqual(endToEnd(kept), kept);
  const cookies = pairs(joinCookies(kept)).filter(([name]) => name.toLowerCase() === 'cookie');
  assert.ok(cookies.length <= 1);
  for (const name of Object.keys(asObject(kept))) assert.equal(name, name.toLowerCase());
}

/** What passes asks for the connection's host alone, however else a server might read it. */
function request(bytes: Buffer): void {
  const [method, url = '', ...rawHeaders] = bytes.toString('latin1').split('\n');
  const name = 'api.example.com';
  const flow = { target: { host: name, port: 443 }, protocol: 'tls', name } as unknown as OpenFlow;
  const line = readLine(flow, { method, url, rawHeaders } as unknown as IncomingMessage);
  if ('allowed' in line) return;
  assert.match(line.path, /^(\/|\*$)/);
  const hosts = pairs(rawHeaders).filter(([header]) => header.toLowerCase() === 'host');
  assert.equal(hosts.length, 1);
  const named = [`https://${hosts[0]?.[1]}`, ...(url === line.path ? [] : [url])];
  for (const place of named.map((text) => new URL(text))) {
    assert.equal(place.host.replace(/\.$/, ''), name);
    assert.equal(place.username, '');
  }
}

/** Whoever is inside of the sandbox sees nothing of a signed URL's token. */
function preview(bytes: Buffer): void {
  const [url = '', cookie = ''] = bytes.toString('latin1').split('\n');
  const seen = { url: withoutPreviewToken(url), headers: { cookie: withoutPreviewCookie({ cookie }) } };
  assert.equal(previewTokenOf(seen as unknown as IncomingMessage), undefined);
  assert.ok(seen.url.length <= url.length && url.startsWith(seen.url.split('?')[0] ?? ''));
}

/** The same frames, however the bytes are cut. */
function frame(bytes: Buffer): void {
  const read = (size: number): string => {
    const decoder = new FrameDecoder();
    const frames: unknown[] = [];
    for (let at = 0; at < bytes.length; at += size) {
      decoder.push(bytes.subarray(at, at + size));
      try {
        for (let next = decoder.next(); next !== undefined; next = decoder.next()) {
          frames.push([next.type, next.end, next.channel, next.stream, next.payload.toString('hex')]);
        }
      } catch (error) {
        if (!(error instanceof CasemateError)) throw error;
        return JSON.stringify([frames, error.message]);
      }
    }
    return JSON.stringify(frames);
  };
  assert.equal(read(7), read(Math.max(1, bytes.length)));
}

export const parsers: Readonly<Record<string, (bytes: Buffer) => void>> = {
  dns,
  hello,
  host,
  address,
  policy,
  headers,
  request,
  preview,
  frame,
};
