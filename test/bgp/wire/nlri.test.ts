import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import type { Family } from '../../../src/bgp/family.ts'
import { decodePrefixes, maxNlriOctets, NlriReader, writeNlri } from '../../../src/bgp/wire/index.ts'
import { formatPrefix, type Ipv4, type Ipv6, type Prefix, prefix } from '../../../src/net/index.ts'
import { bytesOf, hexOf } from './build.ts'
import { encodePrefixes, nlriRun } from './runs.ts'

const ipv4Prefix = fc
  .tuple(fc.integer({ min: 0, max: 0xffff_ffff }), fc.integer({ min: 0, max: 32 }))
  .map(([address, length]) => prefix(address as Ipv4, length))
const ipv6Prefix = fc
  .tuple(fc.bigInt({ min: 0n, max: (1n << 128n) - 1n }), fc.integer({ min: 0, max: 128 }))
  .map(([address, length]) => prefix(address as Ipv6, length))
const pathId = fc.integer({ min: 0, max: 0xffff_ffff })

function lists(family: Family): fc.Arbitrary<readonly Prefix[]> {
  return fc.array<Prefix>(family === 'IPv4Unicast' ? ipv4Prefix : ipv6Prefix, { maxLength: 30 })
}

describe.each(['IPv4Unicast', 'IPv6Unicast'] as const)('%s', (family) => {
  test('written and read again, prefixes are the same', () => {
    fc.assert(
      fc.property(lists(family), (prefixes) => {
        const run = nlriRun(family, encodePrefixes(prefixes))
        expect(run.count).toBe(prefixes.length)
        expect(decodePrefixes(run).map((each) => each.prefix)).toEqual(prefixes)
      }),
      { numRuns: 300 },
    )
  })

  test('[rule 123] with path identifiers too', () => {
    fc.assert(
      fc.property(lists(family), fc.array(pathId, { minLength: 30, maxLength: 30 }), (prefixes, ids) => {
        const run = nlriRun(family, encodePrefixes(prefixes, ids), true)
        expect(decodePrefixes(run)).toEqual(prefixes.map((each, index) => ({ prefix: each, pathId: ids[index] })))
      }),
      { numRuns: 300 },
    )
  })

  test('[rule 67] host bits in the octets do not reach the reader', () => {
    fc.assert(
      fc.property(family === 'IPv4Unicast' ? ipv4Prefix : ipv6Prefix, (wanted) => {
        const octets = encodePrefixes([wanted])
        const spare = octets.length === 1 ? 0 : (8 - (wanted.length & 7)) & 7
        octets[octets.length - 1] = (octets.at(-1) ?? 0) | ((1 << spare) - 1)
        if (octets.length === 1) octets[0] = wanted.length
        expect(decodePrefixes(nlriRun(family, octets)).map((each) => formatPrefix(each.prefix))).toEqual([formatPrefix(wanted)])
      }),
      { numRuns: 300 },
    )
  })
})

test('[rule 67] words are unsigned, without host bits, and of the reader’s last prefix alone', () => {
  const reader = new NlriReader()
  reader.reset(nlriRun('IPv6Unicast', bytesOf(`80 ${'ff'.repeat(16)} 21 ffffffffff 00`)))
  expect(reader.next()).toBe(true)
  expect([reader.word0, reader.word1, reader.word2, reader.word3, reader.length]).toEqual([...Array(4).fill(0xffff_ffff), 128])
  expect(reader.next()).toBe(true)
  expect([reader.word0, reader.word1, reader.word2, reader.word3, reader.length]).toEqual([0xffff_ffff, 0x8000_0000, 0, 0, 33])
  expect(reader.next()).toBe(true)
  expect([reader.word0, reader.word1, reader.length]).toEqual([0, 0, 0])
  expect(reader.next()).toBe(false)
  expect(reader.next()).toBe(false)
})

test('a reader forgets the run before', () => {
  const reader = new NlriReader()
  reader.reset(nlriRun('IPv6Unicast', bytesOf(`00000009 80 ${'ff'.repeat(16)}`), true))
  while (reader.next());
  reader.reset(nlriRun('IPv4Unicast', bytesOf('18c63364')))
  expect(reader.next()).toBe(true)
  expect([reader.word0, reader.word1, reader.word2, reader.word3, reader.length, reader.pathId]).toEqual([0xc633_6400, 0, 0, 0, 24, 0])
})

test('writeNlri says where the next goes, and needs no more room than promised', () => {
  const out = new Uint8Array(32)
  expect(writeNlri(out, 3, 24, 0xc633_6400, 0, 0, 0, null)).toBe(7)
  expect(hexOf(out.subarray(3, 7))).toBe('18c63364')
  expect(writeNlri(out, 0, 128, 1, 2, 3, 4, 0xffff_fffe)).toBe(maxNlriOctets('IPv6Unicast', true))
  expect(hexOf(out.subarray(0, 21))).toBe('fffffffe 80 00000001 00000002 00000003 00000004'.replaceAll(' ', ''))
  expect(maxNlriOctets('IPv4Unicast', false)).toBe(5)
  expect(maxNlriOctets('IPv4Unicast', true)).toBe(9)
  expect(maxNlriOctets('IPv6Unicast', false)).toBe(17)
})
