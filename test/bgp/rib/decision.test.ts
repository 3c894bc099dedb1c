import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { type PathAttributes, routerId, WELL_KNOWN_COMMUNITY } from '../../../src/bgp/attributes.ts'
import type { EncapsulationConfig } from '../../../src/bgp/config.ts'
import type { RibPeerConfig } from '../../../src/bgp/rib/index.ts'
import { cidr, ip } from '../../../src/net/index.ts'
import { announcement, Bench, CONFIG, communities, HOST, path, type TestPeer, V4, withdrawal } from './support.ts'

const P = '20.0.0.0/8'

/** Four peers: two external ones in different ASes, another session with the first AS, an internal one. */
function rack(): { readonly bench: Bench; readonly a: TestPeer; readonly b: TestPeer; readonly again: TestPeer; readonly inner: TestPeer } {
  const bench = new Bench()
  return {
    bench,
    a: bench.peer('a', '10.0.0.1', 65_001),
    b: bench.peer('b', '10.0.0.2', 65_002),
    again: bench.peer('again', '10.0.0.3', 65_001),
    inner: bench.peer('inner', '10.0.0.4', 65_000),
  }
}

/** Announces one path from `a` and one from `b` in both orders, and says who won and why, as both tell it. */
function duel(
  first: Partial<PathAttributes>,
  second: Partial<PathAttributes>,
): { best: string | null; won: string | undefined; lost: string | undefined } {
  const outcomes = [true, false].map((isForward) => {
    const { bench, a, b } = rack()
    const tell = [
      (): void => bench.announce(a, path('10.0.0.1', [65_001], first), P),
      (): void => bench.announce(b, path('10.0.0.2', [65_002], second), P),
    ]
    for (const each of isForward ? tell : tell.reverse()) each()
    const best = bench.best(P)
    return { best, won: bench.reason(P, best ?? ''), lost: bench.reason(P, best === 'a' ? 'b' : 'a') }
  })
  expect(outcomes[0]).toEqual(outcomes[1])
  return outcomes[0] ?? { best: null, won: undefined, lost: undefined }
}

describe('each step of the decision process decides, and says so (RFC 4271 §9.1.2.2)', () => {
  const longer = [{ type: 'sequence' as const, asns: path('10.0.0.2', [65_001, 7]).asPath[0]?.asns ?? [] }]

  test('a long-lived stale path loses to any other (RFC 9494 §4.3) [rule 158]', () => {
    const stale = { communities: communities(WELL_KNOWN_COMMUNITY.LLGR_STALE) }
    expect(duel(stale, { asPath: path('10.0.0.2', [65_002, 7, 8, 9]).asPath })).toEqual({
      best: 'b',
      won: 'best: not long-lived stale',
      lost: 'lost: long-lived stale',
    })
  })

  test('what we originate wins over everything learned', () => {
    const { bench, a } = rack()
    bench.announce(a, path('10.0.0.1', [65_001]), P)
    bench.rib.setOriginated([{ prefix: cidr(P), communities: [], largeCommunities: [] }])
    bench.settle()
    expect(bench.best(P)).toBe('local')
    expect(bench.reason(P, 'local')).toBe('best: originated here')
    expect(bench.reason(P, 'a')).toBe('lost: we originate this prefix ourselves')
    expect(bench.fib.has(P)).toBe(false)
  })

  test('the highest LOCAL_PREF, 100 where it is absent', () => {
    const { bench, a, inner } = rack()
    bench.announce(a, path('10.0.0.1', [65_001]), P)
    bench.announce(inner, path('10.0.0.4', [65_009, 8, 7], { localPref: 101 }), P)
    expect(bench.best(P)).toBe('inner')
    expect(bench.reason(P, 'inner')).toBe('best: higher local preference (101 > 100)')
    expect(bench.reason(P, 'a')).toBe('lost: lower local preference (100 < 101)')
  })

  test('the shortest AS_PATH', () => {
    expect(duel({ asPath: longer }, {})).toEqual({ best: 'b', won: 'best: shorter AS path (1 < 2)', lost: 'lost: longer AS path (2 > 1)' })
  })

  test('an AS_SET counts one, confederation segments none', () => {
    const [asn1, asn2, asn3] = path('10.0.0.1', [65_001, 8, 9]).asPath[0]?.asns ?? []
    if (asn1 === undefined || asn2 === undefined || asn3 === undefined) throw new Error('no ASNs')
    const withSet = [
      { type: 'confedSequence' as const, asns: [asn3, asn2, asn1] },
      { type: 'sequence' as const, asns: [asn1] },
      { type: 'set' as const, asns: [asn2, asn3] },
    ]
    const { best, lost } = duel({ asPath: withSet }, { asPath: path('10.0.0.2', [65_002, 7, 6]).asPath })
    expect([best, lost]).toEqual(['a', 'lost: longer AS path (3 > 2)'])
  })

  test('the lowest ORIGIN [rule 76]', () => {
    expect(duel({ origin: 'incomplete' }, { origin: 'egp' })).toEqual({
      best: 'b',
      won: 'best: better origin (egp, not incomplete)',
      lost: 'lost: worse origin (incomplete, not egp)',
    })
  })

  test('the lowest MED among paths from one neighbouring AS, a missing one being 0', () => {
    const { bench, a, again } = rack()
    bench.announce(a, path('10.0.0.1', [65_001], { med: 10 }), P)
    bench.announce(again, path('10.0.0.3', [65_001]), P)
    expect(bench.best(P)).toBe('again')
    expect(bench.reason(P, 'a')).toBe('lost: higher MED (10 > 0)')
  })

  test('MED says nothing between neighbouring ASes', () => {
    expect(duel({ med: 500 }, { med: 1 })).toMatchObject({ best: 'a', lost: 'lost: higher router ID (10.0.0.2 > 10.0.0.1)' })
  })

  test('external over internal', () => {
    const { bench, b, inner } = rack()
    bench.announce(inner, path('10.0.0.4', [65_009], { localPref: 100 }), P)
    bench.announce(b, path('10.0.0.2', [65_002]), P)
    expect(bench.best(P)).toBe('b')
    expect(bench.reason(P, 'inner')).toBe('lost: from an internal peer, the best from an external one')
  })

  test('the lowest metric to the next hop', () => {
    const bench = new Bench()
    const near = bench.peer('near', '10.0.0.9', 65_000)
    const far = bench.peer('far', '10.0.0.1', 65_000)
    bench.announce(near, path('10.0.0.9', [65_001], { localPref: 100 }), P)
    bench.announce(far, path('172.16.0.1', [65_001], { localPref: 100 }), P)
    expect(bench.best(P)).toBe('near')
    expect(bench.reason(P, 'far')).toBe('lost: higher metric to the next hop (20 > 0)')
  })

  test('the lowest router ID, ORIGINATOR_ID standing in for it; then the shortest CLUSTER_LIST [rule 167]', () => {
    const bench = new Bench()
    const one = bench.peer('one', '10.0.0.1', 65_000)
    const two = bench.peer('two', '10.0.0.2', 65_000)
    const originator = { localPref: 100, originatorId: routerId(0x0900_0001) }
    bench.announce(one, path('10.0.0.1', [], { localPref: 100 }), P)
    bench.announce(two, path('10.0.0.2', [], { ...originator, clusterList: [routerId(1), routerId(2)] }), P)
    expect(bench.best(P)).toBe('two')
    expect(bench.reason(P, 'one')).toBe('lost: higher router ID (10.0.0.1 > 9.0.0.1)')
    bench.announce(one, path('10.0.0.1', [], { ...originator, clusterList: [routerId(3)] }), P)
    expect(bench.best(P)).toBe('one')
    expect(bench.reason(P, 'two')).toBe('lost: longer cluster list (2 > 1)')
  })

  test('at last the lowest peer address', () => {
    const bench = new Bench()
    const one = bench.peer('one', '10.0.0.9', 65_000)
    const two = bench.peer('two', '10.0.0.8', 65_000)
    const same = { localPref: 100, originatorId: routerId(5) }
    bench.announce(one, path('10.0.0.9', [], same), P)
    bench.announce(two, path('10.0.0.8', [], same), P)
    expect(bench.best(P)).toBe('two')
    expect(bench.reason(P, 'one')).toBe('lost: higher peer address')
  })

  test('of several paths of one peer the lowest path identifier', () => {
    const bench = new Bench()
    const peer = bench.peer('many', '10.0.0.1', 65_001, {}, { addPathReceive: [V4] })
    bench.rib.applyUpdate(peer.id, announcement(path('10.0.0.1', [65_001]), [P], [9]))
    bench.rib.applyUpdate(peer.id, announcement(path('10.0.0.2', [65_001]), [P], [4]))
    bench.settle()
    expect(
      bench
        .route(P)
        ?.paths.map(({ pathId, best, reason }) => [pathId, best, reason])
        .sort(),
    ).toEqual([
      [4, true, 'best: lower path identifier (4 < 9)'],
      [9, false, 'lost: higher path identifier (9 > 4)'],
    ])
  })
})

test('the answer does not depend on the order of arrival', () => {
  const asns = fc.constantFrom<readonly number[]>([65_001], [65_001, 9], [65_002], [65_002, 9])
  const told = fc.record({
    asns,
    med: fc.constantFrom(null, 5, 10),
    localPref: fc.constantFrom(100, 100, 200),
    origin: fc.constantFrom('igp' as const, 'igp' as const, 'egp' as const),
  })
  const tunnels: EncapsulationConfig = {
    pools: [{ prefix: cidr(P), mode: 'Always' }],
    nodes: ['10.0.0.1', '10.0.0.3', '10.0.0.4'].map(ip),
    device: { ipv4: 'eth1', ipv6: 'eth1' },
  }
  type Told = { readonly peer: number; readonly attributes: PathAttributes }
  const bestAfter = (paths: readonly Told[], noise: boolean, encapsulation: EncapsulationConfig | null): string | null => {
    const bench = new Bench({ encapsulation })
    const peers = Array.from({ length: 6 }, (_, index) => bench.peer(`p${index}`, `10.0.0.${index + 1}`, 65_000))
    for (const { peer, attributes } of paths) {
      const own = peers[peer]
      if (own === undefined) continue
      if (noise) {
        bench.rib.applyUpdate(own.id, announcement({ ...attributes, localPref: 900 }, [P]))
        bench.rib.flush()
        bench.rib.applyUpdate(own.id, withdrawal([P]))
      }
      bench.rib.applyUpdate(own.id, announcement(attributes, [P]))
      bench.rib.flush()
    }
    bench.settle()
    return bench.best(P)
  }
  fc.assert(
    fc.property(
      fc.array(told, { minLength: 2, maxLength: 6 }),
      fc.array(fc.nat(), { minLength: 6, maxLength: 6 }),
      fc.boolean(),
      fc.constantFrom(null, tunnels),
      (values, keys, noise, encapsulation) => {
        const paths = values.map(({ asns: list, ...more }, peer) => ({ peer, attributes: path(`10.0.0.${peer + 1}`, list, more) }))
        const shuffled = [...paths].sort((x, y) => (keys[x.peer] ?? 0) - (keys[y.peer] ?? 0))
        expect(bestAfter(shuffled, noise, encapsulation)).toBe(bestAfter(paths, false, encapsulation))
      },
    ),
    { numRuns: 200 },
  )
})

describe('multipath', () => {
  const spread = (more: Partial<typeof CONFIG>, third: Partial<PathAttributes> = {}): { bench: Bench; peers: TestPeer[] } => {
    const bench = new Bench(more)
    const peers = [1, 2, 3].map((host) => bench.peer(`p${host}`, `10.0.0.${host}`, 65_001))
    for (const [index, peer] of peers.entries()) bench.announce(peer, path(`10.0.0.${index + 1}`, [65_001, 7], index === 2 ? third : {}), P)
    return { bench, peers }
  }

  test('paths equal up to the tie-breaks share the traffic, no more than maximumPaths, always the same ones', () => {
    expect(spread({ maximumPaths: 2 }).bench.fib.get(P)).toEqual(['10.0.0.1%2', '10.0.0.2%2'])
    expect(spread({ maximumPaths: 16 }).bench.fib.get(P)).toEqual(['10.0.0.1%2', '10.0.0.2%2', '10.0.0.3%2'])
    expect(spread({ maximumPaths: 1 }).bench.fib.get(P)).toEqual(['10.0.0.1%2'])
  })

  test('a path with another AS_PATH of the same length joins only if relaxed', () => {
    const other = { asPath: path('10.0.0.3', [65_001, 8]).asPath }
    expect(spread({ maximumPaths: 16 }, other).bench.fib.get(P)).toEqual(['10.0.0.1%2', '10.0.0.2%2'])
    expect(spread({ maximumPaths: 16, multipathAsPathRelax: true }, other).bench.fib.get(P)).toEqual([
      '10.0.0.1%2',
      '10.0.0.2%2',
      '10.0.0.3%2',
    ])
  })

  test('the table shows who shares, and a lost member leaves the set', () => {
    const { bench, peers } = spread({ maximumPaths: 16 })
    expect(bench.route(P)?.paths.filter(({ multipath }) => multipath)).toHaveLength(3)
    expect(bench.reason(P, 'p2')).toBe('lost: higher router ID (10.0.0.2 > 10.0.0.1); shares the traffic (multipath)')
    const [, second] = peers
    if (second !== undefined) bench.withdraw(second, P)
    expect(bench.fib.get(P)).toEqual(['10.0.0.1%2', '10.0.0.3%2'])
  })

  test('a change of maximumPaths takes effect on what is there', () => {
    const { bench } = spread({ maximumPaths: 16 })
    bench.rib.configure({ ...CONFIG, maximumPaths: 1 })
    bench.settle()
    expect(bench.fib.get(P)).toEqual(['10.0.0.1%2'])
  })

  test('equal attributes from all nodes of a service make one route with all of them [rule 187]', () => {
    const bench = new Bench({ maximumPaths: 64, multipathAsPathRelax: true })
    for (let host = 1; host <= 40; host++) {
      const node = bench.peer(`node-${host}`, `10.0.0.${host}`, 64_600 + host)
      bench.announce(node, path(`10.0.0.${host}`, [64_600 + host]), '10.96.0.10/32')
    }
    expect(bench.fib.get('10.96.0.10/32')).toHaveLength(40)
  })
})

test('the best path of a session that is lost gives way to the next, and comes back', () => {
  const { bench, a, b } = rack()
  bench.announce(a, path('10.0.0.1', [65_001]), P)
  bench.announce(b, path('10.0.0.2', [65_002, 7]), P)
  bench.rib.sessionDown(a.id)
  a.session = null
  bench.rib.clear(a.id, V4)
  bench.settle()
  expect(bench.best(P)).toBe('b')
  bench.up(a)
  bench.announce(a, path('10.0.0.1', [65_001]), P)
  expect(bench.best(P)).toBe('a')
})

test('another router ID after a new session changes the tie-break', () => {
  const { bench, a, b } = rack()
  bench.announce(a, path('10.0.0.1', [65_001]), P)
  bench.announce(b, path('10.0.0.2', [65_002]), P)
  expect(bench.best(P)).toBe('a')
  bench.rib.sessionDown(a.id)
  bench.rib.markStale(a.id, V4)
  bench.settle()
  bench.up(a, { remoteRouterId: routerId(0x0b00_0000) })
  bench.settle()
  expect(bench.best(P)).toBe('b')
})

test('nothing is selected, installed or sent while paused, everything afterwards (RFC 4724 §4.1) [rules 151, 152]', () => {
  const bench = new Bench({}, HOST)
  bench.rib.setPaused(V4, true)
  const a = bench.peer('a', '10.0.0.1', 65_001)
  const b = bench.peer('b', '10.0.0.2', 65_002)
  bench.announce(a, path('10.0.0.1', [65_001]), P)
  expect([bench.best(P), bench.fib.size, b.messages, b.tablesSent.length]).toEqual([null, 0, 0, 0])
  expect(bench.reason(P, 'a')).toBe('waiting for selection')
  bench.rib.setPaused(V4, false)
  bench.settle()
  expect([bench.best(P), bench.fib.get(P), b.held.has(P), b.tablesSent]).toEqual(['a', ['10.0.0.1%2'], true, [V4]])
})

test('the Rib asks to be called once, and again only when all was done', () => {
  const { bench, a } = rack()
  bench.settle()
  const before = bench.wakes
  bench.rib.applyUpdate(a.id, announcement(path('10.0.0.1', [65_001]), [P]))
  bench.rib.applyUpdate(a.id, announcement(path('10.0.0.1', [65_001]), ['20.0.0.0/9']))
  expect(bench.wakes).toBe(before + 1)
  bench.settle()
  bench.rib.applyUpdate(a.id, withdrawal([P]))
  expect(bench.wakes).toBe(before + 2)
})

test('configuration that names a peer twice at one address on two links keeps their order', () => {
  const bench = new Bench()
  const link = (key: string, name: string): TestPeer =>
    bench.peer(key, 'fe80::9', 65_001, { interface: name } satisfies Partial<RibPeerConfig>, { families: ['IPv6Unicast'] })
  const one = link('one', 'eth0')
  const two = link('two', 'eth1')
  const same = { ...path('fe80::9', [65_001]) }
  bench.announce(two, same, '2a00::/16')
  bench.announce(one, same, '2a00::/16')
  expect(bench.best('2a00::/16')).toBe('one')
  expect(bench.fib.get('2a00::/16')).toEqual(['fe80::9%2'])
  expect(ip('fe80::9')).toBe(one.config.address)
})
