import { describe, expect, test } from '@jest/globals'
import { community, type PathAttributes, routerId, WELL_KNOWN_COMMUNITY } from '../../../src/bgp/attributes.ts'
import type { RibConfig, RibPeerConfig } from '../../../src/bgp/rib/index.ts'
import { asn, cidr } from '../../../src/net/index.ts'
import { announcement, Bench, CONFIG, communities, filter, path, peerConfig, rule, type TestPeer, V4, withdrawal } from './support.ts'

const P = '20.0.0.0/8'

function hears(
  attributes: PathAttributes,
  peer: Partial<RibPeerConfig> = {},
  config: Partial<RibConfig> = {},
  number = 65_001,
): { bench: Bench; peer: TestPeer; reason: string } {
  const bench = new Bench(config)
  const own = bench.peer('p', '10.0.0.1', number, peer)
  bench.announce(own, attributes, P)
  return { bench, peer: own, reason: bench.reason(P, 'p') ?? 'not there' }
}

describe('loops', () => {
  const looped = path('10.0.0.1', [65_001, 65_000, 7])

  test('a path through our own AS is not used, but kept (RFC 4271 §9.1.2) [rule 80]', () => {
    const { bench, peer, reason } = hears(looped)
    expect(reason).toBe('not accepted: AS loop: own AS 65000 is 1 times in the AS path, 0 allowed')
    expect(bench.best(P)).toBe(null)
    expect(bench.rib.counts(peer.id, V4)).toMatchObject({ received: 1, accepted: 0 })
  })

  test('our own AS inside an AS_SET is a loop too [rule 80]', () => {
    const asPath = [
      { type: 'sequence' as const, asns: [asn(65_001)] },
      { type: 'set' as const, asns: [asn(7), asn(65_000)] },
    ]
    expect(hears(path('10.0.0.1', [], { asPath })).reason).toContain('AS loop')
  })

  test('allowLocalAs counts occurrences [rule 81]', () => {
    expect(hears(looped, { allowLocalAs: 1 }).reason).toBe('best: only path')
    expect(hears(path('10.0.0.1', [65_001, 65_000, 65_000]), { allowLocalAs: 1 }).reason).toContain('2 times in the AS path, 1 allowed')
  })

  test('what we call ourselves towards the peer counts as our own', () => {
    expect(hears(path('10.0.0.1', [65_001, 65_099]), { localAsn: asn(65_099) }).reason).toContain('own AS 65099')
  })

  test('our own ORIGINATOR_ID or CLUSTER_ID comes back to us [rules 164, 168]', () => {
    const reflected = { localPref: 100, originatorId: CONFIG.routerId }
    expect(hears(path('10.0.0.1', [], reflected), {}, {}, 65_000).reason).toContain('ORIGINATOR_ID is our own router ID')
    const clustered = { localPref: 100, originatorId: routerId(9), clusterList: [routerId(1), routerId(500)] }
    expect(hears(path('10.0.0.1', [], clustered), {}, { clusterId: routerId(500) }, 65_000).reason).toContain('our own cluster ID')
    expect(hears(path('10.0.0.1', [], clustered), {}, {}, 65_000).reason).toBe('best: only path')
  })
})

describe('roles (RFC 9234 §5) [rules 171, 174]', () => {
  const marked = (number: number): PathAttributes => path('10.0.0.1', [65_001], { onlyToCustomer: asn(number) })

  test.each([
    ['Provider', 65_001, 'route leak'],
    ['RouteServer', 65_001, 'route leak'],
    ['Peer', 7, 'route leak'],
    ['Peer', 65_001, 'best'],
    ['Customer', 7, 'best'],
    ['RouteServerClient', 7, 'best'],
  ] as const)('we are %s, Only-to-Customer is AS %i: %s', (role, number, expected) => {
    expect(hears(marked(number), { role }).reason).toContain(expected)
  })

  test.each([
    ['Customer', 65_001],
    ['Peer', 65_001],
    ['RouteServerClient', 65_001],
    ['Provider', null],
    ['RouteServer', null],
    [null, null],
  ] as const)('we are %s: Only-to-Customer is added as %s', (role, expected) => {
    const { bench } = hears(path('10.0.0.1', [65_001]), { role })
    expect(bench.route(P)?.paths[0]?.onlyToCustomer).toBe(expected)
  })

  test('roles mean nothing on an internal session', () => {
    const { bench, reason } = hears(path('10.0.0.1', [], { localPref: 100, onlyToCustomer: asn(7) }), { role: 'Provider' }, {}, 65_000)
    expect([reason, bench.route(P)?.paths[0]?.onlyToCustomer]).toEqual(['best: only path', 7])
  })
})

describe('GRACEFUL_SHUTDOWN (RFC 8326) [rule 100]', () => {
  const leaving = { communities: communities(WELL_KNOWN_COMMUNITY.GRACEFUL_SHUTDOWN) }

  test('from an external peer sets LOCAL_PREF 0, before filters see it', () => {
    expect(hears(path('10.0.0.1', [65_001], leaving)).bench.route(P)?.paths[0]?.localPref).toBe(0)
    const filters = { f: filter('f', { import: [rule('Accept', { operations: [{ kind: 'setLocalPreference', value: 70 }] })] }) }
    expect(hears(path('10.0.0.1', [65_001], leaving), { filters: ['f'] }, { filters }).bench.route(P)?.paths[0]?.localPref).toBe(70)
  })

  test('apart from that, LOCAL_PREF from an external peer is not looked at [rule 91]', () => {
    expect(hears(path('10.0.0.1', [65_001], { localPref: 900 })).bench.route(P)?.paths[0]?.localPref).toBe(null)
  })

  test('from an internal peer changes nothing', () => {
    const told = path('10.0.0.1', [], { ...leaving, localPref: 150 })
    expect(hears(told, {}, {}, 65_000).bench.route(P)?.paths[0]?.localPref).toBe(150)
  })
})

describe('default policy (RFC 8212, DESIGN §7) [rule 182]', () => {
  const host: Partial<RibConfig> = { mode: 'Host', importBounds: [cidr('20.0.0.0/7')], serviceRanges: [cidr('20.1.0.0/16')] }
  const told = (prefix: string, peer: Partial<RibPeerConfig>, number: number, config: Partial<RibConfig>): string => {
    const bench = new Bench(config)
    bench.announce(
      bench.peer('p', '10.0.0.1', number, peer),
      path('10.0.0.1', number === 65_000 ? [] : [number], { localPref: number === 65_000 ? 100 : null }),
      prefix,
    )
    return bench.reason(prefix, 'p') ?? ''
  }

  test('a host accepts from outside only what is within the bounds', () => {
    expect(told('20.2.0.0/16', {}, 65_001, host)).toBe('best: only path')
    expect(told('30.0.0.0/8', {}, 65_001, host)).toBe(
      'not accepted: outside the ranges a host accepts from peers outside the cluster, and no filter accepts it',
    )
    expect(told('16.0.0.0/4', {}, 65_001, host)).toContain('not accepted')
  })

  test('nodes of the cluster and internal peers are not bounded', () => {
    expect(told('30.0.0.0/8', { clusterNode: true }, 65_001, host)).toBe('best: only path')
    expect(told('30.0.0.0/8', {}, 65_000, host)).toBe('best: only path')
  })

  test("the cluster's own service ranges are accepted from nobody, whatever filters say", () => {
    const filters = { all: filter('all', { import: [rule('Accept')] }) }
    const config = { ...host, filters }
    for (const [peer, number] of [
      [{}, 65_001],
      [{ clusterNode: true }, 65_000],
    ] as const)
      expect(told('20.1.2.0/24', { ...peer, filters: ['all'] }, number, config)).toBe(
        "not accepted: inside the cluster's own service ranges",
      )
    expect(told('30.0.0.0/8', { filters: ['all'] }, 65_001, config)).toBe('best: only path')
  })

  test('a router accepts everything', () => {
    expect(told('30.0.0.0/8', {}, 65_001, { ...host, mode: 'Router' })).toBe('best: only path')
  })
})

describe('import filters', () => {
  const blue = community(65_000 * 65_536 + 7)

  test('the first rule that matches decides, filters in order, then the default', () => {
    const filters = {
      one: filter('one', {
        import: [rule('Reject', { asPathContains: asn(666) }), rule('Accept', { communities: [{ kind: 'standard', value: blue }] })],
      }),
      two: filter('two', {
        import: [rule('Reject', { prefix: { cidr: cidr('20.0.0.0/8'), operator: 'Equal', minLength: 0, maxLength: 32 } })],
      }),
    }
    const verdict = (attributes: PathAttributes): string => hears(attributes, { filters: ['one', 'two'] }, { filters }).reason
    expect(verdict(path('10.0.0.1', [65_001, 666], { communities: [blue] }))).toBe('not accepted: rejected by filter one, rule 1')
    expect(verdict(path('10.0.0.1', [65_001], { communities: [blue] }))).toBe('best: only path')
    expect(verdict(path('10.0.0.1', [65_001]))).toBe('not accepted: rejected by filter two, rule 1')
  })

  test('each condition on attributes', () => {
    const check = (more: Parameters<typeof rule>[1], attributes: PathAttributes): boolean => {
      const filters = { f: filter('f', { import: [rule('Reject', more)] }) }
      return hears(attributes, { filters: ['f'] }, { filters }).reason.startsWith('not accepted')
    }
    const told = path('10.0.0.1', [65_001, 7, 8], {
      communities: [blue],
      largeCommunities: [[1, 2, 3]],
      extendedCommunities: [0x0002_fde8_0000_0001n],
    })
    expect(check({ communities: [{ kind: 'large', value: [1, 2, 3] }] }, told)).toBe(true)
    expect(check({ communities: [{ kind: 'large', value: [1, 2, 4] }] }, told)).toBe(false)
    expect(check({ communities: [{ kind: 'extended', value: 0x0002_fde8_0000_0001n }] }, told)).toBe(true)
    expect(check({ communities: [{ kind: 'extended', value: 1n }] }, told)).toBe(false)
    expect(
      check(
        {
          communities: [
            { kind: 'standard', value: community(1) },
            { kind: 'standard', value: blue },
          ],
        },
        told,
      ),
    ).toBe(true)
    expect(check({ asPathPrefix: [asn(65_001), asn(7)] }, told)).toBe(true)
    expect(check({ asPathPrefix: [asn(7)] }, told)).toBe(false)
    expect(check({ asPathContains: asn(8) }, told)).toBe(true)
    expect(check({ asPathContains: asn(9) }, told)).toBe(false)
    expect(check({ source: 'RemotePeers' }, told)).toBe(true)
    expect(check({ source: 'Local' }, told)).toBe(false)
    expect(check({ peerType: 'eBGP' }, told)).toBe(true)
    expect(check({ peerType: 'iBGP' }, told)).toBe(false)
  })

  test('each prefix operator', () => {
    const accepts = (operator: 'Equal' | 'NotEqual' | 'In' | 'NotIn', prefix: string, minLength = 0, maxLength = 32): boolean => {
      const filters = {
        f: filter('f', {
          import: [rule('Accept', { prefix: { cidr: cidr('20.0.0.0/8'), operator, minLength, maxLength } }), rule('Reject')],
        }),
      }
      const bench = new Bench({ filters })
      bench.announce(bench.peer('p', '10.0.0.1', 65_001, { filters: ['f'] }), path('10.0.0.1', [65_001]), prefix)
      return bench.best(prefix) === 'p'
    }
    expect(['20.0.0.0/8', '20.1.0.0/16', '21.0.0.0/8', '0.0.0.0/0'].map((prefix) => accepts('Equal', prefix))).toEqual([
      true,
      false,
      false,
      false,
    ])
    expect(['20.0.0.0/8', '20.1.0.0/16', '21.0.0.0/8'].map((prefix) => accepts('NotEqual', prefix))).toEqual([false, true, true])
    expect(['20.0.0.0/8', '20.1.0.0/16', '20.1.2.0/24', '21.0.0.0/8', '16.0.0.0/4'].map((prefix) => accepts('In', prefix, 9, 23))).toEqual([
      false,
      true,
      false,
      false,
      false,
    ])
    expect(['20.0.0.0/8', '20.1.0.0/16', '21.0.0.0/8', '16.0.0.0/4'].map((prefix) => accepts('NotIn', prefix))).toEqual([
      false,
      false,
      true,
      true,
    ])
  })

  test('operations change what is selected and passed on, not what was received', () => {
    const operations = [
      { kind: 'addCommunity' as const, community: { kind: 'standard' as const, value: blue } },
      { kind: 'removeCommunity' as const, community: { kind: 'large' as const, value: [9, 9, 9] as const } },
      { kind: 'prependAsPath' as const, asns: [asn(64_512), asn(64_512)] },
      { kind: 'setLocalPreference' as const, value: 250 },
      { kind: 'setMed' as const, value: 12 },
    ]
    const filters = { f: filter('f', { import: [rule('Accept', { operations })] }) }
    const { bench, peer } = hears(path('10.0.0.1', [65_001], { largeCommunities: [[9, 9, 9]] }), { filters: ['f'] }, { filters })
    expect(bench.route(P)?.paths[0]).toMatchObject({
      asPath: '64512 64512 65001',
      localPref: 250,
      med: 12,
      communities: ['65000:7'],
      largeCommunities: [],
    })
    const received = bench.rib.adjRibIn(peer.id, { family: V4, prefix: cidr(P), after: 0, limit: 1 }).routes[0]?.paths[0]
    expect(received).toMatchObject({ asPath: '65001', localPref: null, med: null, communities: [], largeCommunities: ['9:9:9'] })
  })

  test('a filter may remove MED, and does so before the decision [rule 90]', () => {
    const filters = { f: filter('f', { import: [rule('Accept', { operations: [{ kind: 'setMed', value: null }] })] }) }
    const bench = new Bench({ filters })
    const high = bench.peer('high', '10.0.0.1', 65_001, { filters: ['f'] })
    const low = bench.peer('low', '10.0.0.2', 65_001, { filters: ['f'] })
    bench.announce(high, path('10.0.0.1', [65_001], { med: 900 }), P)
    bench.announce(low, path('10.0.0.2', [65_001], { med: 10 }), P)
    expect(bench.best(P)).toBe('high')
  })

  test('a changed filter judges again what is there, without a refresh from the peer [rule 138]', () => {
    const { bench, peer } = hears(path('10.0.0.1', [65_001, 666]), { filters: ['f'] }, { filters: { f: filter('f', {}) } })
    const other = bench.peer('other', '10.0.0.2', 65_002)
    bench.settle()
    expect(other.held.has(P)).toBe(true)
    bench.rib.configure({ ...CONFIG, filters: { f: filter('f', { import: [rule('Reject', { asPathContains: asn(666) })] }) } })
    bench.settle()
    expect([bench.best(P), other.held.has(P), bench.fib.has(P)]).toEqual([null, false, false])
    expect(bench.rib.counts(peer.id, V4)).toMatchObject({ received: 1, accepted: 0 })
    bench.rib.configurePeer(peer.id, peerConfig('p', '10.0.0.1', 65_001))
    bench.settle()
    expect([bench.best(P), other.held.has(P), bench.fib.has(P)]).toEqual(['p', true, true])
    expect(bench.faults()).toEqual([])
  })
})

describe('NLRI', () => {
  test('the last of several announcements of a prefix in one message counts [rule 69]', () => {
    const bench = new Bench()
    const peer = bench.peer('p', '10.0.0.1', 65_001)
    const first = announcement(path('10.0.0.1', [65_001, 7]), [P, P]).announced
    const second = announcement(path('10.0.0.1', [65_001]), [P]).announced
    bench.rib.applyUpdate(peer.id, { kind: 'update', withdrawn: [], announced: [...first, ...second], endOfRib: null, malformations: [] })
    bench.settle()
    expect(bench.route(P)?.paths.map(({ asPath }) => asPath)).toEqual(['65001'])
  })

  test('a prefix both withdrawn and announced in one message is announced [rule 70]', () => {
    const bench = new Bench()
    const peer = bench.peer('p', '10.0.0.1', 65_001)
    bench.announce(peer, path('10.0.0.1', [65_001, 7]), P)
    const { withdrawn } = withdrawal([P])
    bench.rib.applyUpdate(peer.id, {
      kind: 'update',
      withdrawn,
      announced: announcement(path('10.0.0.1', [65_001]), [P]).announced,
      endOfRib: null,
      malformations: [],
    })
    bench.settle()
    expect(bench.route(P)?.paths.map(({ asPath }) => asPath)).toEqual(['65001'])
  })

  test('a withdrawal of what was never announced is nothing [rule 72]', () => {
    const bench = new Bench()
    const peer = bench.peer('p', '10.0.0.1', 65_001)
    bench.withdraw(peer, P)
    expect(bench.rib.sizes(V4)).toMatchObject({ prefixes: 0, paths: 0 })
  })

  test('with path identifiers (prefix, identifier) is the key, 0 and 4294967295 among them [rules 123, 124, 125]', () => {
    const bench = new Bench()
    const peer = bench.peer('p', '10.0.0.1', 65_001, {}, { addPathReceive: [V4] })
    const tell = (id: number, asns: readonly number[]): void =>
      bench.rib.applyUpdate(peer.id, announcement(path('10.0.0.1', asns), [P], [id]))
    tell(0, [65_001, 1])
    tell(4_294_967_295, [65_001, 2])
    tell(7, [65_001, 3])
    tell(7, [65_001, 4])
    bench.settle()
    const shown = (): unknown =>
      bench
        .route(P)
        ?.paths.map(({ pathId, asPath }) => [pathId, asPath])
        .sort()
    expect(shown()).toEqual([
      [0, '65001 1'],
      [4_294_967_295, '65001 2'],
      [7, '65001 4'],
    ])
    bench.rib.applyUpdate(peer.id, withdrawal([P], [7]))
    bench.rib.applyUpdate(peer.id, withdrawal([P], [8]))
    bench.settle()
    expect(shown()).toEqual([
      [0, '65001 1'],
      [4_294_967_295, '65001 2'],
    ])
    expect(bench.rib.counts(peer.id, V4)).toMatchObject({ received: 2 })
  })

  test('a peer can fill only so many paths for one prefix, and each counts [rules 130, 181]', () => {
    const bench = new Bench()
    const peer = bench.peer('p', '10.0.0.1', 65_001, {}, { addPathReceive: [V4] })
    for (let id = 0; id < 500; id++) bench.rib.applyUpdate(peer.id, announcement(path('10.0.0.1', [65_001]), [P], [id]))
    bench.settle()
    expect(bench.rib.counts(peer.id, V4).received).toBe(64)
  })
})
