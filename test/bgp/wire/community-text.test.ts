import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { community, WELL_KNOWN_COMMUNITY } from '../../../src/bgp/attributes.ts'
import {
  formatAsPath,
  formatCommunity,
  formatExtendedCommunity,
  formatLargeCommunity,
  isNonTransitive,
  parseCommunity,
  parseExtendedCommunity,
  parseLargeCommunity,
} from '../../../src/bgp/wire/index.ts'
import { asn } from '../../../src/net/index.ts'

describe('standard communities', () => {
  test('[rule 94] the well-known ones have their names and their values', () => {
    const values: Readonly<Record<string, number>> = {
      NO_EXPORT: 0xffff_ff01,
      NO_ADVERTISE: 0xffff_ff02,
      NO_EXPORT_SUBCONFED: 0xffff_ff03,
      NOPEER: 0xffff_ff04,
      GRACEFUL_SHUTDOWN: 0xffff_0000,
      ACCEPT_OWN: 0xffff_0001,
      LLGR_STALE: 0xffff_0006,
      NO_LLGR: 0xffff_0007,
      BLACKHOLE: 0xffff_029a,
    }
    expect({ ...WELL_KNOWN_COMMUNITY }).toEqual(values)
    for (const [name, value] of Object.entries(values)) {
      expect(formatCommunity(community(value))).toBe(name)
      for (const text of [name, name.toLowerCase(), name.replaceAll('_', '-')]) expect(parseCommunity(text)).toBe(value)
    }
    expect(parseCommunity('65535:65281')).toBe(WELL_KNOWN_COMMUNITY.NO_EXPORT)
  })

  test('every value can be written and read', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffff_ffff }), (value) =>
        expect(parseCommunity(formatCommunity(community(value)))).toBe(value),
      ),
    )
  })

  test.each(['', '65000', '65000:', ':1', '65536:1', '1:65536', '01:1', '1:1:1', '-1:1', '1:1 ', '1.0:1', 'NO_EXPORTS', '0x1:1'])(
    '%p is not one',
    (text) => {
      expect(parseCommunity(text)).toBeNull()
    },
  )
})

describe('large communities', () => {
  test('[rule 96] three decimals without leading zeros, nothing else', () => {
    expect(formatLargeCommunity([65001, 0, 4_294_967_295])).toBe('65001:0:4294967295')
    expect(parseLargeCommunity('65001:0:4294967295')).toEqual([65001, 0, 4_294_967_295])
    for (const text of ['1:2', '1:2:3:4', '01:2:3', '1:2:4294967296', '1:2:', 'a:2:3', '1:2:3 ', ''])
      expect(parseLargeCommunity(text)).toBeNull()
  })
})

describe('extended communities', () => {
  test.each([
    ['rt:65001:100', 0x0002_fde9_0000_0064n],
    ['rt:0:1', 0x0002_0000_0000_0001n],
    ['ro:65001:4294967295', 0x0003_fde9_ffff_ffffn],
    ['rt:10.0.0.1:7', 0x0102_0a00_0001_0007n],
    ['rt:4200000000:1', 0x0202_fa56_ea00_0001n],
    ['[rule 98] an AS over 65535 makes the four-octet kind', 0x0203_0001_0000_0005n],
    ['rt:0.65001:1', 0x0202_0000_fde9_0001n],
    ['lb:65001:1250000', 0x4004_fde9_4998_9680n],
    ['0x9999000000000001', 0x9999_0000_0000_0001n],
    ['0x4302fde900000001', 0x4302_fde9_0000_0001n],
  ])('[rule 98] %s, both ways', (name, value) => {
    const text = name.startsWith('[') ? 'ro:65536:5' : name
    expect(formatExtendedCommunity(value)).toBe(text)
    expect(parseExtendedCommunity(text)).toBe(value)
  })

  test('every value can be written and read', () => {
    const interesting = fc
      .tuple(
        fc.constantFrom(0x00n, 0x01n, 0x02n, 0x40n, 0x41n, 0x80n),
        fc.constantFrom(2n, 3n, 4n, 11n),
        fc.bigInt({ min: 0n, max: (1n << 48n) - 1n }),
      )
      .map(([type, subtype, rest]) => (type << 56n) | (subtype << 48n) | rest)
    const any = fc.oneof(interesting, fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }))
    fc.assert(
      fc.property(any, (value) => expect(parseExtendedCommunity(formatExtendedCommunity(value))).toBe(value)),
      { numRuns: 1000 },
    )
  })

  test.each([
    '',
    'rt',
    'rt:1',
    'rt:1:',
    'rt:65001:4294967296',
    'rt:10.0.0.1:65536',
    'rt:4200000000:65536',
    'xx:1:1',
    'rt:1:1:1',
    '0x1',
    'rt:2001:1:1',
    'lb:65536:1',
    'rt:01:1',
  ])('%p is not one', (text) => {
    expect(parseExtendedCommunity(text)).toBeNull()
  })

  test('[rule 97] the bit that ends one at the border of the AS', () => {
    expect(isNonTransitive(0x4004_0000_0000_0000n)).toBe(true)
    expect(isNonTransitive(0x0002_0000_0000_0000n)).toBe(false)
  })
})

describe('AS paths', () => {
  test('as people read them', () => {
    const path = [
      { type: 'confedSequence', asns: [asn(1), asn(2)] },
      { type: 'sequence', asns: [asn(65001), asn(4_200_000_000)] },
      { type: 'set', asns: [asn(3), asn(4)] },
      { type: 'confedSet', asns: [asn(5), asn(6)] },
    ] as const
    expect(formatAsPath(path)).toBe('(1 2) 65001 4200000000 {3,4} [5,6]')
    expect(formatAsPath([])).toBe('')
  })
})
