// The table of bgp.md 2.3 (RFC 7606 §7 and the RFC of each attribute), row by row, from external and from internal peers.
import { describe, expect, test } from '@jest/globals'
import { ATTRIBUTE_CODECS } from '../../../src/bgp/wire/attribute-codecs.ts'
import { encodePathAttributes, type UpdateMessage } from '../../../src/bgp/wire/index.ts'
import {
  attributeHex,
  attributesIn,
  codeOf,
  decodedUpdate,
  external,
  internal,
  LOCAL_PREF,
  mandatory,
  PREFIX,
  REACH_V6,
  rawUpdate,
  sending,
  withdrawnBy,
} from './build.ts'

/** withdraw, discard: RFC 7606's; drop: gone without a word; keep: carried as unknown; use: it takes effect; reset: the session ends. */
type Outcome = 'withdraw' | 'discard' | 'drop' | 'keep' | 'use' | 'reset'
type Row = readonly [name: string, attribute: string, eBGP: Outcome, iBGP: Outcome]

const FLAGS = { wellKnown: 0x40, optional: 0x80, optionalTransitive: 0xc0 } as const

const ORIGIN_ROWS: readonly Row[] = [
  ['[rule 76] ORIGIN of 0 octets', attributeHex(0x40, 1, ''), 'withdraw', 'withdraw'],
  ['[rule 76] ORIGIN of 2 octets', attributeHex(0x40, 1, '0000'), 'withdraw', 'withdraw'],
  ['[rule 76] ORIGIN 3', attributeHex(0x40, 1, '03'), 'withdraw', 'withdraw'],
  ['[rule 76] ORIGIN 255', attributeHex(0x40, 1, 'ff'), 'withdraw', 'withdraw'],
  ['[rule 76] ORIGIN 2', attributeHex(0x40, 1, '02'), 'use', 'use'],
]

const AS_PATH_ROWS: readonly Row[] = [
  ['AS_PATH of unknown segment type 5', attributeHex(0x40, 2, '0501 0000fde9'), 'withdraw', 'withdraw'],
  ['AS_PATH of unknown segment type 0', attributeHex(0x40, 2, '0001 0000fde9'), 'withdraw', 'withdraw'],
  ['AS_PATH with an empty segment', attributeHex(0x40, 2, '0201 0000fde9 0200'), 'withdraw', 'withdraw'],
  ['AS_PATH with a segment that overruns', attributeHex(0x40, 2, '0202 0000fde9'), 'withdraw', 'withdraw'],
  ['AS_PATH that ends inside a segment header', attributeHex(0x40, 2, '0201 0000fde9 02'), 'withdraw', 'withdraw'],
  ['[rule 84] AS_PATH with AS 0', attributeHex(0x40, 2, '0202 0000fde9 00000000'), 'withdraw', 'withdraw'],
  ['AS_PATH with AS_CONFED_SEQUENCE', attributeHex(0x40, 2, '0301 0000fde9 0201 0000fde9'), 'withdraw', 'withdraw'],
  ['AS_PATH with AS_CONFED_SET', attributeHex(0x40, 2, '0201 0000fde9 0401 0000fdea'), 'withdraw', 'withdraw'],
  ['[rule 82] AS_PATH that begins with another AS', attributeHex(0x40, 2, '0201 0000fdea'), 'withdraw', 'use'],
  ['[rule 82] AS_PATH that begins with a set', attributeHex(0x40, 2, '0101 0000fde9'), 'withdraw', 'use'],
  ['[rule 82] AS_PATH that is empty', attributeHex(0x40, 2, ''), 'withdraw', 'use'],
  ['[rule 83] AS_PATH with AS_SET behind the first AS', attributeHex(0x40, 2, '0201 0000fde9 0102 00000001 00000002'), 'use', 'use'],
]

const NEXT_HOP_ROWS: readonly Row[] = [
  ['NEXT_HOP of 3 octets', attributeHex(0x40, 3, 'c00002'), 'withdraw', 'withdraw'],
  ['NEXT_HOP of 16 octets', attributeHex(0x40, 3, '20010db8000000000000000000000001'), 'withdraw', 'withdraw'],
  ['NEXT_HOP 0.0.0.0', attributeHex(0x40, 3, '00000000'), 'withdraw', 'withdraw'],
  ['NEXT_HOP 0.1.2.3', attributeHex(0x40, 3, '00010203'), 'withdraw', 'withdraw'],
  ['NEXT_HOP 127.0.0.1', attributeHex(0x40, 3, '7f000001'), 'withdraw', 'withdraw'],
  ['NEXT_HOP 224.0.0.1', attributeHex(0x40, 3, 'e0000001'), 'withdraw', 'withdraw'],
  ['NEXT_HOP 255.255.255.255', attributeHex(0x40, 3, 'ffffffff'), 'withdraw', 'withdraw'],
]

const NUMBER_ROWS: readonly Row[] = [
  ['MULTI_EXIT_DISC of 3 octets', attributeHex(0x80, 4, '000001'), 'withdraw', 'withdraw'],
  ['MULTI_EXIT_DISC of 5 octets', attributeHex(0x80, 4, '0000000001'), 'withdraw', 'withdraw'],
  ['[rule 91] LOCAL_PREF, good', attributeHex(0x40, 5, '000000c8'), 'discard', 'use'],
  ['[rule 91] LOCAL_PREF of 3 octets', attributeHex(0x40, 5, '0000c8'), 'discard', 'withdraw'],
  ['LOCAL_PREF with wrong flags', attributeHex(0xc0, 5, '000000c8'), 'discard', 'withdraw'],
  ['[rule 92] ATOMIC_AGGREGATE', attributeHex(0x40, 6, ''), 'use', 'use'],
  ['ATOMIC_AGGREGATE of 1 octet', attributeHex(0x40, 6, '00'), 'discard', 'discard'],
  ['[rule 92] AGGREGATOR', attributeHex(0xc0, 7, '0000fde9 c0000201'), 'use', 'use'],
  ['AGGREGATOR of 6 octets from a four-octet peer', attributeHex(0xc0, 7, 'fde9 c0000201'), 'discard', 'discard'],
  ['AGGREGATOR of 9 octets', attributeHex(0xc0, 7, '0000fde9 c0000201 00'), 'discard', 'discard'],
  ['[rule 84] AGGREGATOR with AS 0', attributeHex(0xc0, 7, '00000000 c0000201'), 'discard', 'discard'],
  ['[rule 166] ORIGINATOR_ID, good', attributeHex(0x80, 9, '0a000001'), 'discard', 'use'],
  ['ORIGINATOR_ID of 3 octets', attributeHex(0x80, 9, '0a0000'), 'discard', 'withdraw'],
  ['[rule 166] CLUSTER_LIST, good', attributeHex(0x80, 10, '0a000001 0a000002'), 'discard', 'use'],
  ['CLUSTER_LIST of 0 octets', attributeHex(0x80, 10, ''), 'discard', 'withdraw'],
  ['CLUSTER_LIST of 5 octets', attributeHex(0x80, 10, '0a00000100'), 'discard', 'withdraw'],
  ['[rule 173] ONLY_TO_CUSTOMER', attributeHex(0xc0, 35, '0000fde9'), 'use', 'use'],
  ['[rule 173] ONLY_TO_CUSTOMER of 3 octets', attributeHex(0xc0, 35, '00fde9'), 'withdraw', 'withdraw'],
  ['[rule 173] ONLY_TO_CUSTOMER of 5 octets', attributeHex(0xc0, 35, '0000fde900'), 'withdraw', 'withdraw'],
]

const COMMUNITY_ROWS: readonly Row[] = [
  ['COMMUNITIES', attributeHex(0xc0, 8, 'fde90001'), 'use', 'use'],
  ['COMMUNITIES of 0 octets', attributeHex(0xc0, 8, ''), 'withdraw', 'withdraw'],
  ['COMMUNITIES of 5 octets', attributeHex(0xc0, 8, 'fde9000100'), 'withdraw', 'withdraw'],
  ['[rule 97] EXTENDED_COMMUNITIES of unknown types', attributeHex(0xc0, 16, '9999 000000000001 fedc 000000000002'), 'use', 'use'],
  ['EXTENDED_COMMUNITIES of 0 octets', attributeHex(0xc0, 16, ''), 'withdraw', 'withdraw'],
  ['EXTENDED_COMMUNITIES of 9 octets', attributeHex(0xc0, 16, '0002fde900000001 00'), 'withdraw', 'withdraw'],
  ['IPV6_EXTENDED_COMMUNITIES', attributeHex(0xc0, 25, `0002${'20'.repeat(18)}`), 'use', 'use'],
  ['IPV6_EXTENDED_COMMUNITIES of 0 octets', attributeHex(0xc0, 25, ''), 'withdraw', 'withdraw'],
  ['IPV6_EXTENDED_COMMUNITIES of 8 octets', attributeHex(0xc0, 25, '0002000000000000'), 'withdraw', 'withdraw'],
  ['LARGE_COMMUNITY', attributeHex(0xc0, 32, '0000fde9 00000001 00000002'), 'use', 'use'],
  ['LARGE_COMMUNITY of 0 octets', attributeHex(0xc0, 32, ''), 'withdraw', 'withdraw'],
  ['LARGE_COMMUNITY of 13 octets', attributeHex(0xc0, 32, '0000fde9 00000001 00000002 00'), 'withdraw', 'withdraw'],
]

const OPAQUE_ROWS: readonly Row[] = [
  ['[rule 102] AS4_PATH from a four-octet peer', attributeHex(0xc0, 17, '0201 0000fde9'), 'discard', 'discard'],
  ['[rule 102] AS4_AGGREGATOR from a four-octet peer', attributeHex(0xc0, 18, '0000fde9 c0000201'), 'discard', 'discard'],
  ['AIGP, good, on a session without it', attributeHex(0x80, 26, '01 000b 0000000000000001'), 'drop', 'drop'],
  ['AIGP with a TLV that overruns', attributeHex(0x80, 26, '01 00ff 0000000000000001'), 'discard', 'discard'],
  ['AIGP with a TLV shorter than its header', attributeHex(0x80, 26, '01 0002 00'), 'discard', 'discard'],
  ['AIGP with wrong flags', attributeHex(0xc0, 26, '01 000b 0000000000000001'), 'discard', 'discard'],
  ['PREFIX_SID, good', attributeHex(0xc0, 40, '01 0007 00000000000064'), 'keep', 'keep'],
  ['PREFIX_SID with a TLV that overruns', attributeHex(0xc0, 40, '01 0007 0000'), 'discard', 'discard'],
  ['PREFIX_SID with a label index of 6 octets', attributeHex(0xc0, 40, '01 0006 000000000000'), 'discard', 'discard'],
  ['PREFIX_SID with an SRGB of 5 octets', attributeHex(0xc0, 40, '03 0007 0000 0000000000'), 'discard', 'discard'],
  ['PREFIX_SID with a TLV of the reserved type', attributeHex(0xc0, 40, '00 0000'), 'discard', 'discard'],
  ['PREFIX_SID with wrong flags', attributeHex(0x80, 40, '01 0007 00000000000064'), 'discard', 'discard'],
  ['TUNNEL_ENCAPSULATION, damaged inside', attributeHex(0xc0, 23, '0001ffff'), 'keep', 'keep'],
  ['PMSI_TUNNEL, damaged inside', attributeHex(0xc0, 22, '00'), 'keep', 'keep'],
  ['ATTR_SET, damaged inside', attributeHex(0xc0, 128, '0000'), 'keep', 'keep'],
  ['BGP-LS attribute', attributeHex(0x80, 29, '0400000101'), 'drop', 'drop'],
  ['[rule 93] unknown optional transitive', attributeHex(0xc0, 99, 'deadbeef'), 'keep', 'keep'],
  ['[rule 93] unknown optional transitive, partial, extended length', attributeHex(0xf0, 254, 'deadbeef'), 'keep', 'keep'],
  ['unknown optional non-transitive', attributeHex(0x80, 99, 'deadbeef'), 'drop', 'drop'],
  ['unknown well-known', attributeHex(0x40, 99, 'deadbeef'), 'reset', 'reset'],
]

/** What happened to the attribute of `type` and to the route it came with. */
function outcomeOf(update: UpdateMessage, type: number, peerType: 'eBGP' | 'iBGP'): Outcome {
  const findings = update.malformations.filter(({ attributeType }) => attributeType === type)
  if (update.announced.length === 0) {
    expect(withdrawnBy(update)).toEqual(['198.51.100.0/24'])
    expect(findings.map(({ action }) => action)).toContain('treatAsWithdraw')
    return 'withdraw'
  }
  expect(withdrawnBy(update)).toEqual([])
  const attributes = attributesIn(update)
  const isKept = attributes.unknown.some((each) => each.type === type)
  const sent = encodePathAttributes(attributes, 'IPv4Unicast', sending({ peerType }))
  if (findings.length > 0) {
    expect(findings.map(({ action }) => action)).toEqual(['attributeDiscard'])
    expect(isKept).toBe(false)
    expect(typesIn(sent)).not.toContain(type) // [rule 74] it does not travel
    return 'discard'
  }
  if (isKept) return 'keep'
  return typesIn(sent).includes(type) ? 'use' : 'drop'
}

function typesIn(list: Uint8Array): readonly number[] {
  const types: number[] = []
  for (let at = 0; at < list.length; ) {
    const isExtended = ((list[at] ?? 0) & 0x10) !== 0
    types.push(list[at + 1] ?? 0)
    at += isExtended ? 4 + ((list[at + 2] ?? 0) << 8) + (list[at + 3] ?? 0) : 3 + (list[at + 2] ?? 0)
  }
  return types
}

function judge(attribute: string, peerType: 'eBGP' | 'iBGP'): Outcome {
  const bytes = rawUpdate({ attributes: mandatory(peerType, attribute), nlri: PREFIX })
  const context = peerType === 'eBGP' ? external() : internal()
  const type = Number.parseInt(attribute.replaceAll(/\s/g, '').slice(2, 4), 16)
  try {
    return outcomeOf(decodedUpdate(bytes, context), type, peerType)
  } catch (error) {
    if (error instanceof Error && error.message.startsWith('does not decode')) return 'reset'
    throw error
  }
}

describe.each([
  ['ORIGIN', ORIGIN_ROWS],
  ['AS_PATH', AS_PATH_ROWS],
  ['NEXT_HOP', NEXT_HOP_ROWS],
  ['single values', NUMBER_ROWS],
  ['communities', COMMUNITY_ROWS],
  ['attributes not implemented here', OPAQUE_ROWS],
])('bgp.md 2.3: %s', (_group, rows) => {
  test.each(rows)('%s', (_name, attribute, eBGP, iBGP) => {
    expect({ eBGP: judge(attribute, 'eBGP'), iBGP: judge(attribute, 'iBGP') }).toEqual({ eBGP, iBGP })
  })
})

describe('bgp.md 2.3: flags', () => {
  const GOOD: Readonly<Record<number, string>> = {
    1: '00',
    2: '0201 0000fde9',
    3: 'c0000201',
    4: '00000001',
    5: '00000064',
    6: '',
    7: '0000fde9 c0000201',
    8: 'fde90001',
    9: '0a000001',
    10: '0a000001',
    16: '0002fde900000001',
    17: '0201 0000fde9',
    18: '0000fde9 c0000201',
    25: `0002${'20'.repeat(18)}`,
    26: '01 000b 0000000000000001',
    29: '00',
    32: '0000fde9 00000001 00000002',
    35: '0000fde9',
    40: '01 0007 00000000000064',
  }

  test('there is a good value for every attribute we know, so none is left out below', () => {
    expect(ATTRIBUTE_CODECS.map(({ type }) => type)).toEqual(Object.keys(GOOD).map(Number))
  })

  const conflicts = ATTRIBUTE_CODECS.flatMap((codec) =>
    [0x00, 0x40, 0x80, 0xc0].filter((flags) => flags !== codec.flags).map((flags) => [codec.name, codec, flags] as const),
  )

  test.each(conflicts)('[rule 59] %s with the flags of another kind is treated as its RFC says', (_name, codec, flags) => {
    const attribute = attributeHex(flags, codec.type, GOOD[codec.type] ?? '')
    const usual = codec.whenMalformed === 'treatAsWithdraw' ? 'withdraw' : 'discard'
    expect(judge(attribute, 'iBGP')).toBe(usual)
    expect(judge(attribute, 'eBGP')).toBe(codec.internalOnly === true ? 'discard' : usual)
  })

  test.each(ATTRIBUTE_CODECS.map((codec) => [codec.name, codec] as const))(
    '[rules 57, 58, 60] %s may have the Partial bit, low bits and an extended length it does not need',
    (_name, codec) => {
      const plain = attributeHex(codec.flags, codec.type, GOOD[codec.type] ?? '')
      for (const more of [0x20, 0x0f, 0x10, 0x3f]) {
        const odd = attributeHex(codec.flags | more, codec.type, GOOD[codec.type] ?? '')
        expect(judge(odd, 'iBGP')).toBe(judge(plain, 'iBGP'))
        expect(judge(odd, 'eBGP')).toBe(judge(plain, 'eBGP'))
      }
    },
  )

  test('[rule 59] MP_REACH_NLRI and MP_UNREACH_NLRI with other flags: their prefixes are withdrawn', () => {
    const reach = REACH_V6.replace('80 0e', 'c0 0e')
    const update = decodedUpdate(rawUpdate({ attributes: [reach, ...mandatory('eBGP')] }))
    expect(update.announced).toEqual([])
    expect(withdrawnBy(update)).toEqual(['2001:db8:1::/48'])
    expect(update.malformations).toMatchObject([{ attributeType: 14, action: 'treatAsWithdraw' }])
    const unreach = attributeHex(0x40, 15, '000201 30 20010db80001')
    expect(withdrawnBy(decodedUpdate(rawUpdate({ attributes: [unreach] })))).toEqual(['2001:db8:1::/48'])
  })

  test('[rule 58] low bits are never sent', () => {
    const update = decodedUpdate(rawUpdate({ attributes: mandatory('eBGP', attributeHex(0xcf, 99, 'aa')), nlri: PREFIX }))
    const sent = encodePathAttributes(attributesIn(update), 'IPv4Unicast', sending())
    expect(Buffer.from(sent).toString('hex')).toContain('e06301aa')
  })
})

describe('bgp.md 2.3: duplicates and what is missing', () => {
  const first: Readonly<Record<string, string>> = {
    ORIGIN: attributeHex(FLAGS.wellKnown, 1, '00'),
    MULTI_EXIT_DISC: attributeHex(FLAGS.optional, 4, '00000001'),
    COMMUNITIES: attributeHex(FLAGS.optionalTransitive, 8, 'fde90001'),
    'attribute 99': attributeHex(FLAGS.optionalTransitive, 99, '01'),
  }
  const second: Readonly<Record<string, string>> = {
    ORIGIN: attributeHex(FLAGS.wellKnown, 1, '02'),
    MULTI_EXIT_DISC: attributeHex(FLAGS.optional, 4, '00000002'),
    COMMUNITIES: attributeHex(FLAGS.optionalTransitive, 8, 'fde90002'),
    'attribute 99': attributeHex(FLAGS.optionalTransitive, 99, '02'),
  }

  test.each(Object.keys(first))('[rule 63] %s twice: the first counts, the second is discarded', (name) => {
    const once = decodedUpdate(rawUpdate({ attributes: mandatory('eBGP', first[name]), nlri: PREFIX }))
    const twice = decodedUpdate(rawUpdate({ attributes: [...mandatory('eBGP', first[name]), second[name] ?? ''], nlri: PREFIX }))
    expect(attributesIn(twice)).toEqual(attributesIn(once))
    expect(once.malformations).toEqual([])
    expect(twice.malformations).toMatchObject([{ action: 'attributeDiscard', reason: expect.stringContaining(name) }])
  })

  test('[rule 63] a second copy that is malformed is discarded like any other', () => {
    const bytes = rawUpdate({ attributes: [...mandatory('eBGP'), attributeHex(0x40, 1, 'ff')], nlri: PREFIX })
    expect(decodedUpdate(bytes).announced).toHaveLength(1)
  })

  test('[rule 63] MP_REACH_NLRI or MP_UNREACH_NLRI twice ends the session with 3/1', () => {
    expect(codeOf(rawUpdate({ attributes: [REACH_V6, REACH_V6, ...mandatory('eBGP')] }))).toBe('3/1')
    const unreach = attributeHex(0x80, 15, '000201 30 20010db80001')
    expect(codeOf(rawUpdate({ attributes: [unreach, unreach] }))).toBe('3/1')
  })

  test.each([
    ['ORIGIN', 1],
    ['AS_PATH', 2],
    ['NEXT_HOP', 3],
  ])('[rule 61] without %s the prefixes are withdrawn, from peers of both kinds', (name, type) => {
    for (const peerType of ['eBGP', 'iBGP'] as const) {
      const attributes = mandatory(peerType).filter((each) => Number.parseInt(each.replaceAll(' ', '').slice(2, 4), 16) !== type)
      const update = decodedUpdate(rawUpdate({ attributes, nlri: PREFIX }), peerType === 'eBGP' ? external() : internal())
      expect(update.announced).toEqual([])
      expect(withdrawnBy(update)).toEqual(['198.51.100.0/24'])
      expect(update.malformations).toMatchObject([{ attributeType: type, action: 'treatAsWithdraw', reason: `${name}: missing` }])
    }
  })

  test('[rule 61] without LOCAL_PREF the prefixes of an internal peer are withdrawn, those of an external one are not', () => {
    const attributes = mandatory('iBGP').filter((each) => each !== LOCAL_PREF)
    expect(decodedUpdate(rawUpdate({ attributes, nlri: PREFIX }), internal()).announced).toEqual([])
    expect(decodedUpdate(rawUpdate({ attributes, nlri: PREFIX }), external()).announced).toHaveLength(1)
  })

  test('[rule 61] NLRI without a single attribute is withdrawn (CVE-2023-41358)', () => {
    const update = decodedUpdate(rawUpdate({ nlri: PREFIX }))
    expect(withdrawnBy(update)).toEqual(['198.51.100.0/24'])
    expect(update.malformations).toHaveLength(3)
  })
})
