// The small languages inside manifests: communities, peer addresses, columns, near misses.
import { describe, expect, test } from '@jest/globals'
import { cidr, formatIp } from '../../src/net/index.ts'
import { blockName, columnOf, parseCommunityText, parsePeerAddress } from '../../src/store/index.ts'
import { editDistance, nearMiss } from '../../src/store/near-miss.ts'

describe('communities', () => {
  test.each([
    ['64512:100', 'standard', 0xfc00_0064],
    ['0:0', 'standard', 0],
    ['65535:65535', 'standard', 0xffff_ffff],
    ['no-export', 'standard', 0xffff_ff01],
    ['NO_EXPORT', 'standard', 0xffff_ff01],
    ['graceful-shutdown', 'standard', 0xffff_0000],
    ['blackhole', 'standard', 0xffff_029a],
    ['llgr-stale', 'standard', 0xffff_0006],
  ] as const)('%s (RFC 1997)', (text, kind, value) => {
    expect(parseCommunityText(text)).toEqual({ kind, value })
  })

  test('three parts are a large community (RFC 8092)', () => {
    expect(parseCommunityText('4200000000:0:4294967295')).toEqual({ kind: 'large', value: [4_200_000_000, 0, 4_294_967_295] })
  })

  test.each([
    ['rt:64512:100', 0x0002_fc00_0000_0064n], // two-octet AS, RFC 4360 §4
    ['ro:64512:4294967295', 0x0003_fc00_ffff_ffffn],
    ['soo:64512:4294967295', 0x0003_fc00_ffff_ffffn],
    ['rt:4200000000:7', 0x0202_fa56_ea00_0007n], // four-octet AS, RFC 5668 §2
    ['rt:10.0.0.1:7', 0x0102_0a00_0001_0007n], // IPv4 address, RFC 4360 §3.2
    ['0x4300000000000001', 0x4300_0000_0000_0001n],
  ])('%s is extended', (text, value) => {
    expect(parseCommunityText(text)).toEqual({ kind: 'extended', value })
  })

  test.each([
    '',
    '1',
    '65536:1',
    '1:65536',
    '-1:2',
    '01:2',
    '1:2:3:4',
    '1:2:',
    '4294967296:1:1',
    'rt:1',
    'rt:4200000000:65536',
    'rt:10.0.0.256:1',
    'rt:10.0.0.1:65536',
    'rt:x:1',
    'export',
    '0x12',
    'a:b',
    ' 1:2',
  ])('%j is none', (text) => {
    expect(parseCommunityText(text)).toBeNull()
  })
})

describe('peer addresses', () => {
  test.each([
    ['10.0.0.1', '10.0.0.1', null, null],
    ['10.0.0.1:1179', '10.0.0.1', null, 1179],
    ['fd00::1', 'fd00::1', null, null],
    ['[fd00::1]', 'fd00::1', null, null],
    ['[fd00::1]:1179', 'fd00::1', null, 1179],
    ['fe80::1%eth0', 'fe80::1', 'eth0', null],
    ['[fe80::1%eth0.100]:65535', 'fe80::1', 'eth0.100', 65_535],
  ])('%s', (text, address, device, port) => {
    const parsed = parsePeerAddress(text)
    expect(parsed && { ...parsed, address: formatIp(parsed.address) }).toEqual({ address, interface: device, port })
  })

  test.each([
    '',
    '10.0.0',
    '10.0.0.1:',
    '10.0.0.1:0',
    '10.0.0.1:65536',
    '[10.0.0.1]:179',
    'fe80::1',
    'fd00::1%eth0',
    'fe80::1%',
    'fe80::1%a b',
    'fe80::1%sixteencharacters',
    '[fd00::1',
    '0.0.0.0',
    '127.0.0.1',
    '::',
    '::1',
    'ff02::1',
    '10.0.0.1%eth0',
    'host',
  ])('%j is none', (text) => {
    expect(parsePeerAddress(text)).toBeNull()
  })
})

describe('columns', () => {
  const object = {
    spec: { cidr: '10.0.0.0/8', list: ['a', 'b'], on: false, items: [{ x: 1 }, { x: 2 }, {}] },
    metadata: { annotations: { 'a.b/c': 'v' } },
  }
  test.each([
    ['.spec.cidr', '10.0.0.0/8'],
    ['.spec.list', 'a,b'],
    ['.spec.on', 'false'],
    ['.spec.items[*].x', '1,2'],
    ['.metadata.annotations["a.b/c"]', 'v'],
    ['.spec.none.deeper', ''],
    ['.toString', ''],
  ])('%s', (path, text) => {
    expect(columnOf(object, path)).toBe(text)
  })
})

describe('near misses', () => {
  test.each([
    ['asnumber', 'asNumber'],
    ['asNumbr', 'asNumber'],
    ['sa', null],
    ['holdtiem', 'holdTime'],
    ['hold', null],
    ['completelyElse', null],
    ['x'.repeat(100), null],
  ])('%s', (word, expected) => {
    expect(nearMiss(word, ['asNumber', 'holdTime', 'peerIP'])).toBe(expected)
  })

  test.each([
    ['', '', 0],
    ['abc', '', 3],
    ['abc', 'acb', 1],
    ['kitten', 'sitting', 3],
  ])('%j to %j takes %i', (a, b, distance) => {
    expect(editDistance(a, b)).toBe(distance)
    expect(editDistance(b, a)).toBe(distance)
  })
})

test.each([
  ['10.244.0.0/26', '10-244-0-0-26'],
  ['fd00:10:244::40/122', 'fd00-10-244--40-122'],
  ['fd00:10:244::/122', 'fd00-10-244--122'],
])('the block %s is named %s', (text, name) => {
  expect(blockName(cidr(text))).toBe(name)
})
