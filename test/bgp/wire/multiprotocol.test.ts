import { describe, expect, test } from '@jest/globals'
import { type DecodeContext, encodeEndOfRib } from '../../../src/bgp/wire/index.ts'
import { formatIp } from '../../../src/net/index.ts'
import {
  announcedBy,
  attributeHex,
  attributesIn,
  BOTH,
  codeOf,
  decoded,
  decodedUpdate,
  external,
  internal,
  LOCAL_PREF,
  mandatory,
  ORIGIN_IGP,
  PATH_65001,
  PREFIX,
  REACH_V6,
  rawMessage,
  rawUpdate,
  withdrawnBy,
} from './build.ts'

const GLOBAL = '20010db8000000000000000000000001'
const LOCAL = 'fe800000000000000000000000000001'
const NLRI_V6 = '30 20010db80001'
const BARE = [ORIGIN_IGP, PATH_65001]

function reachV6(nextHop: string, nlri = NLRI_V6): string {
  const octets = nextHop.replaceAll(/\s/g, '').length / 2
  return attributeHex(0x80, 14, `0002 01 ${octets.toString(16).padStart(2, '0')} ${nextHop} 00 ${nlri}`)
}

function reachV4(nextHop: string, nlri = PREFIX): string {
  const octets = nextHop.replaceAll(/\s/g, '').length / 2
  return attributeHex(0x80, 14, `0001 01 ${octets.toString(16).padStart(2, '0')} ${nextHop} 00 ${nlri}`)
}

function nextHopOf(attribute: string, context: DecodeContext = external()): readonly string[] {
  const { nextHop } = attributesIn(decodedUpdate(rawUpdate({ attributes: [attribute, ...BARE] }), context))
  if (nextHop === null) return []
  return nextHop.linkLocal === null ? [formatIp(nextHop.address)] : [formatIp(nextHop.address), formatIp(nextHop.linkLocal)]
}

describe('MP_REACH_NLRI', () => {
  test('[rule 107] AFI, SAFI, next hop, a reserved octet that is ignored, NLRI', () => {
    const odd = reachV6(GLOBAL).replace(/00(3020010db80001)$/, 'ff$1')
    expect(odd).not.toBe(reachV6(GLOBAL))
    for (const attribute of [reachV6(GLOBAL), REACH_V6]) {
      expect(announcedBy(decodedUpdate(rawUpdate({ attributes: [attribute, ...BARE] })))).toEqual(['2001:db8:1::/48'])
    }
    expect(announcedBy(decodedUpdate(rawUpdate({ attributes: [odd, ...BARE] })))).toEqual(['2001:db8:1::/48'])
  })

  test('[rule 62] NEXT_HOP is not needed beside it, and not looked at when it is there', () => {
    expect(nextHopOf(reachV6(GLOBAL))).toEqual(['2001:db8::1'])
    for (const value of ['c0000201', '7f000001', 'c0', '']) {
      const update = decodedUpdate(rawUpdate({ attributes: [reachV6(GLOBAL), ...BARE, attributeHex(0x40, 3, value)] }))
      expect(attributesIn(update).nextHop).toMatchObject({ address: 0x20010db8000000000000000000000001n })
      expect(update.malformations).toEqual([])
    }
  })

  test('[rule 62] with an NLRI field as well, NEXT_HOP is needed again', () => {
    const update = decodedUpdate(rawUpdate({ attributes: [reachV6(GLOBAL), ...BARE], nlri: PREFIX }))
    expect(update.announced).toEqual([])
    expect(update.malformations).toMatchObject([{ attributeType: 3 }])
  })

  test('[rule 116] ORIGIN and AS_PATH are needed, and LOCAL_PREF from an internal peer', () => {
    for (const attributes of [[ORIGIN_IGP], [PATH_65001]]) {
      const update = decodedUpdate(rawUpdate({ attributes: [reachV6(GLOBAL), ...attributes] }))
      expect(withdrawnBy(update)).toEqual(['2001:db8:1::/48'])
    }
    expect(decodedUpdate(rawUpdate({ attributes: [reachV6(GLOBAL), ...BARE] }), internal()).announced).toEqual([])
    expect(decodedUpdate(rawUpdate({ attributes: [reachV6(GLOBAL), ...BARE, LOCAL_PREF] }), internal()).announced).toHaveLength(1)
  })

  test('[rule 108] a next hop of 16 octets is global, of 32 global and link-local', () => {
    expect(nextHopOf(reachV6(GLOBAL))).toEqual(['2001:db8::1'])
    expect(nextHopOf(reachV6(GLOBAL + LOCAL))).toEqual(['2001:db8::1', 'fe80::1'])
  })

  test('[rule 109] a second half that is not link-local does not count', () => {
    expect(nextHopOf(reachV6(GLOBAL + '00'.repeat(16)))).toEqual(['2001:db8::1'])
    expect(nextHopOf(reachV6(GLOBAL + GLOBAL))).toEqual(['2001:db8::1'])
  })

  test('[rule 110] a link-local next hop alone is accepted in each of its three forms', () => {
    expect(nextHopOf(reachV6(LOCAL))).toEqual(['fe80::1'])
    expect(nextHopOf(reachV6(LOCAL + LOCAL))).toEqual(['fe80::1', 'fe80::1'])
    expect(nextHopOf(reachV6('00'.repeat(16) + LOCAL))).toEqual(['fe80::1', 'fe80::1'])
  })

  test.each([
    ['::', '00'.repeat(16)],
    ['::1', `${'00'.repeat(15)}01`],
    ['ff02::1', `ff02${'00'.repeat(13)}01`],
    ['[rule 114] IPv4-mapped', `${'00'.repeat(10)}ffff0a000001`],
  ])('[rule 114] a next hop that cannot be used, %s, withdraws the prefixes and never resets', (_name, nextHop) => {
    const update = decodedUpdate(rawUpdate({ attributes: [reachV6(nextHop), ...BARE] }))
    expect(update.announced).toEqual([])
    expect(withdrawnBy(update)).toEqual(['2001:db8:1::/48'])
    expect(update.malformations).toMatchObject([{ attributeType: 14, action: 'treatAsWithdraw' }])
  })

  test.each([0, 1, 4, 12, 15, 17, 24, 31, 33, 48])('[rule 118] a next hop of %i octets for IPv6 ends the session with 3/9', (octets) => {
    expect(codeOf(rawUpdate({ attributes: [reachV6('20'.repeat(octets)), ...BARE] }))).toBe('3/9')
  })

  test.each([0, 3, 5, 12, 24])('[rule 118] a next hop of %i octets for IPv4 ends the session with 3/9', (octets) => {
    const context = external({ extendedNextHop: true })
    expect(codeOf(rawUpdate({ attributes: [reachV4('20'.repeat(octets)), ...BARE] }), context)).toBe('3/9')
  })

  test('a next hop that runs past the attribute, or an attribute too short for one, ends the session with 3/9', () => {
    for (const value of ['', '0002', '000201', '00020110', `000201 10 ${GLOBAL}`, `000201 20 ${GLOBAL} 00`, '000201 ff 00']) {
      expect(codeOf(rawUpdate({ attributes: [attributeHex(0x80, 14, value), ...BARE] }))).toBe('3/9')
    }
  })

  test('[rule 111] IPv4 prefixes have an IPv6 next hop only if that was agreed on', () => {
    const context = external({ extendedNextHop: true })
    expect(nextHopOf(reachV4(GLOBAL), context)).toEqual(['2001:db8::1'])
    expect(nextHopOf(reachV4(GLOBAL + LOCAL), context)).toEqual(['2001:db8::1', 'fe80::1'])
    expect(nextHopOf(reachV4(LOCAL), context)).toEqual(['fe80::1'])
    expect(announcedBy(decodedUpdate(rawUpdate({ attributes: [reachV4(GLOBAL), ...BARE] }), context))).toEqual(['198.51.100.0/24'])
    expect(codeOf(rawUpdate({ attributes: [reachV4(GLOBAL), ...BARE] }))).toBe('3/9')
  })

  test('[rule 113] IPv4 prefixes in MP_REACH_NLRI with an IPv4 next hop are accepted', () => {
    expect(nextHopOf(reachV4('c0000201'))).toEqual(['192.0.2.1'])
  })

  test('without a single prefix it announces nothing', () => {
    expect(decodedUpdate(rawUpdate({ attributes: [reachV6(GLOBAL, ''), ...BARE] }))).toMatchObject({ announced: [], endOfRib: null })
  })
})

describe('MP_UNREACH_NLRI', () => {
  test('[rule 115] it needs no other attribute', () => {
    const update = decodedUpdate(rawUpdate({ attributes: [attributeHex(0x80, 15, `000201 ${NLRI_V6}`)] }))
    expect(withdrawnBy(update)).toEqual(['2001:db8:1::/48'])
    expect(update.malformations).toEqual([])
  })

  test('it also withdraws IPv4', () => {
    expect(withdrawnBy(decodedUpdate(rawUpdate({ attributes: [attributeHex(0x80, 15, `000101 ${PREFIX}`)] })))).toEqual(['198.51.100.0/24'])
  })

  test.each(['', '00', '0002'])('shorter than three octets (%s) it ends the session with 3/9', (value) => {
    expect(codeOf(rawUpdate({ attributes: [attributeHex(0x80, 15, value)] }))).toBe('3/9')
  })
})

describe('families that were not agreed on', () => {
  const only = external({ families: new Set(['IPv4Unicast'] as const) })

  test.each([
    ['IPv6 unicast', '0002 01'],
    ['VPNv4', '0001 80'],
    ['EVPN', '0019 46'],
    ['IPv4 multicast', '0001 02'],
    ['AFI 0', '0000 00'],
    ['flow specification', '0001 85'],
  ])('[rule 117] %s in MP attributes is ignored, however broken, and the session stays', (_name, codes) => {
    const reach = attributeHex(0x80, 14, `${codes} ff 0102030405`)
    const unreach = attributeHex(0x80, 15, `${codes} ffffff`)
    const update = decodedUpdate(rawUpdate({ attributes: [reach, unreach, ...mandatory('eBGP')], nlri: PREFIX }), only)
    expect(announcedBy(update)).toEqual(['198.51.100.0/24'])
    expect(update.withdrawn).toEqual([])
    expect(update.malformations).toEqual([])
    expect(decodedUpdate(rawUpdate({ attributes: [unreach] }), only)).toMatchObject({ withdrawn: [], endOfRib: null })
  })

  test('[rule 117] a malformed attribute beside one does not end the session: its prefixes are located, they are just not ours', () => {
    const update = decodedUpdate(rawUpdate({ attributes: [REACH_V6, ...BARE, attributeHex(0x80, 4, '00')] }), only)
    expect(update).toMatchObject({ withdrawn: [], announced: [] })
    expect(update.malformations).toHaveLength(1)
  })

  test('[rule 132] a refresh of such a family, or of none there is, has no family', () => {
    expect(decoded(rawMessage(5, '0002 00 01'), only)).toEqual({ kind: 'routeRefresh', family: null, subtype: 0 })
    expect(decoded(rawMessage(5, '0001 00 80'), only)).toEqual({ kind: 'routeRefresh', family: null, subtype: 0 })
    expect(decoded(rawMessage(5, '0001 00 01'), only)).toEqual({ kind: 'routeRefresh', family: 'IPv4Unicast', subtype: 0 })
  })
})

describe('End-of-RIB', () => {
  test('[rule 142] 23 octets of UPDATE for IPv4, an empty MP_UNREACH_NLRI for IPv6, and the same for IPv4 is taken too', () => {
    expect(decodedUpdate(rawMessage(2, '0000 0000')).endOfRib).toBe('IPv4Unicast')
    expect(decodedUpdate(rawUpdate({ attributes: [attributeHex(0x80, 15, '000201')] })).endOfRib).toBe('IPv6Unicast')
    expect(decodedUpdate(rawUpdate({ attributes: [attributeHex(0x90, 15, '000201')] })).endOfRib).toBe('IPv6Unicast')
    expect(decodedUpdate(rawUpdate({ attributes: [attributeHex(0x80, 15, '000101')] })).endOfRib).toBe('IPv4Unicast')
  })

  test('[rule 142] what we send is just that', () => {
    expect(encodeEndOfRib('IPv4Unicast')).toEqual(rawMessage(2, '0000 0000'))
    expect(encodeEndOfRib('IPv6Unicast')).toEqual(rawMessage(2, '0000 0006 800f03 000201'))
  })

  test('[rule 128] it carries no path identifier', () => {
    const context = external({ addPathReceive: BOTH })
    expect(decodedUpdate(rawMessage(2, '0000 0000'), context).endOfRib).toBe('IPv4Unicast')
    expect(decodedUpdate(rawUpdate({ attributes: [attributeHex(0x80, 15, '000201')] }), context).endOfRib).toBe('IPv6Unicast')
  })

  test('[rule 144] with anything beside it, or with the wrong flags, it is not one', () => {
    const unreach = attributeHex(0x80, 15, '000201')
    for (const parts of [
      { attributes: [unreach, ORIGIN_IGP] },
      { attributes: [unreach, attributeHex(0xc0, 99, '')] },
      { attributes: [unreach], nlri: PREFIX },
      { attributes: [unreach], withdrawn: PREFIX },
      { attributes: [attributeHex(0xc0, 15, '000201')] },
      { attributes: [unreach, reachV6(GLOBAL, '')] },
      { withdrawn: PREFIX },
    ]) {
      expect(decodedUpdate(rawUpdate(parts)).endOfRib).toBeNull()
    }
  })

  test('[rule 117] of a family that was not agreed on it is nothing', () => {
    const only = external({ families: new Set(['IPv6Unicast'] as const) })
    expect(decodedUpdate(rawMessage(2, '0000 0000'), only).endOfRib).toBeNull()
  })
})

describe('path identifiers', () => {
  const both = external({ addPathReceive: BOTH })

  test('[rules 122, 123] they stand before every prefix: announced and withdrawn, classic and MP', () => {
    const reach = reachV6(GLOBAL, '00000007 30 20010db80001')
    const unreach = attributeHex(0x80, 15, '000201 00000008 30 20010db80002')
    const update = decodedUpdate(
      rawUpdate({ withdrawn: '00000005 18 c63365', attributes: [reach, unreach, ...mandatory('eBGP')], nlri: '00000006 18 c63364' }),
      both,
    )
    expect([...announcedBy(update)].sort()).toEqual(['198.51.100.0/24 #6', '2001:db8:1::/48 #7'])
    expect([...withdrawnBy(update)].sort()).toEqual(['198.51.101.0/24 #5', '2001:db8:2::/48 #8'])
  })

  test('[rule 122] in one family only, if it was agreed on for that one only', () => {
    const context = external({ addPathReceive: new Set(['IPv6Unicast'] as const) })
    const reach = reachV6(GLOBAL, '00000007 30 20010db80001')
    const update = decodedUpdate(rawUpdate({ attributes: [reach, ...mandatory('eBGP')], nlri: PREFIX }), context)
    expect([...announcedBy(update)].sort()).toEqual(['198.51.100.0/24', '2001:db8:1::/48 #7'])
  })

  test('[rule 124] they are opaque: 0 and 4294967295 are as good as any', () => {
    const update = decodedUpdate(rawUpdate({ attributes: mandatory('eBGP'), nlri: '00000000 18 c63364 ffffffff 18 c63364' }), both)
    expect(announcedBy(update)).toEqual(['198.51.100.0/24 #0', '198.51.100.0/24 #4294967295'])
  })

  test.each(['00', '000000', '00000000', '00000001 18 c633', '00000001 21 c633640000'])(
    'cut off or impossible (%s) they end the session',
    (nlri) => {
      expect(codeOf(rawUpdate({ attributes: mandatory('eBGP'), nlri }), both)).toBe('3/10')
    },
  )

  test('an unusable prefix is dropped with its identifier', () => {
    const nlri = '00000001 18 c63364 00000002 04 e0 00000003 18 c63365'
    const update = decodedUpdate(rawUpdate({ attributes: mandatory('eBGP'), nlri }), both)
    expect(announcedBy(update)).toEqual(['198.51.100.0/24 #1', '198.51.101.0/24 #3'])
  })
})
