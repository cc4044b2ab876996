/** Addresses: embedded IPv4 comes out as IPv4, private ranges are known, strict networks. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { inCidr, parseAddress, parseCidr, reachOf } from './address.ts';

function reach(text: string): string | undefined {
  const address = parseAddress(text);
  return address === undefined ? undefined : reachOf(address);
}

it('never reaches metadata, loopback, link-local and multicast, however IPv6 carries them', () => {
  const never = [
    ...[
      '169.254.169.254',
      '169.254.170.2',
      '127.0.0.1',
      '0.0.0.0',
      '224.0.0.1',
      '255.255.255.255',
      '100.100.100.200',
    ],
    ...['::1', '::', 'fe80::1', 'ff02::1', 'fd00:ec2::254', '::ffff:169.254.169.254', '::ffff:a9fe:a9fe'],
    ...[
      '64:ff9b::169.254.169.254',
      '64:ff9b::a9fe:a9fe',
      '64:ff9b:1::7f00:1',
      '2002:7f00:1::',
      '::127.0.0.1',
    ],
  ];
  for (const text of never) assert.equal(reach(text), 'never', text);
});

it('tells private from public', () => {
  for (const text of [
    '10.1.2.3',
    '172.31.0.1',
    '192.168.1.1',
    '100.64.0.1',
    '198.18.0.7',
    'fc00::1',
    '64:ff9b::10.0.0.1',
  ])
    assert.equal(reach(text), 'private', text);
  for (const text of ['8.8.8.8', '172.32.0.1', '2606:4700::1111', '64:ff9b::8.8.8.8'])
    assert.equal(reach(text), 'public', text);
});

it('reads no address that another parser could read differently', () => {
  for (const text of [
    '0177.0.0.1',
    '127.1',
    '0x7f.0.0.1',
    '2130706433',
    '1.2.3.4 ',
    'fe80::1%eth0',
    '1.2.3',
    '1.2.3.04',
  ])
    assert.equal(reach(text), undefined, text);
});

it('knows what lies in a network', () => {
  fc.assert(
    fc.property(fc.ipV4(), fc.integer({ min: 0, max: 32 }), (text, prefix) => {
      const address = parseAddress(text);
      assert.ok(address !== undefined);
      const shift = BigInt(32 - prefix);
      const network = { bits: 32 as const, value: (address.value >> shift) << shift, prefix };
      assert.ok(inCidr(network, address));
      assert.ok(!inCidr(network, { ...address, bits: 128 }));
    }),
  );
  fc.assert(fc.property(fc.ipV6(), (text) => assert.ok(parseAddress(text) !== undefined, text)));
  for (const text of ['10.0.0.1/8', '10.0.0.0/33', '10.0.0.0', '::ffff:10.0.0.0/104', 'x/8'])
    assert.throws(() => parseCidr(text), { code: 'invalid_request' }, text);
});
