import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { type AsPathSegment, ORIGINATED, type PathAttributes } from '../../../src/bgp/attributes.ts'
import { asPathHops, encodePathAttributes, formatAsPath, mergeAs4Path } from '../../../src/bgp/wire/index.ts'
import { asn, ip } from '../../../src/net/index.ts'
import {
  attributeHex,
  attributesIn,
  decodedUpdate,
  external,
  hexOf,
  LOCAL_PREF,
  NEXT_HOP,
  ORIGIN_IGP,
  PATH_65001_OLD,
  PREFIX,
  rawUpdate,
  sending,
} from './build.ts'

const OLD = external({ fourOctetAs: false })
const SENDING_OLD = sending({ fourOctetAs: false })

function segments(...list: readonly (readonly [AsPathSegment['type'], ...number[]])[]): readonly AsPathSegment[] {
  return list.map(([type, ...asns]) => ({ type, asns: asns.map((number) => asn(number)) }))
}

/** What an old speaker's attributes come to. */
function received(...attributes: readonly string[]): PathAttributes {
  return attributesIn(decodedUpdate(rawUpdate({ attributes: [ORIGIN_IGP, NEXT_HOP, ...attributes], nlri: PREFIX }), OLD))
}

function sent(path: readonly AsPathSegment[], context = SENDING_OLD, more: Partial<PathAttributes> = {}): string {
  const attributes = { ...ORIGINATED, asPath: path, nextHop: { address: ip('192.0.2.1'), linkLocal: null }, ...more }
  return hexOf(encodePathAttributes(attributes, 'IPv4Unicast', context))
}

describe('the width of an AS number', () => {
  test('[rule 77] is what was agreed on, four octets or two, never guessed', () => {
    const wide = attributeHex(0x40, 2, '0202 0000fde9 fffffffe')
    const update = decodedUpdate(rawUpdate({ attributes: [ORIGIN_IGP, NEXT_HOP, wide], nlri: PREFIX }))
    expect(formatAsPath(attributesIn(update).asPath)).toBe('65001 4294967294')
    expect(formatAsPath(received(attributeHex(0x40, 2, '0202 fde9 0001')).asPath)).toBe('65001 1')
  })

  test('[rule 77] a path of the other width is malformed, or means something else, but is never taken for the right one', () => {
    const narrow = decodedUpdate(rawUpdate({ attributes: [ORIGIN_IGP, NEXT_HOP, PATH_65001_OLD], nlri: PREFIX }))
    expect(narrow.announced).toEqual([])
    const wide = decodedUpdate(rawUpdate({ attributes: [ORIGIN_IGP, NEXT_HOP, attributeHex(0x40, 2, '0201 0000fde9')], nlri: PREFIX }), OLD)
    expect(wide.announced).toEqual([])
  })

  test('AGGREGATOR has six octets from an old speaker', () => {
    expect(received(PATH_65001_OLD, attributeHex(0xc0, 7, 'fde9 c0000202')).aggregator).toEqual({ asn: 65001, address: 0xc0000202 })
    expect(received(PATH_65001_OLD, attributeHex(0xc0, 7, '0000fde9 c0000202')).aggregator).toBeNull()
  })
})

describe('sending AS_PATH', () => {
  test('[rule 78] a sequence of more than 255 ASes is split, never 256 in one', () => {
    const long = Array.from({ length: 600 }, (_, index) => index + 1)
    const hex = sent(segments(['sequence', ...long]), sending())
    const { asPath } = attributesIn(decodedUpdate(rawUpdate({ attributes: [hex], nlri: PREFIX }), external({ enforceFirstAs: false })))
    expect(asPath.map(({ asns }) => asns.length)).toEqual([255, 255, 90])
    expect(asPath.flatMap(({ asns }) => asns)).toEqual(long)
  })

  test('[rule 79] an empty path is an attribute of length 0', () => {
    expect(sent([], sending({ peerType: 'iBGP' }))).toContain('400200')
  })

  test('[rule 101] an old speaker gets AS_TRANS for what does not fit, and AS4_PATH only then', () => {
    expect(sent(segments(['sequence', 65001, 65536, 7]))).toBe(
      '400101004002080203fde95ba00007400304c0000201c0110e02030000fde90001000000000007',
    )
    expect(sent(segments(['sequence', 65001, 65535]))).toBe('400101004002060202fde9ffff400304c0000201')
    expect(sent(segments(['sequence', 65001, 65536]), sending())).not.toContain('c011')
  })

  test('[rule 101] confederation segments are never in AS4_PATH', () => {
    const hex = sent(segments(['confedSequence', 65100], ['sequence', 65536]))
    expect(hex).toContain('4002080301fe4c02015ba0')
    expect(hex).toContain('c011060201 00010000'.replace(' ', ''))
    expect(sent(segments(['confedSequence', 65536], ['sequence', 1]))).not.toContain('c011')
  })

  test('[rule 101] AGGREGATOR towards an old speaker, with AS4_AGGREGATOR only if it does not fit', () => {
    const address = 0xc0000202 as NonNullable<PathAttributes['aggregator']>['address']
    const small = sent([], SENDING_OLD, { aggregator: { asn: asn(65001), address } })
    expect(small).toContain('c00706fde9c0000202')
    expect(small).not.toContain('c012')
    const large = sent([], SENDING_OLD, { aggregator: { asn: asn(65536), address } })
    expect(large).toContain('c007065ba0c0000202')
    expect(large).toContain('c0120800010000c0000202')
    expect(sent([], sending(), { aggregator: { asn: asn(65536), address } })).toContain('c0070800010000c0000202')
  })
})

describe('AS4_PATH from an old speaker', () => {
  const path = attributeHex(0x40, 2, '0203 fde9 5ba0 5ba0')

  test('[rule 104] takes the place of as many trailing ASes as it has', () => {
    expect(formatAsPath(received(path, attributeHex(0xc0, 17, '0202 00010000 00010001')).asPath)).toBe('65001 65536 65537')
    expect(received(path, attributeHex(0xc0, 17, '0202 00010000 00010001')).asPath).toHaveLength(1)
  })

  test('[rule 104] is ignored if it is longer than AS_PATH', () => {
    const longer = attributeHex(0xc0, 17, '0204 0000fde9 00010000 00010001 00010002')
    expect(formatAsPath(received(path, longer).asPath)).toBe('65001 23456 23456')
  })

  test('[rule 82] the first AS is that of the merged path: an AS4_PATH cannot hide it', () => {
    const update = rawUpdate({
      attributes: [ORIGIN_IGP, NEXT_HOP, path, attributeHex(0xc0, 17, '0203 00010002 00010000 00010001')],
      nlri: PREFIX,
    })
    expect(decodedUpdate(update, OLD).announced).toEqual([])
  })

  test('[rule 103] is ignored when AS4_AGGREGATOR stands beside an AGGREGATOR that is not AS_TRANS', () => {
    const as4Path = attributeHex(0xc0, 17, '0202 00010000 00010001')
    const as4Aggregator = attributeHex(0xc0, 18, '00010005 c0000203')
    const aggregated = received(path, as4Path, as4Aggregator, attributeHex(0xc0, 7, 'fde9 c0000202'))
    expect(formatAsPath(aggregated.asPath)).toBe('65001 23456 23456')
    expect(aggregated.aggregator).toEqual({ asn: 65001, address: 0xc0000202 })
    const carried = received(path, as4Path, as4Aggregator, attributeHex(0xc0, 7, '5ba0 c0000202'))
    expect(formatAsPath(carried.asPath)).toBe('65001 65536 65537')
    expect(carried.aggregator).toEqual({ asn: 65541, address: 0xc0000203 })
  })

  test('[rule 103] is used when AGGREGATOR fits two octets and there is no AS4_AGGREGATOR: nobody has aggregated since', () => {
    const both = received(path, attributeHex(0xc0, 17, '0202 00010000 00010001'), attributeHex(0xc0, 7, 'fde9 c0000202'))
    expect(formatAsPath(both.asPath)).toBe('65001 65536 65537')
  })

  test('AS4_AGGREGATOR without AGGREGATOR is nothing', () => {
    expect(received(PATH_65001_OLD, attributeHex(0xc0, 18, '00010005 c0000203')).aggregator).toBeNull()
  })

  test.each([
    ['an unknown segment type', '0901 00010000'],
    ['an empty segment', '0200'],
    ['an overrun', '0209 00010000'],
    ['[rule 84] AS 0', '0201 00000000'],
    ['a stray octet', '02'],
  ])('[rule 106] with %s is discarded alone', (_name, value) => {
    const update = decodedUpdate(rawUpdate({ attributes: [ORIGIN_IGP, NEXT_HOP, path, attributeHex(0xc0, 17, value)], nlri: PREFIX }), OLD)
    expect(formatAsPath(attributesIn(update).asPath)).toBe('65001 23456 23456')
    expect(update.malformations).toMatchObject([{ attributeType: 17, action: 'attributeDiscard' }])
  })

  test('[rule 106] with confederation segments loses those and keeps the rest (RFC 6793 §6)', () => {
    const as4Path = attributeHex(0xc0, 17, '0301 0000fde8 0202 00010000 00010001')
    const update = decodedUpdate(rawUpdate({ attributes: [ORIGIN_IGP, NEXT_HOP, path, as4Path], nlri: PREFIX }), OLD)
    expect(formatAsPath(attributesIn(update).asPath)).toBe('65001 65536 65537')
    expect(update.malformations).toMatchObject([{ attributeType: 17, action: 'attributeDiscard' }])
  })

  test.each([
    ['of damaged length', '00010005 c00002'],
    ['[rule 84] of AS 0', '00000000 c0000203'],
  ])('AS4_AGGREGATOR %s is discarded alone', (_name, value) => {
    const attributes = [ORIGIN_IGP, NEXT_HOP, path, attributeHex(0xc0, 7, '5ba0 c0000202'), attributeHex(0xc0, 18, value)]
    const update = decodedUpdate(rawUpdate({ attributes, nlri: PREFIX }), OLD)
    expect(attributesIn(update).aggregator).toEqual({ asn: 23456, address: 0xc0000202 })
    expect(update.malformations).toMatchObject([{ attributeType: 18, action: 'attributeDiscard' }])
  })
})

describe('merging by whole segments', () => {
  test.each([
    ['an empty AS4_PATH changes nothing', segments(['sequence', 1, 23456]), segments(), '1 23456'],
    ['a sequence is split where AS4_PATH begins', segments(['sequence', 1, 2, 23456]), segments(['sequence', 70000]), '1 2 70000'],
    ['a set counts as one', segments(['sequence', 1, 2], ['set', 23456, 5]), segments(['set', 70000, 5]), '1 2 {70000,5}'],
    ['a set alone', segments(['set', 23456, 5]), segments(['set', 70000, 5]), '{70000,5}'],
    ['a set in front is kept whole', segments(['set', 1, 2], ['sequence', 23456]), segments(['sequence', 70000]), '{1,2} 70000'],
    ['the cut falls between segments', segments(['sequence', 1], ['sequence', 23456, 3]), segments(['sequence', 70000, 3]), '1 70000 3'],
    [
      'an AS_PATH of only confederation segments has no hops to give',
      segments(['confedSequence', 1, 2]),
      segments(['sequence', 70000]),
      '(1 2)',
    ],
    ['an empty AS_PATH', segments(), segments(['sequence', 70000]), ''],
    [
      'confederation segments in front stay',
      segments(['confedSequence', 9], ['sequence', 1, 23456]),
      segments(['sequence', 70000]),
      '(9) 1 70000',
    ],
  ])('[rule 105] %s', (_name, asPath, as4Path, expected) => {
    expect(formatAsPath(mergeAs4Path(asPath, as4Path))).toBe(expected)
  })

  test('[rule 105] a joined sequence never exceeds 255', () => {
    const long = Array.from({ length: 255 }, () => 23456)
    const merged = mergeAs4Path(segments(['sequence', 1, ...long.slice(1)], ['sequence', 5]), segments(['sequence', ...long.slice(1), 5]))
    expect(merged.every(({ asns }) => asns.length <= 255)).toBe(true)
    expect(asPathHops(merged)).toBe(256)
  })

  const segment = fc.record({
    type: fc.constantFrom<AsPathSegment['type']>('sequence', 'set', 'confedSequence', 'confedSet'),
    asns: fc.array(
      fc.integer({ min: 1, max: 0xffff_ffff }).map((number) => asn(number)),
      { minLength: 1, maxLength: 12 },
    ),
  })

  test('[rule 105] it is total: the hops of AS_PATH, no empty segment, and the end of AS4_PATH if that is no longer', () => {
    fc.assert(
      fc.property(fc.array(segment, { maxLength: 6 }), fc.array(segment, { maxLength: 6 }), (asPath, as4) => {
        const as4Path = as4.filter(({ type }) => type === 'sequence' || type === 'set')
        const merged = mergeAs4Path(asPath, as4Path)
        expect(asPathHops(merged)).toBe(asPathHops(asPath))
        expect(merged.every(({ asns }) => asns.length > 0)).toBe(true)
        if (asPathHops(as4Path) > asPathHops(asPath)) expect(merged).toEqual(asPath)
        else if (as4Path.length > 0) expect(formatAsPath(merged).endsWith(formatAsPath(as4Path))).toBe(true)
      }),
      { numRuns: 500 },
    )
  })

  test('[rules 101, 104] what goes through an old speaker comes back as it was', () => {
    const plain = segment.filter(({ type }) => type === 'sequence')
    fc.assert(
      fc.property(fc.array(plain, { maxLength: 4 }), (path) => {
        const hex = sent(path)
        const update = decodedUpdate(
          rawUpdate({ attributes: [hex, LOCAL_PREF], nlri: PREFIX }),
          external({ fourOctetAs: false, peerType: 'iBGP' }),
        )
        const back = attributesIn(update).asPath
        expect(back.flatMap(({ asns }) => asns)).toEqual(path.flatMap(({ asns }) => asns))
      }),
      { numRuns: 300 },
    )
  })
})
