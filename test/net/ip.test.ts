import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import {
  compareIp,
  formatIp,
  type IpAddress,
  ip,
  ipFromBytes,
  ipToBytes,
  ipv4,
  ipv6,
  isLinkLocalIpv6,
  isUsableUnicast,
  parseIp,
} from '../../src/net/index.ts'

const anyAddress: fc.Arbitrary<IpAddress> = fc.oneof(
  fc.integer({ min: 0, max: 0xffff_ffff }).map(ipv4),
  fc.bigInt({ min: 0n, max: (1n << 128n) - 1n }).map(ipv6),
)

describe('text', () => {
  test.each([
    ['0.0.0.0', '0.0.0.0'],
    ['255.255.255.255', '255.255.255.255'],
    ['10.0.0.1', '10.0.0.1'],
    ['::', '::'],
    ['FD00:0:0:0:0:0:0:1', 'fd00::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'], // RFC 5952 §4.2.3: the first of two equal runs
    ['::ffff:10.0.0.1', '::ffff:a00:1'],
    ['::1.2.3.4', '::102:304'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
    ['1:2:3:4:5:6:1.2.3.4', '1:2:3:4:5:6:102:304'],
  ])('%s is written back as %s', (text, canonical) => {
    expect(formatIp(ip(text))).toBe(canonical)
  })

  test.each([
    '',
    '10.0.0',
    '10.0.0.256',
    '010.0.0.1',
    '0x0a.0.0.1',
    '10.0.0.1 ',
    'fe80::1%eth0',
    ':::',
    '1::2::3',
    '12345::',
    '::1.2.3',
    '::1.2.3.256',
    '::1.2.3.4:5',
    '1.2.3.4::',
    '1:2:3:4:5:6:7:1.2.3.4',
    'host',
    '10.0.0.1/8',
  ])('%j is no address', (text) => {
    expect(parseIp(text)).toBeNull()
  })

  test('parse(format(a)) is a, for every address', () => {
    fc.assert(fc.property(anyAddress, (address) => parseIp(formatIp(address)) === address))
  })
})

test('octets: from(to(a)) is a, at any offset; too few octets throw', () => {
  fc.assert(
    fc.property(anyAddress, fc.integer({ min: 0, max: 5 }), (address, offset) => {
      const octets = ipToBytes(address)
      const padded = new Uint8Array(offset + octets.length)
      padded.set(octets, offset)
      return ipFromBytes(octets.length === 4 ? 4 : 6, padded, offset) === address
    }),
  )
  expect(() => ipFromBytes(6, new Uint8Array(15))).toThrow(RangeError)
})

test('order is total: IPv4 before IPv6, then by value', () => {
  const sorted = ['10.0.0.2', '10.0.0.10', '200.0.0.1', '::1', 'fd00::1'].map(ip)
  expect([...sorted].reverse().sort(compareIp)).toEqual(sorted)
  expect(compareIp(ip('10.0.0.1'), ip('10.0.0.1'))).toBe(0)
})

test.each([
  ['fe80::1', true],
  ['febf:ffff::1', true],
  ['fec0::1', false],
  ['fe7f::1', false],
  ['10.0.0.1', false],
])('%s link-local: %s', (text, expected) => {
  expect(isLinkLocalIpv6(ip(text))).toBe(expected)
})

test.each([
  ['0.1.2.3', false],
  ['127.0.0.1', false],
  ['224.0.0.1', false],
  ['255.255.255.255', false],
  ['223.255.255.255', true],
  ['10.0.0.1', true],
  ['::', false],
  ['::1', false],
  ['ff02::1', false],
  ['::ffff:10.0.0.1', false],
  ['fe80::1', true],
  ['2001:db8::1', true],
])('%s can be a next hop or a peer: %s', (text, expected) => {
  expect(isUsableUnicast(ip(text))).toBe(expected)
})

test.each([-1, 0.5, 2 ** 32, Number.NaN])('ipv4(%d) throws', (value) => {
  expect(() => ipv4(value)).toThrow(RangeError)
})
