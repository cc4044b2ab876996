/** Reading nft's account of what was refused. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { parseDenials } from './denials.ts';

it('reads elements with and without their timeouts, and skips what it does not know', () => {
  const elem = [
    { elem: { val: { concat: ['cmabc', '169.254.169.254', 'tcp', 80] }, timeout: 60, expires: 59 } },
    { concat: ['cmabc', '8.8.8.8', 'udp', 53] },
    { concat: ['cmabc', '8.8.8.8', 'icmp', 0] },
    'nonsense',
  ];
  const json = JSON.stringify({ nftables: [{ metainfo: {} }, { set: { name: 'denied', elem } }] });
  assert.deepEqual(parseDenials(json), [
    { gateInterface: 'cmabc', address: '169.254.169.254', protocol: 'tcp', port: 80 },
    { gateInterface: 'cmabc', address: '8.8.8.8', protocol: 'udp', port: 53 },
  ]);
});

it('reads protocols that nft says by their numbers, on a host that has no names for them', () => {
  const elem = [17, 6, 1].map((protocol) => ({ concat: ['cmabc', '8.8.8.8', protocol, 53] }));
  const denials = parseDenials(JSON.stringify({ nftables: [{ set: { name: 'denied', elem } }] }));
  assert.deepEqual(
    denials.map(({ protocol }) => protocol),
    ['udp', 'tcp'],
  );
});

it('reads an empty set', () => {
  assert.deepEqual(parseDenials('{"nftables":[{"set":{"name":"denied"}}]}'), []);
});
