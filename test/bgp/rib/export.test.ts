import { describe, expect, test } from '@jest/globals'
import { ORIGINATED, type PathAttributes, routerId, WELL_KNOWN_COMMUNITY } from '../../../src/bgp/attributes.ts'
import type { RibConfig, RibPeerConfig, RibSession } from '../../../src/bgp/rib/index.ts'
import type { RoleName } from '../../../src/bgp/wire/index.ts'
import { asn, cidr, ip } from '../../../src/net/index.ts'
import {
  announcement,
  asPathOf,
  Bench,
  CONFIG,
  communities,
  filter,
  HOST,
  path,
  peerConfig,
  rule,
  type TestPeer,
  V4,
  V6,
} from './support.ts'

const P = '20.0.0.0/8'
const INNER = 65_000

type To = {
  readonly number: number
  readonly peer?: Partial<RibPeerConfig>
  readonly session?: Partial<RibSession>
  readonly address?: string
}

/** What a peer is told of a path that `from` (an AS number) told us; `undefined`: nothing. */
function passedOn(
  from: number,
  attributes: PathAttributes,
  to: To,
  config: Partial<RibConfig> = {},
  fromPeer: Partial<RibPeerConfig> = {},
): PathAttributes | undefined {
  const bench = new Bench(config)
  const source = bench.peer('from', '10.0.0.1', from, fromPeer)
  const target = bench.peer('to', to.address ?? '10.0.0.2', to.number, to.peer, to.session)
  bench.announce(source, attributes, P)
  expect(bench.best(P)).toBe('from')
  expect(bench.faults()).toEqual([])
  expect(source.held.has(P)).toBe(false)
  return target.held.get(P)
}

function originated(
  to: To,
  config: Partial<RibConfig> = {},
  more: { readonly communities?: readonly number[] } = {},
): PathAttributes | undefined {
  const bench = new Bench(config)
  const target = bench.peer('to', to.address ?? '10.0.0.2', to.number, to.peer, to.session)
  bench.rib.setOriginated([{ prefix: cidr(P), communities: communities(...(more.communities ?? [])), largeCommunities: [] }])
  bench.settle()
  expect(bench.faults()).toEqual([])
  return target.held.get(P)
}

const EXTERNAL: To = { number: 65_002 }
const INTERNAL: To = { number: INNER }
const fromExternal = (more: Partial<PathAttributes> = {}): PathAttributes => path('10.0.0.1', [65_001, 7], more)
const fromInternal = (more: Partial<PathAttributes> = {}): PathAttributes => path('10.0.0.1', [65_009], { localPref: 150, ...more })

describe('what we originate', () => {
  test('goes to external peers with our AS, our address, no LOCAL_PREF [rules 79, 85, 91]', () => {
    expect(originated(EXTERNAL)).toEqual({
      ...ORIGINATED,
      asPath: path('1.1.1.1', [65_000]).asPath,
      nextHop: { address: ip('10.0.0.254'), linkLocal: null },
    })
  })

  test('goes to internal peers with an empty AS_PATH and LOCAL_PREF [rules 79, 91]', () => {
    expect(originated(INTERNAL)).toEqual({ ...ORIGINATED, localPref: 100, nextHop: { address: ip('10.0.0.254'), linkLocal: null } })
  })

  test('carries its communities, even those that would keep a learned path in: they are for others to obey', () => {
    const more = { communities: [WELL_KNOWN_COMMUNITY.NO_EXPORT, 65_000 * 65_536 + 1] }
    expect(originated(EXTERNAL, {}, more)?.communities).toEqual(communities(...more.communities))
  })

  test('with GRACEFUL_SHUTDOWN goes to internal peers at LOCAL_PREF 0: they may make nothing of the community (RFC 8326 §4.2)', () => {
    const more = { communities: [WELL_KNOWN_COMMUNITY.GRACEFUL_SHUTDOWN] }
    expect(originated(INTERNAL, {}, more)).toMatchObject({ localPref: 0, communities: communities(...more.communities) })
    expect(originated(EXTERNAL, {}, more)).toMatchObject({ localPref: null, communities: communities(...more.communities) })
  })

  test('localASNumber stands in for our own AS', () => {
    expect(asPathOf(originated({ number: 65_002, peer: { localAsn: asn(65_099) } }))).toEqual([65_099])
  })

  test('changes and goes with the list', () => {
    const bench = new Bench()
    const peer = bench.peer('to', '10.0.0.2', 65_002)
    const set = (...prefixes: string[]): void =>
      bench.rib.setOriginated(prefixes.map((each) => ({ prefix: cidr(each), communities: [], largeCommunities: [] })))
    set(P, '30.0.0.0/8', '2a00::/32')
    bench.settle()
    set('30.0.0.0/8', '40.0.0.0/8')
    bench.settle()
    expect([...peer.held.keys()].sort()).toEqual(['30.0.0.0/8', '40.0.0.0/8'])
  })
})

describe('external to external, in Router mode', () => {
  test('our AS is prepended, LOCAL_PREF and MED of others stay inside [rules 78, 89, 91]', () => {
    const told = passedOn(65_001, fromExternal({ med: 30 }), EXTERNAL)
    expect(asPathOf(told)).toEqual([65_000, 65_001, 7])
    expect([told?.med, told?.localPref]).toEqual([null, null])
  })

  test('MED set by an export filter is sent [rule 89]', () => {
    const filters = { f: filter('f', { export: [rule('Accept', { operations: [{ kind: 'setMed', value: 9 }] })] }) }
    expect(passedOn(65_001, fromExternal({ med: 30 }), { number: 65_002, peer: { filters: ['f'] } }, { filters })?.med).toBe(9)
  })

  test('a full first segment gets a new one before it; never 256 in one [rule 78]', () => {
    const full = Array.from({ length: 255 }, (_, index) => (index === 0 ? 65_001 : 1000 + index))
    const told = passedOn(65_001, path('10.0.0.1', full), EXTERNAL)
    expect(told?.asPath.map(({ asns }) => asns.length)).toEqual([1, 255])
    const set = [{ type: 'set' as const, asns: [asn(65_001)] }]
    expect(passedOn(65_001, path('10.0.0.1', [], { asPath: set }), EXTERNAL)?.asPath.map(({ type }) => type)).toEqual(['sequence', 'set'])
  })

  test('filters prepend before our own AS, which stays first', () => {
    const filters = { f: filter('f', { export: [rule('Accept', { operations: [{ kind: 'prependAsPath', asns: [asn(1), asn(2)] }] })] }) }
    expect(asPathOf(passedOn(65_001, fromExternal(), { number: 65_002, peer: { filters: ['f'] } }, { filters }))).toEqual([
      65_000, 1, 2, 65_001, 7,
    ])
  })

  test('ORIGIN, aggregation and unknown transitive attributes pass through, the unknown marked partial [rules 60, 76, 92, 93]', () => {
    const value = Uint8Array.from({ length: 1000 }, (_, index) => index & 255)
    const told = passedOn(
      65_001,
      fromExternal({
        origin: 'egp',
        atomicAggregate: true,
        aggregator: { asn: asn(7), address: ip('9.9.9.9') as never },
        unknown: [{ type: 99, flags: 0xc0, value }],
      }),
      EXTERNAL,
    )
    expect(told).toMatchObject({
      origin: 'egp',
      atomicAggregate: true,
      aggregator: { asn: 7 },
      unknown: [{ type: 99, flags: 0xe0, value }],
    })
  })

  test('reflection attributes and non-transitive extended communities end at the border of the AS [rules 97, 166]', () => {
    const transitive = 0x0002_fde8_0000_0001n
    const told = passedOn(
      INNER,
      fromInternal({ originatorId: routerId(7), clusterList: [routerId(8)], extendedCommunities: [transitive, 0x4004_fde8_0000_0001n] }),
      EXTERNAL,
    )
    expect(told).toMatchObject({ originatorId: null, clusterList: [], extendedCommunities: [transitive], localPref: null })
  })

  test('attributes that do not fit a message of the session are not sent there, others get them [rule 9]', () => {
    const huge = fromExternal({ unknown: [{ type: 99, flags: 0xc0, value: new Uint8Array(4080) }] })
    expect(passedOn(65_001, huge, EXTERNAL)).toBeUndefined()
    expect(passedOn(65_001, huge, { number: 65_002, session: { extendedMessage: true } })).toBeDefined()
    const justFits = fromExternal({ unknown: [{ type: 99, flags: 0xc0, value: new Uint8Array(3900) }] })
    expect(passedOn(65_001, justFits, EXTERNAL)).toBeDefined()
  })

  test('a route that grows too large is withdrawn where it was sent [rule 9]', () => {
    const bench = new Bench()
    const from = bench.peer('from', '10.0.0.1', 65_001)
    const to = bench.peer('to', '10.0.0.2', 65_002)
    bench.announce(from, fromExternal(), P)
    expect(to.held.has(P)).toBe(true)
    bench.announce(from, fromExternal({ unknown: [{ type: 99, flags: 0xc0, value: new Uint8Array(4080) }] }), P)
    expect([to.held.has(P), bench.fib.has(P), bench.faults()]).toEqual([false, true, []])
  })
})

describe('next hops towards external peers [rules 85, 114]', () => {
  const nextHopOf = (attributes: PathAttributes, to: To): string => String(passedOn(65_001, attributes, to)?.nextHop?.address)
  const own = String(ip('10.0.0.254'))

  test('a next hop on the subnet shared with the peer is passed on: traffic need not come through us', () => {
    expect(nextHopOf(fromExternal(), EXTERNAL)).toBe(String(ip('10.0.0.1')))
    expect(nextHopOf(path('10.0.0.77', [65_001]), EXTERNAL)).toBe(String(ip('10.0.0.77')))
  })

  test('a next hop on another subnet is replaced by our own address', () => {
    expect(nextHopOf(fromExternal(), { number: 65_002, address: '10.1.0.2', session: { localAddress: ip('10.1.0.254') } })).toBe(
      String(ip('10.1.0.254')),
    )
  })

  test('Self always sends our own, Keep never changes it, multihop peers get ours', () => {
    expect(nextHopOf(fromExternal(), { number: 65_002, peer: { nextHopMode: 'Self' } })).toBe(own)
    expect(nextHopOf(fromExternal(), { number: 65_002, address: '9.9.9.9', peer: { nextHopMode: 'Keep', ebgpMultihop: 5 } })).toBe(
      String(ip('10.0.0.1')),
    )
    expect(nextHopOf(fromExternal(), { number: 65_002, address: '9.9.9.9', peer: { ebgpMultihop: 5 } })).toBe(own)
  })

  test('no peer is told its own address, and the rule follows peers that come and go', () => {
    const bench = new Bench()
    const from = bench.peer('from', '10.0.0.1', 65_001)
    const to = bench.peer('to', '10.0.0.2', 65_002)
    bench.announce(from, path('10.0.0.2', [65_001]), P)
    expect(to.held.get(P)?.nextHop?.address).toBe(ip('10.0.0.254'))
    bench.announce(from, path('10.0.0.3', [65_001]), P)
    expect(to.held.get(P)?.nextHop?.address).toBe(ip('10.0.0.3'))
    const late = bench.add(peerConfig('late', '10.0.0.3', 65_003))
    bench.settle()
    expect(to.held.get(P)?.nextHop?.address).toBe(ip('10.0.0.254'))
    bench.rib.configurePeer(late.id, peerConfig('late', '10.0.0.4', 65_003))
    bench.settle()
    expect(to.held.get(P)?.nextHop?.address).toBe(ip('10.0.0.3'))
    bench.rib.configurePeer(late.id, peerConfig('late', '10.0.0.3', 65_003))
    bench.settle()
    expect(to.held.get(P)?.nextHop?.address).toBe(ip('10.0.0.254'))
    bench.rib.removePeer(late.id)
    bench.settle()
    expect(to.held.get(P)?.nextHop?.address).toBe(ip('10.0.0.3'))
  })

  test('IPv6 over an IPv4 session: a global address of the interface of the session, with its link-local one [rules 108, 120]', () => {
    const bench = new Bench()
    const to = bench.peer('to', '10.0.0.2', 65_002, {}, { families: [V6] })
    bench.rib.setOriginated([{ prefix: cidr('2a00::/32'), communities: [], largeCommunities: [] }])
    bench.settle()
    expect(to.held.get('2a00::/32')?.nextHop).toEqual({ address: ip('2001:db8::fe'), linkLocal: ip('fe80::fe') })
  })

  test('without any address of the family on that interface nothing is sent, rather than nonsense [rule 120]', () => {
    const bench = new Bench()
    const to = bench.peer('to', '10.1.0.2', 65_002, {}, { families: [V6], localAddress: ip('10.1.0.254') })
    bench.rib.setOriginated([{ prefix: cidr('2a00::/32'), communities: [], largeCommunities: [] }])
    bench.settle()
    expect(to.held.size).toBe(0)
    bench.rib.setHostNetwork({
      ...HOST,
      localAddresses: [...HOST.localAddresses, { address: ip('2001:db8:1::1'), prefixLength: 64, interfaceIndex: 3 }],
    })
    bench.settle()
    expect(to.held.get('2a00::/32')?.nextHop?.address).toBe(ip('2001:db8:1::1'))
  })

  test('the link-local address is left out when the peer is not on the link [rule 108]', () => {
    const bench = new Bench()
    const to = bench.peer('to', '2001:dead::2', 65_002, { ebgpMultihop: 3 }, { families: [V6] })
    bench.rib.setOriginated([{ prefix: cidr('2a00::/32'), communities: [], largeCommunities: [] }])
    bench.settle()
    expect(to.held.get('2a00::/32')?.nextHop).toEqual({ address: ip('2001:db8::fe'), linkLocal: null })
  })

  test('IPv4 over an IPv6 session goes by the IPv6 address if that was agreed on, else by an IPv4 one', () => {
    const told = (extendedNextHop: boolean): unknown => {
      const bench = new Bench()
      const to = bench.peer('to', '2001:db8::2', 65_002, {}, { extendedNextHop })
      bench.rib.setOriginated([{ prefix: cidr(P), communities: [], largeCommunities: [] }])
      bench.settle()
      return to.held.get(P)?.nextHop
    }
    expect(told(true)).toEqual({ address: ip('2001:db8::fe'), linkLocal: ip('fe80::fe') })
    expect(told(false)).toEqual({ address: ip('10.0.0.254'), linkLocal: null })
  })
})

describe('towards internal peers', () => {
  test('a path from outside keeps its next hop, AS_PATH and MED [rules 79, 86, 89]', () => {
    expect(passedOn(65_001, fromExternal({ med: 4 }), INTERNAL)).toEqual(fromExternal({ med: 4, localPref: 100 }))
  })

  test('Self replaces the next hop of what comes from outside [rule 86]', () => {
    expect(passedOn(65_001, fromExternal(), { number: INNER, peer: { nextHopMode: 'Self' } })?.nextHop?.address).toBe(ip('10.0.0.254'))
  })
})

describe('reflection (RFC 4456)', () => {
  const cluster: Partial<RibConfig> = { clusterId: routerId(500) }
  const client = { routeReflectorClient: true }

  test.each([
    ['client', 'client', true],
    ['client', 'non-client', true],
    ['non-client', 'client', true],
    ['non-client', 'non-client', false],
  ] as const)('from %s to %s: %s [rule 161]', (from, to, expected) => {
    const told = passedOn(INNER, fromInternal(), { number: INNER, peer: { routeReflectorClient: to === 'client' } }, cluster, {
      routeReflectorClient: from === 'client',
    })
    expect(told !== undefined).toBe(expected)
  })

  test('internal to external and external to internal always pass in Router mode [rule 161]', () => {
    expect(passedOn(INNER, fromInternal(), EXTERNAL, cluster, client)).toBeDefined()
    expect(passedOn(65_001, fromExternal(), INTERNAL, cluster)).toBeDefined()
  })

  test('who is no reflector passes nothing between internal peers', () => {
    expect(passedOn(INNER, fromInternal(), { number: INNER, peer: client }, {}, client)).toBeUndefined()
  })

  test('ORIGINATOR_ID is the router ID of the source, never overwritten; our cluster goes first [rules 162, 163]', () => {
    expect(passedOn(INNER, fromInternal(), INTERNAL, cluster, client)).toMatchObject({ originatorId: 0x0a00_0001, clusterList: [500] })
    expect(
      passedOn(INNER, fromInternal({ originatorId: routerId(77), clusterList: [routerId(8)] }), INTERNAL, cluster, client),
    ).toMatchObject({
      originatorId: 77,
      clusterList: [500, 8],
    })
    expect(passedOn(INNER, fromInternal(), EXTERNAL, cluster, client)).toMatchObject({ originatorId: null, clusterList: [] })
  })

  test('ORIGINATOR_ID follows the source into a new session, also for what it told before [rule 162]', () => {
    const bench = new Bench(cluster)
    const source = bench.peer('source', '10.0.0.1', INNER, client)
    const target = bench.peer('target', '10.0.0.2', INNER)
    const again = (id: number): void => {
      bench.rib.sessionDown(source.id)
      bench.rib.markStale(source.id, V4)
      bench.up(source, { remoteRouterId: routerId(id) })
      bench.settle()
    }
    bench.announce(source, fromInternal(), P)
    again(0x0a00_0077)
    expect(target.held.get(P)?.originatorId).toBe(0x0a00_0077)
    bench.withdraw(source, P)
    again(0x0a00_0078)
    bench.announce(source, fromInternal(), P)
    expect(target.held.get(P)?.originatorId).toBe(0x0a00_0078)
  })

  test('nothing else is changed, not even by next hop mode Self [rules 86, 165, 190]', () => {
    const told = fromInternal({ med: 7, origin: 'egp', communities: communities(1) })
    expect(passedOn(INNER, told, { number: INNER, peer: { nextHopMode: 'Self' } }, cluster, client)).toEqual({
      ...told,
      originatorId: 0x0a00_0001,
      clusterList: [500],
    })
    expect(originated({ number: INNER, peer: { nextHopMode: 'Auto' } }, cluster)?.nextHop?.address).toBe(ip('10.0.0.254'))
  })

  test('a client does not hear its own route back [rule 168]', () => {
    const bench = new Bench(cluster)
    const peers = [1, 2, 3].map((host) => bench.peer(`c${host}`, `10.0.0.${host}`, INNER, client))
    for (const [index, peer] of peers.entries())
      bench.announce(peer, path(`10.0.0.${index + 1}`, [], { localPref: 100 }), `20.${index}.0.0/16`)
    expect(peers.map(({ held }) => [...held.keys()].sort())).toEqual([
      ['20.1.0.0/16', '20.2.0.0/16'],
      ['20.0.0.0/16', '20.2.0.0/16'],
      ['20.0.0.0/16', '20.1.0.0/16'],
    ])
  })

  test('a host reflects between internal peers and passes on nothing else [rule 191]', () => {
    const host: Partial<RibConfig> = { ...cluster, mode: 'Host', importBounds: [cidr('0.0.0.0/0')] }
    const filters = { all: filter('all', { export: [rule('Accept')] }) }
    const to = (number: number): To => ({ number, peer: { filters: ['all'], ...client } })
    expect(passedOn(INNER, fromInternal(), to(INNER), { ...host, filters }, client)).toBeDefined()
    expect(passedOn(INNER, fromInternal(), to(65_002), { ...host, filters }, client)).toBeUndefined()
    expect(passedOn(65_001, fromExternal(), to(INNER), { ...host, filters })).toBeUndefined()
    expect(passedOn(65_001, fromExternal(), to(65_002), { ...host, filters })).toBeUndefined()
    expect(originated(to(65_002), { ...host, filters })).toBeDefined()
  })
})

describe('well-known communities bind what was learned [rule 94]', () => {
  const { NO_EXPORT, NO_ADVERTISE, NO_EXPORT_SUBCONFED, NOPEER, BLACKHOLE } = WELL_KNOWN_COMMUNITY
  test.each([
    ['NO_EXPORT', NO_EXPORT, false, true],
    ['NO_EXPORT_SUBCONFED', NO_EXPORT_SUBCONFED, false, true],
    ['NO_ADVERTISE', NO_ADVERTISE, false, false],
    ['BLACKHOLE', BLACKHOLE, false, true],
    ['NOPEER', NOPEER, true, true],
  ] as const)('%s: to external %s, to internal %s', (_name, value, toExternal, toInternal) => {
    const told = fromExternal({ communities: communities(value) })
    expect(passedOn(65_001, told, EXTERNAL) !== undefined).toBe(toExternal)
    expect(passedOn(65_001, told, INTERNAL) !== undefined).toBe(toInternal)
  })

  test('NOPEER keeps a path from bilateral peers (RFC 3765)', () => {
    expect(passedOn(65_001, fromExternal({ communities: communities(NOPEER) }), { number: 65_002, peer: { role: 'Peer' } })).toBeUndefined()
  })

  test('a community added by an export filter is for the receiver to obey', () => {
    const operations = [{ kind: 'addCommunity' as const, community: { kind: 'standard' as const, value: NO_EXPORT } }]
    const filters = { f: filter('f', { export: [rule('Accept', { operations })] }) }
    expect(passedOn(65_001, fromExternal(), { number: 65_002, peer: { filters: ['f'] } }, { filters })?.communities).toEqual([NO_EXPORT])
  })

  test('a path with a repeated or unordered community is one path [rule 95]', () => {
    const bench = new Bench()
    const to = bench.peer('to', '10.0.0.2', 65_002)
    bench.rib.setOriginated([
      {
        prefix: cidr(P),
        communities: [9, 3, 9] as never,
        largeCommunities: [
          [2, 0, 0],
          [1, 0, 0],
          [2, 0, 0],
        ],
      },
    ])
    bench.settle()
    expect(to.held.get(P)).toMatchObject({
      communities: [3, 9],
      largeCommunities: [
        [1, 0, 0],
        [2, 0, 0],
      ],
    })
  })
})

describe('roles on the way out (RFC 9234 §5) [rules 172, 173]', () => {
  const to = (role: RoleName): To => ({ number: 65_002, peer: { role } })

  test.each([
    ['Provider', 65_000],
    ['Peer', 65_000],
    ['RouteServer', 65_000],
    ['Customer', null],
    ['RouteServerClient', null],
  ] as const)('we are %s: a path without Only-to-Customer goes out with %s', (role, expected) => {
    expect(passedOn(65_001, fromExternal(), to(role))?.onlyToCustomer).toBe(expected)
    expect(originated(to(role))?.onlyToCustomer).toBe(expected)
  })

  test.each([
    ['Provider', 7],
    ['RouteServer', 7],
    ['Customer', undefined],
    ['Peer', undefined],
    ['RouteServerClient', undefined],
  ] as const)('we are %s: a path with Only-to-Customer 7 goes out with %s', (role, expected) => {
    expect(passedOn(65_001, fromExternal({ onlyToCustomer: asn(7) }), to(role))?.onlyToCustomer).toBe(expected)
  })

  test('internal peers get it unchanged', () => {
    expect(passedOn(65_001, fromExternal({ onlyToCustomer: asn(7) }), { number: INNER, peer: { role: 'Customer' } })?.onlyToCustomer).toBe(
      7,
    )
  })
})

describe('export filters', () => {
  test('tell own from learned, and prefixes apart', () => {
    const filters = {
      f: filter('f', {
        export: [
          rule('Reject', { source: 'RemotePeers', prefix: { cidr: cidr(P), operator: 'In', minLength: 9, maxLength: 32 } }),
          rule('Reject', { source: 'Local', prefix: { cidr: cidr('30.0.0.0/8'), operator: 'Equal', minLength: 0, maxLength: 32 } }),
        ],
      }),
    }
    const bench = new Bench({ filters })
    const from = bench.peer('from', '10.0.0.1', 65_001)
    const to = bench.peer('to', '10.0.0.2', 65_002, { filters: ['f'] })
    bench.rib.setOriginated(['30.0.0.0/8', '30.1.0.0/16'].map((each) => ({ prefix: cidr(each), communities: [], largeCommunities: [] })))
    bench.announce(from, fromExternal(), P, '20.1.0.0/16')
    expect([...to.held.keys()].sort()).toEqual([P, '30.1.0.0/16'])
  })

  test('a change is felt at once, and only what differs is sent', () => {
    const filters = { f: filter('f', {}) }
    const bench = new Bench({ filters })
    const from = bench.peer('from', '10.0.0.1', 65_001)
    const to = [2, 3].map((host) => bench.peer(`to-${host}`, `10.0.0.${host}`, 65_000 + host, { filters: ['f'] }))
    bench.announce(from, fromExternal(), P, '30.0.0.0/8')
    const before = to.map(({ messages }) => messages)
    bench.rib.configure({
      ...CONFIG,
      filters: {
        f: filter('f', { export: [rule('Reject', { prefix: { cidr: cidr(P), operator: 'Equal', minLength: 0, maxLength: 32 } })] }),
      },
    })
    bench.settle()
    expect(to.map(({ held }) => [...held.keys()])).toEqual([['30.0.0.0/8'], ['30.0.0.0/8']])
    expect(to.map(({ messages }, index) => messages - (before[index] ?? 0))).toEqual([1, 1])
    expect(bench.faults()).toEqual([])
  })
})

describe('update groups', () => {
  const groups = (bench: Bench): number => bench.rib.sizes(V4).updateGroups

  test('peers alike share one group and the very same octets', () => {
    const seen = new Map<number, Uint8Array[]>()
    const bench = new Bench()
    const from = bench.peer('from', '10.0.0.1', 65_001)
    const to = [2, 3, 4].map((host) => bench.peer(`to-${host}`, `10.0.0.${host}`, 65_000 + host))
    for (const peer of to) {
      const take = peer.take.bind(peer)
      peer.take = (chunks) => {
        seen.set(peer.id, [...chunks])
        return take(chunks)
      }
    }
    bench.announce(from, fromExternal(), P)
    const [first, ...others] = to.map(({ id }) => seen.get(id)?.[0])
    expect(first?.length).toBeGreaterThan(0)
    for (const other of others) expect(other).toBe(first)
    expect(groups(bench)).toBe(1)
  })

  test('whatever makes the messages differ makes another group', () => {
    const differences: readonly Partial<RibPeerConfig>[] = [
      {},
      { filters: ['f'] },
      { role: 'Customer' },
      { nextHopMode: 'Self' },
      { localAsn: asn(64_999) },
      { ebgpMultihop: 4 },
    ]
    const bench = new Bench({ filters: { f: filter('f', {}) } })
    for (const [index, more] of differences.entries()) bench.peer(`p${index}`, `10.0.0.${index + 2}`, 65_002, more)
    const sessions: readonly Partial<RibSession>[] = [
      { fourOctetAs: false },
      { extendedMessage: true },
      { longLived: [{ family: V4, forwardingPreserved: false, staleTimeSeconds: 9 }] },
    ]
    for (const [index, more] of sessions.entries()) bench.peer(`s${index}`, `10.0.0.${index + 20}`, 65_002, {}, more)
    expect(groups(bench)).toBe(differences.length + sessions.length)
  })
})

test('when the best path moves to another source and looks the same from outside, only those two peers are told', () => {
  const bench = new Bench()
  const one = bench.peer('one', '10.0.0.1', 65_001, { nextHopMode: 'Self' })
  const two = bench.peer('two', '10.0.0.2', 65_001, { nextHopMode: 'Self' })
  const third = bench.peer('third', '10.0.0.3', 65_001, { nextHopMode: 'Self' })
  bench.announce(one, path('10.0.0.1', [65_001]), P)
  bench.announce(two, path('10.0.0.2', [65_001]), P)
  expect([one, two, third].map(({ held }) => held.has(P))).toEqual([false, true, true])
  const { messages } = third
  bench.withdraw(one, P)
  expect([one, two, third].map(({ held }) => held.has(P))).toEqual([true, false, true])
  expect([third.messages - messages, bench.faults()]).toEqual([0, []])
})

test('numbers of attribute sets are used again, what was encoded under them is not', () => {
  const bench = new Bench()
  const from = bench.peer('from', '10.0.0.1', 65_001)
  const to = bench.peer('to', '10.0.0.2', 65_002)
  for (let times = 1; times <= 30; times++) {
    bench.announce(
      from,
      path(
        '10.0.0.1',
        Array.from({ length: 1 + (times % 3) }, (_, hop) => (hop === 0 ? 65_001 : times)),
      ),
      P,
    )
    expect(asPathOf(to.held.get(P))).toEqual([65_000, 65_001, ...Array.from({ length: times % 3 }, () => times)])
    if (times % 4 !== 0) bench.withdraw(from, P)
  }
})

describe('add-path, sending', () => {
  const many = (bench: Bench, send: number): TestPeer => bench.peer('many', '10.0.0.9', 65_009, { addPath: { receive: false, send } })
  const sources = (bench: Bench): TestPeer[] => [1, 2, 3].map((host) => bench.peer(`from-${host}`, `10.0.0.${host}`, 65_000 + host))
  const told = (peer: TestPeer): unknown => [...peer.held].map(([key, attributes]) => [key.split('#')[0], asPathOf(attributes)?.[1]]).sort()

  test('up to so many paths in order of preference, without the own ones of the receiver', () => {
    const bench = new Bench()
    const from = sources(bench)
    const target = many(bench, 2)
    for (const [index, peer] of from.entries()) bench.announce(peer, path(`10.0.0.${index + 1}`, [65_001 + index]), P)
    expect(told(target)).toEqual([
      [P, 65_001],
      [P, 65_002],
    ])
    bench.announce(target, path('10.0.0.9', [65_009]), P)
    expect(told(target)).toEqual([
      [P, 65_001],
      [P, 65_002],
    ])
  })

  test('identifiers are stable while a path is there, whatever the others do [rule 126]', () => {
    const bench = new Bench()
    const from = sources(bench)
    const target = many(bench, 3)
    for (const [index, peer] of from.entries()) bench.announce(peer, path(`10.0.0.${index + 1}`, [65_001 + index]), P)
    const idOf = (number: number): string | undefined =>
      [...target.held].find(([, attributes]) => asPathOf(attributes)?.[1] === number)?.[0]
    const before = idOf(65_003)
    const [first, second] = from
    if (first === undefined || second === undefined) throw new Error('no peers')
    bench.withdraw(first, P)
    bench.announce(second, path('10.0.0.2', [65_002, 9, 9]), P)
    expect([idOf(65_003), told(target)]).toEqual([
      before,
      [
        [P, 65_002],
        [P, 65_003],
      ],
    ])
    expect(bench.faults()).toEqual([])
  })

  test('a peer without add-path gets the best only [rule 127]', () => {
    const bench = new Bench()
    const from = sources(bench)
    const target = bench.peer('one', '10.0.0.9', 65_009)
    for (const [index, peer] of from.entries()) bench.announce(peer, path(`10.0.0.${index + 1}`, [65_001 + index]), P)
    expect(target.held.size).toBe(1)
  })
})

test('a change of the path within one announcement run reaches peers as one message a set of attributes', () => {
  const bench = new Bench()
  const from = bench.peer('from', '10.0.0.1', 65_001)
  const to = bench.peer('to', '10.0.0.2', 65_002)
  const before = to.messages
  const prefixes = Array.from({ length: 200 }, (_, index) => `20.0.${index}.0/24`)
  for (const prefix of prefixes) bench.rib.applyUpdate(from.id, announcement(fromExternal(), [prefix]))
  bench.settle()
  expect([to.held.size, to.messages - before]).toEqual([200, 1])
})
