import { describe, expect, it } from 'vitest';
import { networkOf, toAddress } from '../../src/matrix/client-address.js';

describe('An address', () => {
  it.each([
    ['203.0.113.9', '203.0.113.9'],
    [' 203.0.113.9 ', '203.0.113.9'],
    ['203.0.113.9:51234', '203.0.113.9'],
    ['::ffff:203.0.113.9', '203.0.113.9'],
    ['::FFFF:cb00:7109', '203.0.113.9'],
    ['[::ffff:203.0.113.9]:80', '203.0.113.9'],
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['2001:db8::1', '2001:db8::1'],
    ['[2001:db8::1]', '2001:db8::1'],
    ['[2001:db8::1]:443', '2001:db8::1'],
    ['fe80::1%eth0', 'fe80::1'],
    ['[fe80::1%25eth0]:1', 'fe80::1'],
    ['::1', '::1'],
  ])('has one spelling: %s is %s', (text, address) => {
    expect(toAddress(text)).toBe(address);
  });

  it.each([
    '',
    'unknown',
    '_hidden',
    '<script>',
    '203.0.113',
    '203.0.113.999',
    '0x7f.1',
    '2130706433',
    '203.0.113.9:',
    '203.0.113.9:123456',
    '2001:db8::1::2',
    '[203.0.113.9',
    'localhost',
    `1${'1'.repeat(3_000)}`,
  ])('is not accepted from another text: %s', (text) => {
    expect(toAddress(text)).toBeNull();
  });
});

describe('The network of an address', () => {
  it('is the first 64 bits for IPv6, in any spelling, and the whole address for IPv4', () => {
    const spellings = ['2001:db8:0:1::1', '2001:DB8:0:1:FFFF::2', '2001:0db8:0000:0001::3'];
    expect(new Set(spellings.map((one) => networkOf(toAddress(one)!)))).toEqual(
      new Set(['2001:db8:0:1::/64']),
    );
    expect(networkOf('2001:db8:0:2::1')).not.toBe(networkOf('2001:db8:0:1::1'));
    expect(networkOf('203.0.113.9')).toBe('203.0.113.9');
    expect(networkOf('@alice:localhost')).toBe('@alice:localhost');
  });
});
