import { describe, expect, test } from '@jest/globals'
import { community, ORIGINATED, type PathAttributes, routerId } from '../../../src/bgp/attributes.ts'
import { ByteWriter, type EncodeContext, encodePathAttributes, encodeUpdates, type UpdateBatch } from '../../../src/bgp/wire/index.ts'
import { asn, cidr, type Ipv4, type Ipv6, ip, type Prefix } from '../../../src/net/index.ts'
import {
  announcedBy,
  attributeHex,
  attributesIn,
  BOTH,
  bytesOf,
  decodedUpdate,
  external,
  hexOf,
  internal,
  mandatory,
  rawUpdate,
  sending,
  withdrawnBy,
} from './build.ts'
import { encodePrefixes } from './runs.ts'

const V4_HOP = { address: ip('192.0.2.1'), linkLocal: null }
const V6_HOP = { address: ip('2001:db8::1'), linkLocal: null }
const PATH: PathAttributes = { ...ORIGINATED, asPath: [{ type: 'sequence', asns: [asn(65001)] }], nextHop: V4_HOP }

function batch(over: Partial<UpdateBatch> = {}, context: EncodeContext = sending()): UpdateBatch {
  const family = over.family ?? 'IPv4Unicast'
  return {
    family,
    attributes: encodePathAttributes({ ...PATH, nextHop: family === 'IPv4Unicast' ? V4_HOP : V6_HOP }, family, context),
    nextHop: family === 'IPv4Unicast' ? V4_HOP : V6_HOP,
    nlri: new Uint8Array(0),
    addPath: false,
    ...over,
  }
}

/** The messages a batch becomes. */
function written(update: UpdateBatch, context: EncodeContext = sending()): readonly Uint8Array[] {
  const out = new ByteWriter()
  const { messages } = encodeUpdates(out, update, context)
  const octets = Uint8Array.from(Buffer.concat(out.take()))
  const found: Uint8Array[] = []
  for (let at = 0; at < octets.length; at += found.at(-1)?.length ?? 0)
    found.push(octets.slice(at, at + ((octets[at + 16] ?? 0) << 8) + (octets[at + 17] ?? 0)))
  expect(found).toHaveLength(messages)
  return found
}

function range(from: number, to: number): readonly number[] {
  return Array.from({ length: to - from }, (_, index) => from + index)
}

function prefixes(count: number, from: string, length: number): readonly Prefix[] {
  const base = cidr(`${from}/${length}`).address
  return Array.from({ length: count }, (_, index) => {
    const address =
      typeof base === 'number' ? ((base + index * 2 ** (32 - length)) as Ipv4) : ((base + (BigInt(index) << BigInt(128 - length))) as Ipv6)
    return { address, length }
  })
}

describe('packing UPDATEs', () => {
  test('one prefix, octet by octet', () => {
    expect(written(batch({ nlri: bytesOf('18c63364') })).map(hexOf)).toEqual([
      `${'ff'.repeat(16)}002f02 0000 0014 40010100 4002060201 0000fde9 400304c0000201 18c63364`.replaceAll(' ', ''),
    ])
  })

  test('nothing to say is no message', () => {
    expect(written(batch())).toEqual([])
    expect(written(batch({ attributes: null }))).toEqual([])
  })

  test.each([
    ['IPv4 announced', batch({ nlri: encodePrefixes(prefixes(5000, '10.0.0.0', 24)) })],
    ['IPv4 withdrawn', batch({ attributes: null, nlri: encodePrefixes(prefixes(5000, '10.0.0.0', 24)) })],
    ['IPv6 announced', batch({ family: 'IPv6Unicast', nlri: encodePrefixes(prefixes(5000, '2001:db8::', 64)) })],
    ['IPv6 withdrawn', batch({ family: 'IPv6Unicast', attributes: null, nlri: encodePrefixes(prefixes(5000, '2001:db8::', 64)) })],
  ])('[rule 119] %s: full messages of at most 4096 octets, or 65535, cut between prefixes, none lost', (_name, update) => {
    for (const [extendedMessage, limit] of [
      [false, 4096],
      [true, 65_535],
    ] as const) {
      const messages = written(update, sending({ extendedMessage }))
      const longest = update.family === 'IPv4Unicast' ? 4 : 9
      for (const message of messages.slice(0, -1)) {
        expect(message.length).toBeLessThanOrEqual(limit)
        expect(message.length).toBeGreaterThan(limit - longest)
      }
      const decoded = messages.map((message) => decodedUpdate(message, external({ extendedMessage })))
      const arrived = decoded.flatMap((each) => (update.attributes === null ? withdrawnBy(each) : announcedBy(each)))
      expect(arrived).toHaveLength(5000)
      expect(new Set(arrived).size).toBe(5000)
      expect(decoded.flatMap(({ malformations }) => malformations)).toEqual([])
    }
  })

  test('[rules 71, 119] one section a message: classic for IPv4, an MP attribute, placed first, for IPv6', () => {
    const body = (update: UpdateBatch, context?: EncodeContext): string =>
      hexOf((written(update, context)[0] ?? new Uint8Array(0)).subarray(19))
    const v6 = bytesOf('3020010db80001')
    expect(body(batch({ attributes: null, nlri: bytesOf('18c63364') }))).toBe('0004 18c63364 0000'.replaceAll(' ', ''))
    expect(body(batch({ family: 'IPv6Unicast', attributes: null, nlri: v6 }))).toBe(
      '0000 000d 800f0a 000201 3020010db80001'.replaceAll(' ', ''),
    )
    expect(body(batch({ family: 'IPv6Unicast', nlri: v6 }))).toBe(
      '0000 002c 800e1c 000201 10 20010db8000000000000000000000001 00 3020010db80001 40010100 4002060201 0000fde9'.replaceAll(' ', ''),
    )
  })

  test('[rule 57] the extended length is used from 256 octets on, and not before', () => {
    for (const count of [25, 26, 27, 28]) {
      const [message = new Uint8Array(0)] = written(
        batch({ family: 'IPv6Unicast', nlri: encodePrefixes(prefixes(count, '2001:db8::', 64)) }),
      )
      const value = 21 + 9 * count
      expect(hexOf(message.subarray(23, 25))).toBe(value > 255 ? '900e' : '800e')
      expect(announcedBy(decodedUpdate(message))).toHaveLength(count)
    }
  })

  test('[rule 57] attributes of 255 octets have one octet of length, of 256 two', () => {
    const sized = (octets: number): string =>
      hexOf(
        encodePathAttributes({ ...PATH, unknown: [{ type: 99, flags: 0xe0, value: new Uint8Array(octets) }] }, 'IPv4Unicast', sending()),
      )
    expect(sized(255)).toContain('e063ff00')
    expect(sized(256)).toContain('f063010000')
  })

  test('every size of attribute list near the limit fills its messages and loses nothing', () => {
    const nlri = encodePrefixes(prefixes(40, '2001:db8::', 64))
    for (const room of [...range(30, 60), ...range(245, 275)]) {
      const filler = new Uint8Array(4096 - 23 - room)
      const head = filler.length - 4 - 13
      filler.set(bytesOf(`40010100 4002060201 0000fde9 d063${head.toString(16).padStart(4, '0')}`))
      const messages = written(batch({ family: 'IPv6Unicast', attributes: filler, nlri }))
      if (room < 3 + 21 + 9) {
        expect(messages).toEqual([]) // not even one prefix
        continue
      }
      expect(Math.max(...messages.map(({ length }) => length))).toBeLessThanOrEqual(4096)
      const counts = messages.map((message) => decodedUpdate(message).announced[0]?.run.count ?? 0)
      expect(counts.reduce((sum, count) => sum + count)).toBe(40)
      if (messages.length > 1) expect(Math.min(...messages.slice(0, -1).map(({ length }) => length))).toBeGreaterThan(4096 - 11)
    }
  })

  test('[rule 9] attributes that leave no room for a prefix: nothing is written, the caller withdraws', () => {
    const huge = { ...PATH, communities: Array.from({ length: 1100 }, (_, index) => community(index)) }
    const out = new ByteWriter()
    const update = batch({ attributes: encodePathAttributes(huge, 'IPv4Unicast', sending()), nlri: bytesOf('18c63364') })
    expect(encodeUpdates(out, update, sending())).toEqual({ messages: 0, tooLarge: true })
    expect(out.take()).toEqual([])
    expect(encodeUpdates(out, update, sending({ extendedMessage: true }))).toEqual({ messages: 1, tooLarge: false })
  })

  test('[rule 9] the room is judged by the longest prefix there is to send', () => {
    const attributes = new Uint8Array(4096 - 23 - 3)
    const sized = (nlri: string): boolean => encodeUpdates(new ByteWriter(), batch({ attributes, nlri: bytesOf(nlri) }), sending()).tooLarge
    expect(sized('10ac10')).toBe(false)
    expect(sized('10ac1018c63364')).toBe(true)
  })

  test('[rule 8] without extended messages nothing over 4096 octets leaves', () => {
    const messages = written(batch({ nlri: encodePrefixes(prefixes(3000, '10.0.0.0', 32)) }))
    expect(Math.max(...messages.map(({ length }) => length))).toBeLessThanOrEqual(4096)
    expect(messages).toHaveLength(4)
  })

  test('[rules 111, 120] IPv4 through an IPv6 next hop goes into MP_REACH_NLRI, and only if it was agreed on', () => {
    const update = batch({
      nextHop: V6_HOP,
      nlri: bytesOf('18c63364'),
      attributes: encodePathAttributes({ ...PATH, nextHop: V6_HOP }, 'IPv4Unicast', sending()),
    })
    const [message = new Uint8Array(0)] = written(update, sending({ extendedNextHop: true }))
    const decoded = decodedUpdate(message, external({ extendedNextHop: true }))
    expect(announcedBy(decoded)).toEqual(['198.51.100.0/24'])
    expect(attributesIn(decoded).nextHop).toEqual(V6_HOP)
    expect(() => written(update)).toThrow(RangeError)
    expect(() => written(batch({ family: 'IPv6Unicast', nextHop: V4_HOP, nlri: bytesOf('3020010db80001') }))).toThrow(RangeError)
    expect(() => written(batch({ family: 'IPv6Unicast', nextHop: null, nlri: bytesOf('3020010db80001') }))).toThrow(RangeError)
  })

  test('[rule 108] 32 octets of next hop when there is a link-local address, 16 when not', () => {
    const both = { address: ip('2001:db8::1'), linkLocal: ip('fe80::1') as Ipv6 }
    for (const nextHop of [both, V6_HOP, { address: ip('fe80::1'), linkLocal: null }]) {
      const [message = new Uint8Array(0)] = written(batch({ family: 'IPv6Unicast', nextHop, nlri: bytesOf('3020010db80001') }))
      expect(message[29]).toBe(nextHop.linkLocal === null ? 16 : 32)
      expect(attributesIn(decodedUpdate(message)).nextHop).toEqual(nextHop)
    }
  })

  test('[rule 123] path identifiers go with their prefixes, announced and withdrawn', () => {
    const context = external({ addPathReceive: BOTH })
    for (const family of ['IPv4Unicast', 'IPv6Unicast'] as const) {
      const list = prefixes(3000, family === 'IPv4Unicast' ? '10.0.0.0' : '2001:db8::', family === 'IPv4Unicast' ? 24 : 48)
      const nlri = encodePrefixes(
        list,
        list.map((_, index) => index),
      )
      for (const attributes of [batch({ family }).attributes, null]) {
        const updates = written(batch({ family, nlri, attributes, addPath: true })).map((message) => decodedUpdate(message, context))
        const arrived = updates.flatMap((update) => (attributes === null ? withdrawnBy(update) : announcedBy(update)))
        expect(arrived).toHaveLength(3000)
        expect(arrived.every((each, index) => each.endsWith(` #${index}`))).toBe(true)
      }
    }
  })
})

describe('which attributes a peer gets', () => {
  const full: PathAttributes = {
    ...PATH,
    med: 5,
    localPref: 200,
    originatorId: routerId(0x0a000009),
    clusterList: [routerId(1)],
    extendedCommunities: [0x0002_fde9_0000_0001n, 0x4004_fde9_4b18_9680n],
    ipv6ExtendedCommunities: [`00${'11'.repeat(19)}`, `40${'22'.repeat(19)}`],
    unknown: [
      { type: 11, flags: 0xc0, value: bytesOf('aa') },
      { type: 99, flags: 0xe0, value: bytesOf('bb') },
    ],
  }

  function types(peerType: 'eBGP' | 'iBGP', attributes = full, family: 'IPv4Unicast' | 'IPv6Unicast' = 'IPv4Unicast'): readonly number[] {
    const list = encodePathAttributes(attributes, family, sending({ peerType }))
    const found: number[] = []
    for (let at = 0; at < list.length; at += 3 + (list[at + 2] ?? 0)) found.push(list[at + 1] ?? 0)
    return found
  }

  test('ascending order of type, the unknown among the known', () => {
    expect(types('iBGP')).toEqual([1, 2, 3, 4, 5, 9, 10, 11, 16, 25, 99])
  })

  test('[rule 91] LOCAL_PREF to every internal peer, 100 if nothing else is said, and to no external one', () => {
    expect(types('eBGP')).not.toContain(5)
    const unset = encodePathAttributes({ ...PATH, localPref: null }, 'IPv4Unicast', sending({ peerType: 'iBGP' }))
    expect(hexOf(unset)).toContain('40050400000064')
  })

  test('[rule 166] ORIGINATOR_ID and CLUSTER_LIST to no external peer', () => {
    expect(types('eBGP')).toEqual([1, 2, 3, 4, 11, 16, 25, 99])
  })

  test('[rule 97] non-transitive extended communities end at the border of the AS', () => {
    const outside = hexOf(encodePathAttributes(full, 'IPv4Unicast', sending()))
    expect(outside).toContain('c010080002fde900000001')
    expect(outside).not.toContain('4004fde9')
    expect(outside).toContain(`c01914${'00'}${'11'.repeat(19)}`)
    const inside = hexOf(encodePathAttributes(full, 'IPv4Unicast', sending({ peerType: 'iBGP' })))
    expect(inside).toContain('c010100002fde9000000014004fde94b189680')
    const only = { ...PATH, extendedCommunities: [0x4004_fde9_0000_0000n] }
    expect(types('eBGP', only)).not.toContain(16)
  })

  test('NEXT_HOP only for IPv4 prefixes with an IPv4 next hop', () => {
    expect(types('eBGP', full, 'IPv6Unicast')).not.toContain(3)
    expect(types('eBGP', { ...full, nextHop: V6_HOP })).not.toContain(3)
    expect(types('eBGP', { ...full, nextHop: null })).not.toContain(3)
  })

  test('[rules 60, 93] unknown attributes leave byte-exact, with the Partial bit set', () => {
    expect(hexOf(encodePathAttributes(full, 'IPv4Unicast', sending()))).toContain('e00b01aa')
    const large = { ...PATH, unknown: [{ type: 99, flags: 0xc0, value: new Uint8Array(3000).fill(0xab) }] }
    expect(hexOf(encodePathAttributes(large, 'IPv4Unicast', sending()))).toContain(`f0630bb8${'ab'.repeat(3000)}`)
  })

  test('[rule 95] communities leave sorted and once each, whatever order they were added in', () => {
    const messy: PathAttributes = {
      ...PATH,
      communities: [community(3), community(1), community(3)],
      largeCommunities: [
        [2, 0, 0],
        [1, 9, 9],
        [2, 0, 0],
      ],
      extendedCommunities: [5n, 4n, 5n],
    }
    const hex = hexOf(encodePathAttributes(messy, 'IPv4Unicast', sending()))
    expect(hex).toContain('c008080000000100000003')
    expect(hex).toContain('c0101000000000000000040000000000000005')
    expect(hex).toContain('c02018000000010000000900000009000000020000000000000000')
  })

  test('[rule 95] duplicates on receipt are one', () => {
    const attributes = [
      ...mandatory('eBGP'),
      attributeHex(0xc0, 8, 'fde90001 fde90001'),
      attributeHex(0xc0, 32, '000000010000000200000003'.repeat(2)),
    ]
    const update = decodedUpdate(rawUpdate({ attributes, nlri: '18c63364' }))
    expect(attributesIn(update)).toMatchObject({ communities: [0xfde90001], largeCommunities: [[1, 2, 3]] })
  })

  test('[rule 92] the aggregation attributes pass through untouched', () => {
    const aggregated: PathAttributes = { ...PATH, atomicAggregate: true, aggregator: { asn: asn(65001), address: ip('192.0.2.9') as Ipv4 } }
    const hex = hexOf(encodePathAttributes(aggregated, 'IPv4Unicast', sending()))
    expect(hex).toContain('400600c007080000fde9c0000209')
  })

  test('an internal peer gets back what it sent', () => {
    const [message = new Uint8Array(0)] = written(
      batch({ attributes: encodePathAttributes(full, 'IPv4Unicast', sending({ peerType: 'iBGP' })), nlri: bytesOf('18c63364') }),
    )
    const back = attributesIn(decodedUpdate(message, internal()))
    expect(back).toEqual({ ...full, unknown: full.unknown.map((each) => ({ ...each, flags: 0xe0 })) })
  })
})

describe('ByteWriter', () => {
  test('hands over what was written, in order, and never writes there again', () => {
    const out = new ByteWriter()
    out.append(bytesOf('0102'))
    const [first = new Uint8Array(0)] = out.take()
    out.append(bytesOf('03'))
    expect(out.length).toBe(1)
    expect(hexOf(first)).toBe('0102')
    expect(out.take().map(hexOf)).toEqual(['03'])
    expect(out.take()).toEqual([])
    expect(out.length).toBe(0)
  })

  test('a message never spans two chunks, and chunks are filled', () => {
    const out = new ByteWriter()
    for (let index = 0; index < 20; index++) out.append(new Uint8Array(10_000).fill(index))
    expect(out.length).toBe(200_000)
    expect(out.take().map(({ length }) => length)).toEqual([60_000, 60_000, 60_000, 20_000])
  })

  test('a chunk is filled to its last octet', () => {
    const out = new ByteWriter()
    for (const octets of [65_530, 6, 65_530, 7]) out.append(new Uint8Array(octets))
    expect(out.take().map(({ length }) => length)).toEqual([65_536, 65_530, 7])
  })

  test('what does not fit a chunk is refused', () => {
    expect(() => new ByteWriter().append(new Uint8Array(65_537))).toThrow(RangeError)
    expect(() => new ByteWriter().reserve(65_537)).toThrow(RangeError)
  })
})
