// What brought real routers down (bgp.md 3.1), sent to us.
import { describe, expect, test } from '@jest/globals'
import { decodeMessage, encodePathAttributes, formatAsPath, preOpenContext } from '../../../src/bgp/wire/index.ts'
import {
  announcedBy,
  attributeHex,
  attributesIn,
  bytesOf,
  codeOf,
  decoded,
  decodedUpdate,
  external,
  hexOf,
  mandatory,
  NEXT_HOP,
  ORIGIN_IGP,
  PATH_65001,
  PATH_65001_OLD,
  PREFIX,
  rawMessage,
  rawUpdate,
  sending,
} from './build.ts'

function withExtra(attribute: string): ReturnType<typeof decodedUpdate> {
  return decodedUpdate(rawUpdate({ attributes: mandatory('eBGP', attribute), nlri: PREFIX }))
}

describe('attributes', () => {
  test('2009, SuproNet: an AS_PATH of 765 ASes in three full segments is accepted and travels on', () => {
    const segment = `02ff${'0000fde9'.repeat(255)}`
    const update = withExtra(attributeHex(0x50, 2, segment.repeat(3)))
    const { asPath } = attributesIn(update)
    expect(asPath.map(({ asns }) => asns.length)).toEqual([255, 255, 255])
    expect(hexOf(encodePathAttributes(attributesIn(update), 'IPv4Unicast', sending()))).toContain(segment)
  })

  test('2009: AS4_PATH with AS_CONFED_SEQUENCE is cleaned, the route stays', () => {
    const attributes = [ORIGIN_IGP, PATH_65001_OLD, NEXT_HOP, 'c0 11 06 0301 0000fde8']
    const update = decodedUpdate(rawUpdate({ attributes, nlri: PREFIX }), external({ fourOctetAs: false }))
    expect(formatAsPath(attributesIn(update).asPath)).toBe('65001')
  })

  test('[rule 93] 2010, RIPE and Duke: attribute 99 of 3000 octets travels on byte-exact', () => {
    const update = withExtra(`d0 63 0bb8 ${'ab'.repeat(3000)}`)
    expect(attributesIn(update).unknown).toEqual([{ type: 99, flags: 0xc0, value: new Uint8Array(3000).fill(0xab) }])
    expect(hexOf(encodePathAttributes(attributesIn(update), 'IPv4Unicast', sending()))).toContain(`f0630bb8${'ab'.repeat(3000)}`)
  })

  test('[rule 58] 2012, Junos to OpenBGPD: reserved flag bits set', () => {
    const update = decodedUpdate(rawUpdate({ attributes: ['4f 01 01 00', PATH_65001, NEXT_HOP, 'c8 08 04 fde90001'], nlri: PREFIX }))
    expect(attributesIn(update).communities).toEqual([0xfde90001])
    expect(update.malformations).toEqual([])
  })

  test('2019, DISCO: experimental attribute 255 is not interpreted', () => {
    expect(attributesIn(withExtra('c0 ff 04 deadbeef')).unknown).toMatchObject([{ type: 255, value: bytesOf('deadbeef') }])
  })

  test('2023: damaged entropy label attribute 28 is carried, not parsed', () => {
    expect(attributesIn(withExtra('e0 1c 05 deadbeef00')).unknown).toMatchObject([{ type: 28, flags: 0xe0 }])
    expect(attributesIn(withExtra('e0 1c 00')).unknown).toMatchObject([{ type: 28, value: new Uint8Array(0) }])
  })

  test('2025: an all-zero prefix SID is discarded, so that nobody behind us resets over it', () => {
    const update = withExtra('c0 28 07 00000000000000')
    expect(announcedBy(update)).toEqual(['198.51.100.0/24'])
    expect(attributesIn(update).unknown).toEqual([])
    expect(update.malformations).toMatchObject([{ attributeType: 40, action: 'attributeDiscard' }])
  })

  test.each([
    ['CVE-2023-41359, AIGP of 1 octet', '80 1a 01 01'],
    ['CVE-2023-31490, prefix SID of a TLV header alone', 'c0 28 03 010007'],
    ['CVE-2024-31948, prefix SID TLV beyond the attribute', 'c0 28 04 0300ff00'],
    ['CVE-2023-38802 and 2024-44070, tunnel encapsulation TLV beyond the attribute', 'c0 17 06 000dffff0000'],
    ['tunnel encapsulation that is empty', 'c0 17 00'],
    ['ATTR_SET of 2 octets', 'c0 80 02 0000'],
  ])('%s: the route stays', (_name, attribute) => {
    expect(announcedBy(withExtra(attribute))).toEqual(['198.51.100.0/24'])
  })

  test('GoBGP #3392: ORIGIN without the transitive flag', () => {
    const update = decodedUpdate(rawUpdate({ attributes: ['00 01 01 00', PATH_65001, NEXT_HOP], nlri: PREFIX }))
    expect(update.announced).toEqual([])
  })

  test('CVE-2026-41643: AS4_PATH longer than AS_PATH, empty, or of sets only', () => {
    const context = external({ fourOctetAs: false })
    for (const value of ['', '0203 00010000 00010001 00010002', '0102 00010000 00010001', '0101 00010000 0101 00010001 0101 00010002']) {
      const attributes = [ORIGIN_IGP, PATH_65001_OLD, NEXT_HOP, attributeHex(0xc0, 17, value)]
      expect(decodeMessage(rawUpdate({ attributes, nlri: PREFIX }), context).ok).toBe(true)
    }
  })
})

describe('NLRI', () => {
  test('CVE-2023-38406, 38407: families with labels or flow specifications are not looked into', () => {
    const flow = attributeHex(0x80, 14, '0001 85 00 00 00')
    const labelled = attributeHex(0x80, 14, '0001 04 04 c0000201 00 00')
    for (const attribute of [flow, labelled]) {
      const update = decodedUpdate(rawUpdate({ attributes: [attribute, ...mandatory('eBGP')], nlri: PREFIX }))
      expect(announcedBy(update)).toEqual(['198.51.100.0/24'])
    }
  })

  test('CVE-2023-46752: MP_REACH_NLRI that is empty or cut short', () => {
    for (const value of ['', '0002', '000201', '00020110'])
      expect(codeOf(rawUpdate({ attributes: [attributeHex(0x80, 14, value), ...mandatory('eBGP')] }))).toBe('3/9')
  })

  test('[rule 144] CVE-2023-46753, 47235: no mandatory attributes, malformed and without NLRI, is not End-of-RIB', () => {
    expect(codeOf(rawUpdate({ attributes: ['c0 63 ff'] }))).toBe('3/1')
    expect(decodedUpdate(rawUpdate({ attributes: ['80 0f 03 000201', 'c0 63 00'] })).endOfRib).toBeNull()
  })

  test('a message full of the longest prefix list there can be', () => {
    const update = decodedUpdate(rawUpdate({ attributes: mandatory('eBGP'), nlri: '00'.repeat(4096 - 23 - 20) }))
    expect(update.announced[0]?.run.count).toBe(4053)
  })
})

describe('OPEN', () => {
  test.each([
    ['CVE-2022-36440, 40302: an extended length without octets behind it', `ff`],
    ['CVE-2022-43681: an extended parameter cut off', 'ff ff 0001 02'],
    ['GoBGP #2598: a capability length beyond its parameter', '04 0202 01ff'],
  ])('%s', (_name, rest) => {
    expect(codeOf(rawMessage(1, `04 fde9 005a 0a000001 ${rest}`), preOpenContext)).toBe('2/0')
  })

  test.each([
    ['CVE-2023-31489: a long-lived capability of 1 octet', '47 01 00'],
    ['CVE-2023-41361: a software version longer than its capability', '4b 02 ff41'],
    ['CVE-2024-31949: the dynamic capability', '43 00'],
    ['CVE-2018-5381: a capability of length zero does not stand still', '00 00 00 00 00 00'],
    ['an ORF capability that lies about its entries (CVE-2023-41360)', '03 05 0001000 1ff'],
  ])('%s is passed over', (_name, hex) => {
    const octets = hex.replaceAll(' ', '').length / 2
    const length = (value: number): string => value.toString(16).padStart(2, '0')
    const open = rawMessage(1, `04 fde9 005a 0a000001 ${length(octets + 2)} 02 ${length(octets)} ${hex}`)
    expect(decoded(open)).toMatchObject({ kind: 'open', myAs: 65001 })
  })
})
