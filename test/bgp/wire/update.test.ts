import { describe, expect, test } from '@jest/globals'
import {
  announcedBy,
  attributeHex,
  attributesIn,
  codeOf,
  decodedUpdate,
  errorOf,
  external,
  hexOf,
  internal,
  LOCAL_PREF,
  mandatory,
  NEXT_HOP,
  ORIGIN_IGP,
  PATH_65001,
  PREFIX,
  prefixesOf,
  REACH_V6,
  rawMessage,
  rawUpdate,
  withdrawnBy,
} from './build.ts'

const GOOD = mandatory('eBGP')
const UNREACH_V6 = attributeHex(0x80, 15, '000201 30 20010db80002')
const MALFORMED_MED = attributeHex(0x80, 4, '00')

describe('the lengths of the sections', () => {
  test('[rule 55] withdrawn routes that run past the message end the session with 3/1', () => {
    expect(codeOf(rawMessage(2, '0001 0000'))).toBe('3/1')
    expect(codeOf(rawMessage(2, 'ffff 0000'))).toBe('3/1')
  })

  test('[rule 55] attributes that run past the message end the session with 3/1', () => {
    expect(codeOf(rawMessage(2, '0000 0001'))).toBe('3/1')
    expect(codeOf(rawMessage(2, `0004 ${PREFIX} 0001`))).toBe('3/1')
    expect(codeOf(rawMessage(2, `0000 ffff ${ORIGIN_IGP}`))).toBe('3/1')
  })

  test.each([
    ['one octet', '40'],
    ['two octets', '40 04'],
    ['three octets, where the flags want four', 'd0 63 00'],
    ['a length beyond the list', 'c0 63 05 00'],
    ['an extended length beyond the list', 'd0 63 ffff 00'],
  ])('[rule 56] a list that ends with %s withdraws the NLRI, found by the Total Attribute Length', (_name, tail) => {
    const update = decodedUpdate(rawUpdate({ attributes: [...GOOD, tail], nlri: PREFIX }))
    expect(update.announced).toEqual([])
    expect(withdrawnBy(update)).toEqual(['198.51.100.0/24'])
    expect(update.malformations).toMatchObject([{ action: 'treatAsWithdraw' }])
  })

  test('[rule 56] an MP attribute that runs past the list hides prefixes: the session ends with 3/1 (RFC 7606 §3 j)', () => {
    expect(codeOf(rawUpdate({ attributes: [...GOOD, '80 0e ff 0002 01'], nlri: PREFIX }))).toBe('3/1')
    expect(codeOf(rawUpdate({ attributes: [...GOOD, '90 0f 00'], nlri: PREFIX }))).toBe('3/1')
  })

  test('[rule 57] an extended length on a short attribute is fine', () => {
    const attributes = ['50 01 0001 02', '50 02 0006 0201 0000fde9', '50 03 0004 c0000201']
    const update = decodedUpdate(rawUpdate({ attributes, nlri: PREFIX }))
    expect(attributesIn(update).origin).toBe('incomplete')
    expect(update.malformations).toEqual([])
  })
})

describe('what an error costs', () => {
  test('[rule 64] treat-as-withdraw wins over attribute discard, wherever the two are', () => {
    const discard = attributeHex(0x40, 6, '00')
    for (const attributes of [
      [...GOOD, discard, MALFORMED_MED],
      [MALFORMED_MED, ...GOOD, discard],
    ]) {
      const update = decodedUpdate(rawUpdate({ attributes, nlri: PREFIX }))
      expect(update.announced).toEqual([])
      expect(update.malformations.map(({ action }) => action).sort()).toEqual(['attributeDiscard', 'treatAsWithdraw'])
    }
  })

  test('[rule 64] a reset wins over everything', () => {
    const unknownWellKnown = attributeHex(0x40, 99, '')
    expect(codeOf(rawUpdate({ attributes: [MALFORMED_MED, ...GOOD, unknownWellKnown], nlri: PREFIX }))).toBe('3/2')
    expect(codeOf(rawUpdate({ attributes: [MALFORMED_MED, ...GOOD], nlri: '21 c633640000' }))).toBe('3/10')
    expect(codeOf(rawUpdate({ attributes: [MALFORMED_MED, ...GOOD, '80 0e 01 00'], nlri: PREFIX }))).toBe('3/9')
  })

  test('[rule 65] an error without reachable NLRI ends the session with the code of that error (RFC 7606 §5.2)', () => {
    expect(codeOf(rawUpdate({ attributes: [MALFORMED_MED] }))).toBe('3/5')
    expect(codeOf(rawUpdate({ attributes: [attributeHex(0x40, 1, '07')] }))).toBe('3/6')
    expect(codeOf(rawUpdate({ attributes: [attributeHex(0xc0, 4, '00000001')] }))).toBe('3/4')
    expect(codeOf(rawUpdate({ attributes: [attributeHex(0x40, 2, '0900')] }))).toBe('3/11')
    expect(codeOf(rawUpdate({ attributes: [...GOOD, '40'] }))).toBe('3/1')
    expect(codeOf(rawUpdate({ withdrawn: PREFIX, attributes: [MALFORMED_MED] }))).toBe('3/5')
    expect(codeOf(rawUpdate({ attributes: [UNREACH_V6, MALFORMED_MED] }))).toBe('3/5')
  })

  test('[rule 65] the data is the attribute as it was received', () => {
    expect(hexOf(errorOf(rawUpdate({ attributes: [MALFORMED_MED] })).data)).toBe('80040100')
  })

  test('[rule 65] an attribute that is only to be discarded does not end it', () => {
    const update = decodedUpdate(rawUpdate({ withdrawn: PREFIX, attributes: [attributeHex(0x40, 6, '00')] }))
    expect(withdrawnBy(update)).toEqual(['198.51.100.0/24'])
  })

  test('[rule 73] treat-as-withdraw covers the NLRI field and MP_REACH_NLRI', () => {
    const update = decodedUpdate(rawUpdate({ attributes: [REACH_V6, ...GOOD, MALFORMED_MED], nlri: PREFIX }))
    expect(update.announced).toEqual([])
    expect([...withdrawnBy(update)].sort()).toEqual(['198.51.100.0/24', '2001:db8:1::/48'])
  })

  test('[rule 74] a discarded attribute is gone from what is passed on', () => {
    const update = decodedUpdate(rawUpdate({ attributes: [...GOOD, attributeHex(0xc0, 7, '0000')], nlri: PREFIX }))
    expect(attributesIn(update).aggregator).toBeNull()
  })

  test('[rule 75] what was malformed is told with its type, what became of it, and its octets, cut short', () => {
    const long = attributeHex(0xd0, 8, `${'ab'.repeat(300)}cd`)
    const { malformations } = decodedUpdate(rawUpdate({ attributes: [...GOOD, long], nlri: PREFIX }))
    expect(malformations).toEqual([
      {
        attributeType: 8,
        action: 'treatAsWithdraw',
        reason: 'COMMUNITIES: length 301, not a positive multiple of 4',
        hex: `d008012d${'ab'.repeat(60)}… (305 octets)`,
      },
    ])
  })

  test('[rule 75] thousands of faults in one message are not thousands of findings, and the worst is among them', () => {
    const twice = '80 c8 00'.repeat(20_000)
    const update = decodedUpdate(
      rawUpdate({ attributes: [...GOOD, twice, MALFORMED_MED], nlri: PREFIX }),
      external({ extendedMessage: true }),
    )
    expect(withdrawnBy(update)).toEqual(['198.51.100.0/24'])
    expect(update.malformations).toHaveLength(33)
    expect(update.malformations.at(-1)).toMatchObject({ attributeType: 4, action: 'treatAsWithdraw' })
  })

  test('one attribute cannot be malformed and missing', () => {
    const { malformations } = decodedUpdate(rawUpdate({ attributes: [attributeHex(0x40, 1, '09'), PATH_65001, NEXT_HOP], nlri: PREFIX }))
    expect(malformations).toHaveLength(1)
  })
})

describe('prefixes', () => {
  test.each([
    ['33 bits', '21 c633640000'],
    ['255 bits', `ff ${'00'.repeat(32)}`],
    ['24 bits, cut off', '18 c633'],
    ['nothing after the length', '08'],
  ])('[rule 66] an IPv4 prefix of %s ends the session with 3/10, announced or withdrawn', (_name, nlri) => {
    expect(codeOf(rawUpdate({ attributes: GOOD, nlri }))).toBe('3/10')
    expect(codeOf(rawUpdate({ attributes: GOOD, nlri: `${PREFIX}${nlri}` }))).toBe('3/10')
    expect(codeOf(rawUpdate({ withdrawn: nlri }))).toBe('3/10')
  })

  test.each([
    ['129 bits', `81 ${'20'.repeat(17)}`],
    ['48 bits, cut off', '30 20010db8'],
  ])('[rule 66] an IPv6 prefix of %s ends the session with 3/9', (_name, nlri) => {
    const reach = attributeHex(0x80, 14, `000201 10 20010db8000000000000000000000001 00 ${nlri}`)
    expect(codeOf(rawUpdate({ attributes: [reach, ...GOOD] }))).toBe('3/9')
    expect(codeOf(rawUpdate({ attributes: [attributeHex(0x80, 15, `000201 ${nlri}`)] }))).toBe('3/9')
  })

  test('[rule 67] host bits are masked', () => {
    const update = decodedUpdate(rawUpdate({ attributes: GOOD, nlri: '09 c0ff 17 c633ff 00 20 c6336401 01 ff' }))
    expect(announcedBy(update)).toEqual(['192.128.0.0/9', '198.51.254.0/23', '0.0.0.0/0', '198.51.100.1/32', '128.0.0.0/1'])
    const reach = attributeHex(0x80, 14, '000201 10 20010db8000000000000000000000001 00 2d 20010db8ffff 41 20010db800000000ff')
    expect(announcedBy(decodedUpdate(rawUpdate({ attributes: [reach, ...GOOD] })))).toEqual([
      '2001:db8:fff8::/45',
      '2001:db8:0:0:8000::/65',
    ])
  })

  test.each([
    ['224.0.0.0/4', '04 e0', '04 d0'],
    ['239.1.2.3/32', '20 ef010203', '20 df010203'],
    ['240.0.0.0/8', '08 f0', '08 df'],
    ['224.0.0.0/3', '03 e0', '02 c0'],
    ['127.0.0.0/8', '08 7f', '07 7e'],
    ['127.0.0.1/32', '20 7f000001', '20 7e000001'],
    ['0.0.0.1/32', '20 00000001', '08 00'],
    ['0.128.0.0/9', '09 0080', '01 00'],
  ])('[rule 68] %s is dropped alone; its neighbours stay', (_name, bad, good) => {
    const update = decodedUpdate(rawUpdate({ attributes: GOOD, nlri: `${PREFIX}${bad}${PREFIX}` }))
    expect(announcedBy(update)).toEqual(['198.51.100.0/24', '198.51.100.0/24'])
    expect(update.announced[0]?.run.count).toBe(2)
    expect(update.malformations).toMatchObject([{ action: 'ignorePrefix', hex: bad.replaceAll(' ', '') }])
    expect(decodedUpdate(rawUpdate({ attributes: GOOD, nlri: good })).malformations).toEqual([])
  })

  test.each([
    ['ff00::/8', '08 ff', '07 fe'],
    ['ff02::1/128', `80 ff02${'00'.repeat(13)}01`, `80 fd02${'00'.repeat(13)}01`],
    ['fe80::/10', '0a fe80', '0a fec0'],
    ['fe80::1/128', `80 fe80${'00'.repeat(13)}01`, '09 fe80'],
    ['::/128', `80 ${'00'.repeat(16)}`, '00'],
    ['::1/128', `80 ${'00'.repeat(15)}01`, `80 ${'00'.repeat(15)}02`],
    ['::ffff:0:0/96', `60 ${'00'.repeat(10)}ffff`, '60 0064ff9b0000000000000000'],
    ['::ffff:10.0.0.0/104', `68 ${'00'.repeat(10)}ffff0a`, `5f ${'00'.repeat(10)}fffe`],
  ])('[rule 68] %s is dropped alone; its neighbours stay', (_name, bad, good) => {
    const reach = (nlri: string): string => attributeHex(0x90, 14, `000201 10 20010db8000000000000000000000001 00 ${nlri}`)
    const update = decodedUpdate(rawUpdate({ attributes: [reach(`20 20010db8 ${bad} 20 20010db9`), ...GOOD] }))
    expect(announcedBy(update)).toEqual(['2001:db8::/32', '2001:db9::/32'])
    expect(update.malformations).toMatchObject([{ action: 'ignorePrefix', hex: bad.replaceAll(' ', '') }])
    expect(decodedUpdate(rawUpdate({ attributes: [reach(good), ...GOOD] })).malformations).toEqual([])
  })

  test('[rule 68] a message of nothing but such prefixes announces nothing and is no error', () => {
    const update = decodedUpdate(rawUpdate({ attributes: GOOD, nlri: '04 e0 08 7f' }))
    expect(update).toMatchObject({ announced: [], withdrawn: [], endOfRib: null })
    expect(update.malformations).toMatchObject([{ reason: expect.stringContaining('2 prefixes') }])
  })

  test('[rule 69] the same prefix several times is legal and arrives in order', () => {
    const update = decodedUpdate(rawUpdate({ attributes: GOOD, nlri: `${PREFIX}${PREFIX}` }))
    expect(announcedBy(update)).toEqual(['198.51.100.0/24', '198.51.100.0/24'])
  })

  test('[rule 70] a prefix withdrawn and announced in one message is in both lists: withdrawn is applied first', () => {
    const update = decodedUpdate(rawUpdate({ withdrawn: PREFIX, attributes: GOOD, nlri: PREFIX }))
    expect(withdrawnBy(update)).toEqual(['198.51.100.0/24'])
    expect(announcedBy(update)).toEqual(['198.51.100.0/24'])
  })
})

describe('any mix of sections', () => {
  const parts = [REACH_V6, UNREACH_V6, ...GOOD]
  const orders = [parts, [...parts].reverse(), [...GOOD, UNREACH_V6, REACH_V6], [UNREACH_V6, ORIGIN_IGP, REACH_V6, PATH_65001, NEXT_HOP]]

  test.each(orders.map((order, index) => [index, order] as const))(
    '[rule 71] all four sections at once, order %i',
    (_index, attributes) => {
      const update = decodedUpdate(rawUpdate({ withdrawn: '18 c63365', attributes, nlri: PREFIX }))
      expect([...withdrawnBy(update)].sort()).toEqual(['198.51.101.0/24', '2001:db8:2::/48'])
      expect([...announcedBy(update)].sort()).toEqual(['198.51.100.0/24', '2001:db8:1::/48'])
      expect(update.malformations).toEqual([])
      for (const { run, attributes: set } of update.announced)
        expect(typeof set.nextHop?.address).toBe(run.family === 'IPv4Unicast' ? 'number' : 'bigint')
    },
  )

  test('the views lie in the message that was received', () => {
    const bytes = rawUpdate({ withdrawn: '18 c63365', attributes: parts, nlri: PREFIX })
    const update = decodedUpdate(bytes)
    for (const run of [...update.withdrawn, ...update.announced.map(({ run }) => run)]) expect(run.bytes.buffer).toBe(bytes.buffer)
    expect(update.withdrawn.map(({ count }) => count)).toEqual([1, 1])
  })

  test('[rule 144] attributes without NLRI are neither an error nor End-of-RIB', () => {
    for (const attributes of [GOOD, [attributeHex(0xc0, 99, '00')], [attributeHex(0x80, 99, '')]]) {
      expect(decodedUpdate(rawUpdate({ attributes }))).toMatchObject({ withdrawn: [], announced: [], endOfRib: null, malformations: [] })
    }
  })

  test('an internal peer’s UPDATE keeps its LOCAL_PREF', () => {
    const update = decodedUpdate(rawUpdate({ attributes: [...GOOD, LOCAL_PREF], nlri: PREFIX }), internal())
    expect(attributesIn(update).localPref).toBe(100)
    expect(prefixesOf(update.announced.map(({ run }) => run))).toEqual(['198.51.100.0/24'])
  })

  test('without IPv4 unicast agreed on, withdrawn routes and NLRI are not looked at', () => {
    const context = external({ families: new Set(['IPv6Unicast'] as const) })
    const update = decodedUpdate(rawUpdate({ withdrawn: 'ff', attributes: GOOD, nlri: 'ff' }), context)
    expect(update).toMatchObject({ withdrawn: [], announced: [], endOfRib: null })
  })
})
