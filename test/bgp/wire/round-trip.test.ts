// decode(encode(m)) is m, for every message that a session can carry; and decode never throws on what it cannot.
import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import type { AsPathSegment, Community, LargeCommunity, NextHop, PathAttributes, RouterId } from '../../../src/bgp/attributes.ts'
import type { Family } from '../../../src/bgp/family.ts'
import {
  type Capability,
  decodeMessage,
  encodeMessage,
  type Message,
  type NlriRun,
  type UpdateMessage,
} from '../../../src/bgp/wire/index.ts'
import { asn, type Ipv4, type Ipv6, isUsableUnicast, type Prefix, prefix } from '../../../src/net/index.ts'
import { BOTH, external } from './build.ts'
import { encodePrefixes, nlriRun } from './runs.ts'

const u8 = fc.integer({ min: 0, max: 255 })
const u16 = fc.integer({ min: 0, max: 0xffff })
const u32 = fc.integer({ min: 0, max: 0xffff_ffff })
const asnOf = (max: number): fc.Arbitrary<ReturnType<typeof asn>> => fc.integer({ min: 1, max }).map((number) => asn(number))
const family = fc.constantFrom<Family>('IPv4Unicast', 'IPv6Unicast')
const octets = (maxLength: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ maxLength })

/** Codes the codec does not know. */
const unknownCode = u8.filter((code) => ![1, 2, 5, 6, 9, 64, 65, 69, 70, 71].includes(code))
const withAfi = { afi: u16, safi: u8 }
const capability: fc.Arbitrary<Capability> = fc.oneof(
  fc.record({ kind: fc.constant('multiprotocol' as const), ...withAfi }),
  fc.constantFrom<Capability>({ kind: 'routeRefresh' }, { kind: 'extendedMessage' }, { kind: 'enhancedRouteRefresh' }),
  fc.record({
    kind: fc.constant('extendedNextHop' as const),
    entries: fc.array(fc.record({ afi: u16, safi: u16, nextHopAfi: u16 }), { maxLength: 5 }),
  }),
  fc.record({
    kind: fc.constant('role' as const),
    role: fc.constantFrom('Provider' as const, 'RouteServer' as const, 'RouteServerClient' as const, 'Customer' as const, 'Peer' as const),
  }),
  fc.record({
    kind: fc.constant('gracefulRestart' as const),
    restarting: fc.boolean(),
    notification: fc.boolean(),
    restartTimeSeconds: fc.integer({ min: 0, max: 4095 }),
    families: fc.array(fc.record({ ...withAfi, forwardingPreserved: fc.boolean() }), { maxLength: 5 }),
  }),
  fc.record({ kind: fc.constant('fourOctetAs' as const), asn: u32 }),
  fc.record({
    kind: fc.constant('addPath' as const),
    families: fc.array(
      fc.record({ ...withAfi, send: fc.boolean(), receive: fc.boolean() }).filter(({ send, receive }) => send || receive),
      { maxLength: 5 },
    ),
  }),
  fc.record({
    kind: fc.constant('longLivedGracefulRestart' as const),
    families: fc.array(
      fc.record({ ...withAfi, forwardingPreserved: fc.boolean(), staleTimeSeconds: fc.integer({ min: 0, max: 0xff_ffff }) }),
      {
        maxLength: 5,
      },
    ),
  }),
  fc.record({ kind: fc.constant('unknown' as const), code: unknownCode, value: octets(20) }),
)

const open: fc.Arbitrary<Message> = fc.record({
  kind: fc.constant('open' as const),
  myAs: u16,
  holdTimeSeconds: u16,
  routerId: u32,
  capabilities: fc.array(capability, { maxLength: 40 }),
})

const segment = (max: number): fc.Arbitrary<AsPathSegment> =>
  fc.record({ type: fc.constantFrom('sequence' as const, 'set' as const), asns: fc.array(asnOf(max), { minLength: 1, maxLength: 6 }) })

const ipv4Hop: fc.Arbitrary<NextHop> = u32
  .filter((value) => isUsableUnicast(value as Ipv4))
  .map((value) => ({ address: value as Ipv4, linkLocal: null }))
const global = fc.bigInt({ min: 0x2000n << 112n, max: 0x3fffn << 112n }).map((value) => value as Ipv6)
const local = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }).map((value) => ((0xfe80n << 112n) | value) as Ipv6)
const ipv6Hop: fc.Arbitrary<NextHop> = fc.oneof(
  fc.record({ address: global, linkLocal: fc.option(local) }),
  local.map((address) => ({ address, linkLocal: null })),
  local.map((address) => ({ address, linkLocal: address })),
)

function sortedUnique<T extends number | bigint | string>(values: fc.Arbitrary<T>, maxLength: number): fc.Arbitrary<readonly T[]> {
  return fc.array(values, { maxLength }).map((list) => [...new Set(list)].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0)))
}

const unusedType = fc.integer({ min: 41, max: 254 })

type Flavour = { readonly peerType: 'eBGP' | 'iBGP'; readonly fourOctetAs: boolean; readonly addPath: boolean }

function attributes({ peerType, fourOctetAs }: Flavour, hop: fc.Arbitrary<NextHop>): fc.Arbitrary<PathAttributes> {
  const isInternal = peerType === 'iBGP'
  const onlyInternal = <T>(value: fc.Arbitrary<T>, otherwise: T): fc.Arbitrary<T> => (isInternal ? value : fc.constant(otherwise))
  // Through a two-octet peer, a path with a large AS comes back joined differently; that is tested apart.
  const max = fourOctetAs ? 0xffff_ffff : 0xffff
  const transitive = (value: bigint): boolean => isInternal || (value >> 62n) % 2n === 0n
  return fc.record({
    origin: fc.constantFrom('igp' as const, 'egp' as const, 'incomplete' as const),
    asPath: fc.array(segment(max), { maxLength: 4 }),
    nextHop: hop,
    med: fc.option(u32),
    localPref: isInternal ? u32 : fc.constant(null),
    atomicAggregate: fc.boolean(),
    aggregator: fc.option(
      fc.record({
        asn: asnOf(0xffff_ffff).filter((number) => fourOctetAs || number !== 23456),
        address: u32.map((value) => value as Ipv4),
      }),
    ),
    communities: sortedUnique(
      u32.map((value) => value as Community),
      5,
    ),
    originatorId: onlyInternal(fc.option(u32.map((value) => value as RouterId)), null),
    clusterList: onlyInternal(
      fc.array(
        u32.map((value) => value as RouterId),
        { maxLength: 3 },
      ),
      [],
    ),
    extendedCommunities: sortedUnique(fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }).filter(transitive), 4),
    ipv6ExtendedCommunities: sortedUnique(
      fc.uint8Array({ minLength: 20, maxLength: 20 }).map((value) => Buffer.from(isInternal ? value : value.fill(0, 0, 1)).toString('hex')),
      3,
    ),
    largeCommunities: fc
      .uniqueArray(fc.tuple(u32, u32, u32), { maxLength: 4, selector: String })
      .map((list): readonly LargeCommunity[] => list.sort((a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2])),
    onlyToCustomer: fc.option(asnOf(0xffff_ffff)),
    unknown: fc
      .uniqueArray(fc.record({ type: unusedType, flags: fc.constant(0xe0), value: octets(300) }), {
        maxLength: 3,
        selector: ({ type }) => type,
      })
      .map((list) => list.sort((a, b) => a.type - b.type)),
  })
}

/** Prefixes nobody drops. */
function prefixOf(of: Family): fc.Arbitrary<Prefix> {
  return of === 'IPv4Unicast'
    ? fc
        .tuple(fc.integer({ min: 0x0100_0000, max: 0x7eff_ffff }), fc.integer({ min: 8, max: 32 }))
        .map(([value, length]) => prefix(value as Ipv4, length))
    : fc.tuple(global, fc.integer({ min: 3, max: 128 })).map(([value, length]) => prefix(value, length))
}

function run(of: Family, addPath: boolean): fc.Arbitrary<NlriRun> {
  return fc.array(fc.tuple(prefixOf(of), u32), { minLength: 1, maxLength: 12 }).map((list) =>
    nlriRun(
      of,
      encodePrefixes(
        list.map(([each]) => each),
        addPath ? list.map(([, id]) => id) : null,
      ),
      addPath,
    ),
  )
}

function update(flavour: Flavour): fc.Arbitrary<UpdateMessage> {
  const withdrawn = (of: Family): fc.Arbitrary<readonly NlriRun[]> =>
    fc.option(run(of, flavour.addPath)).map((each) => (each === null ? [] : [each]))
  const announcedV4 = fc.record({ run: run('IPv4Unicast', flavour.addPath), attributes: attributes(flavour, fc.oneof(ipv4Hop, ipv6Hop)) })
  const announcedV6 = fc.record({ run: run('IPv6Unicast', flavour.addPath), attributes: attributes(flavour, ipv6Hop) })
  const base = { kind: fc.constant('update' as const), endOfRib: fc.constant(null), malformations: fc.constant([]) }
  const gone = fc.tuple(withdrawn('IPv4Unicast'), withdrawn('IPv6Unicast')).map(([v4, v6]) => [...v4, ...v6])
  const announcing = fc.record({ ...base, withdrawn: gone, announced: fc.oneof(announcedV4, announcedV6).map((each) => [each]) })
  const withdrawing = fc.record({ ...base, withdrawn: gone.filter((list) => list.length > 0), announced: fc.constant([]) })
  const ending = fc.record({ ...base, withdrawn: fc.constant([]), announced: fc.constant([]), endOfRib: family })
  return fc.oneof(announcing, withdrawing, ending)
}

const plain: fc.Arbitrary<Message> = fc.oneof(
  fc.constant<Message>({ kind: 'keepalive' }),
  fc.record({ kind: fc.constant('notification' as const), code: u8, subcode: u8, data: octets(600) }),
  fc.record({ kind: fc.constant('routeRefresh' as const), family, subtype: u8 }),
)

function expectRoundTrip(message: Message, { peerType, fourOctetAs, addPath }: Flavour): void {
  const families = addPath ? BOTH : new Set<Family>()
  const both = { peerType, fourOctetAs, extendedMessage: true, extendedNextHop: true }
  const bytes = encodeMessage(message, { ...both, addPathSend: families })
  const context = external({ ...both, enforceFirstAs: false, addPathReceive: families })
  expect(decodeMessage(bytes, context)).toEqual({ ok: true, value: message })
}

const FLAVOURS: readonly Flavour[] = [true, false].flatMap((fourOctetAs) =>
  [true, false].flatMap((addPath) => (['eBGP', 'iBGP'] as const).map((peerType) => ({ peerType, fourOctetAs, addPath }))),
)

describe('decode(encode(m)) is m', () => {
  test('OPEN, of both forms', () => {
    fc.assert(fc.property(open, (message) => expectRoundTrip(message, { peerType: 'eBGP', fourOctetAs: true, addPath: false })))
  })

  test('NOTIFICATION, KEEPALIVE and ROUTE-REFRESH', () => {
    fc.assert(fc.property(plain, (message) => expectRoundTrip(message, { peerType: 'eBGP', fourOctetAs: true, addPath: false })))
  })

  test.each(FLAVOURS)('UPDATE, $peerType, four-octet AS $fourOctetAs, add-path $addPath', (flavour) => {
    fc.assert(
      fc.property(update(flavour), (message) => expectRoundTrip(message, flavour)),
      { numRuns: 150 },
    )
  })
})

describe('what cannot be one message is refused', () => {
  const sendingContext = {
    peerType: 'eBGP',
    fourOctetAs: true,
    extendedMessage: false,
    addPathSend: new Set<Family>(),
    extendedNextHop: false,
  } as const
  const empty: UpdateMessage = { kind: 'update', withdrawn: [], announced: [], endOfRib: null, malformations: [] }
  const v4 = nlriRun('IPv4Unicast', Uint8Array.of(8, 10))

  test('two runs of one kind', () => {
    expect(() => encodeMessage({ ...empty, withdrawn: [v4, v4] }, sendingContext)).toThrow(RangeError)
  })

  test('more octets than the session allows', () => {
    const long = nlriRun('IPv4Unicast', new Uint8Array(5000))
    expect(() => encodeMessage({ ...empty, withdrawn: [long] }, sendingContext)).toThrow(RangeError)
    expect(encodeMessage({ ...empty, withdrawn: [long] }, { ...sendingContext, extendedMessage: true })).toHaveLength(5023)
  })
})
