import { describe, expect, test } from '@jest/globals'
import type { PathAttributes } from '../../../src/bgp/attributes.ts'
import type { RibPeerConfig, RibSession } from '../../../src/bgp/rib/index.ts'
import { cidr, type HostNetwork, ip } from '../../../src/net/index.ts'
import { announcement, Bench, HOST, path, type TestPeer, V4, V6, withdrawal } from './support.ts'

const P = '20.0.0.0/8'
const SIX = '2a00::/16'

function told(
  attributes: PathAttributes,
  number = 65_001,
  peer: Partial<RibPeerConfig> = {},
  host: HostNetwork | null = HOST,
): { reason: string; fib: readonly string[] | undefined } {
  const bench = new Bench({}, host)
  bench.announce(bench.peer('p', '10.0.0.1', number, peer), number === 65_000 ? { ...attributes, localPref: 100 } : attributes, P)
  return { reason: bench.reason(P, 'p') ?? '', fib: bench.fib.get(P) }
}

describe('next hops of IPv4', () => {
  test('on a connected subnet: the next hop itself is the gateway', () => {
    expect(told(path('10.0.0.7', [65_001]))).toEqual({ reason: 'best: only path', fib: ['10.0.0.7%2'] })
  })

  test('through a gateway: the immediate gateway goes to the FIB', () => {
    expect(told(path('172.16.5.5', []), 65_000).fib).toEqual(['10.0.0.1%2'])
  })

  test('a gateway that is on no connected prefix is marked onlink', () => {
    const host = { ...HOST, routes: [{ prefix: cidr('0.0.0.0/0'), interfaceIndex: 2, gateway: ip('169.254.1.1'), metric: 0 }] }
    expect(told(path('172.16.5.5', []), 65_000, {}, host).fib).toEqual(['169.254.1.1%2 onlink'])
  })

  test('several equal host routes make several gateways', () => {
    const more = { prefix: cidr('172.16.0.0/12'), interfaceIndex: 3, gateway: ip('10.1.0.1'), metric: 20 }
    expect(told(path('172.16.5.5', []), 65_000, {}, { ...HOST, routes: [...HOST.routes, more] }).fib).toEqual(['10.0.0.1%2', '10.1.0.1%3'])
    expect(told(path('172.16.5.5', []), 65_000, {}, { ...HOST, routes: [...HOST.routes, { ...more, metric: 30 }] }).fib).toEqual([
      '10.0.0.1%2',
    ])
  })

  test('our own address is unusable [rule 87]', () => {
    expect(told(path('10.0.0.254', [65_001]))).toEqual({ reason: 'unusable: next hop 10.0.0.254 is our own address', fib: undefined })
    expect(told(path('10.1.0.254', []), 65_000).reason).toContain('our own address')
  })

  test('no route, not unicast, nothing known', () => {
    expect(told(path('9.9.9.9', []), 65_000).reason).toBe('unusable: no route to next hop 9.9.9.9')
    expect(told(path('127.0.0.1', []), 65_000).reason).toContain('not a unicast address')
    expect(told(path('10.0.0.1', [65_001]), 65_001, {}, null).reason).toBe('unusable: the network of this host is not known yet')
  })

  test('a single-hop external peer may name only what is on the link [rules 85, 176]', () => {
    expect(told(path('172.16.5.5', [65_001])).reason).toContain('is not on the link to the peer')
    expect(told(path('172.16.5.5', [65_001]), 65_001, { ebgpMultihop: 2 }).fib).toEqual(['10.0.0.1%2'])
    expect(told(path('172.16.5.5', [65_001]), 65_001, { ttlSecurity: 3 }).fib).toEqual(['10.0.0.1%2'])
  })

  test('resolveAll takes everything as it is, for a reflector that forwards nothing', () => {
    const bench = new Bench({ resolveAll: true, installRoutes: false }, null)
    bench.announce(bench.peer('p', '10.0.0.1', 65_001), path('9.9.9.9', [65_001]), P)
    expect([bench.best(P), bench.fib.size]).toEqual(['p', 0])
  })
})

describe('next hops of IPv6', () => {
  const hop = (address: string, linkLocal: string | null): PathAttributes => ({
    ...path(address, [65_001]),
    nextHop: { address: ip(address), linkLocal: linkLocal === null ? null : (ip(linkLocal) as never) },
  })
  const six = (
    attributes: PathAttributes,
    peer: Partial<RibPeerConfig> = {},
    session: Partial<RibSession> = {},
    address = '2001:db8::1',
  ): { reason: string; fib: readonly string[] | undefined } => {
    const bench = new Bench()
    bench.announce(bench.peer('p', address, 65_001, peer, { families: [V6, V4], extendedNextHop: true, ...session }), attributes, SIX)
    return { reason: bench.reason(SIX, 'p') ?? '', fib: bench.fib.get(SIX) }
  }

  test('the link-local one of a pair is used on the link of the session, the global one for resolution [rule 109]', () => {
    expect(six(hop('2001:db8::1', 'fe80::1')).fib).toEqual(['fe80::1%2'])
    expect(six(hop('2001:db8::1', null)).fib).toEqual(['2001:db8::1%2'])
  })

  test('a link-local address alone belongs to the link of the session [rule 110]', () => {
    expect(six(hop('fe80::9', null)).fib).toEqual(['fe80::9%2'])
    expect(six(hop('fe80::9', null), { interface: 'eth1' }, {}, 'fe80::9').fib).toEqual(['fe80::9%3'])
    expect(six(hop('fe80::9', null), { ebgpMultihop: 4 }, {}, '2001:dead::1').reason).toContain('not on a link of ours')
  })

  test('an IPv4-mapped next hop is unusable, and hurts nobody [rule 114]', () => {
    expect(six(hop('::ffff:10.0.0.1', null)).reason).toContain('not a unicast address')
  })

  test('IPv4 prefixes through an IPv6 next hop', () => {
    const bench = new Bench()
    const peer = bench.peer(
      'p',
      'fe80::9',
      65_001,
      { interface: 'eth1' },
      { families: [V4], extendedNextHop: true, localAddress: ip('fe80::1:fe') },
    )
    bench.announce(peer, hop('fe80::9', null), P)
    expect(bench.fib.get(P)).toEqual(['fe80::9%3'])
    bench.rib.setOriginated([{ prefix: cidr('30.0.0.0/8'), communities: [], largeCommunities: [] }])
    bench.settle()
    expect(peer.held.get('30.0.0.0/8')?.nextHop).toEqual({ address: ip('fe80::1:fe'), linkLocal: ip('fe80::1:fe') })
  })
})

describe('a host network that changes', () => {
  test('touches only the paths whose next hop is concerned', () => {
    const bench = new Bench()
    const near = bench.peer('near', '10.0.0.1', 65_001)
    const far = bench.peer('far', '10.1.0.1', 65_002, {}, { localAddress: ip('10.1.0.254') })
    bench.announce(near, path('10.0.0.1', [65_001]), P)
    bench.announce(far, path('10.1.0.1', [65_002]), '30.0.0.0/8')
    const batches = bench.fibBatches.length
    bench.rib.setHostNetwork({
      ...HOST,
      interfaces: [
        { index: 2, name: 'eth0', up: true },
        { index: 3, name: 'eth1', up: false },
      ],
    })
    bench.settle()
    expect([bench.fib.has(P), bench.fib.has('30.0.0.0/8'), near.held.has('30.0.0.0/8')]).toEqual([true, false, false])
    expect(bench.fibBatches.slice(batches).map(({ count }) => count)).toEqual([1])
    bench.rib.setHostNetwork(HOST)
    bench.settle()
    expect([bench.fib.has('30.0.0.0/8'), near.held.has('30.0.0.0/8')]).toEqual([true, true])
    bench.rib.setHostNetwork({ ...HOST })
    expect(bench.rib.flush()).toBe(false)
    expect(bench.faults()).toEqual([])
  })

  test('another gateway changes the FIB and tells peers nothing', () => {
    const bench = new Bench()
    const from = bench.peer('from', '10.0.0.1', 65_000)
    const to = bench.peer('to', '10.0.0.2', 65_002)
    bench.announce(from, path('172.16.0.9', [], { localPref: 100 }), P)
    const { messages } = to
    bench.rib.setHostNetwork({
      ...HOST,
      routes: HOST.routes.map((route) => (route.gateway === null ? route : { ...route, gateway: ip('10.0.0.77') })),
    })
    bench.settle()
    expect([bench.fib.get(P), to.messages]).toEqual([['10.0.0.77%2'], messages])
  })
})

describe('next hops through BGP routes', () => {
  const inner = (more: Partial<PathAttributes> = {}): Partial<PathAttributes> => ({ localPref: 100, ...more })
  const pair = (): { bench: Bench; one: TestPeer; two: TestPeer } => {
    const bench = new Bench()
    return { bench, one: bench.peer('one', '10.0.0.1', 65_000), two: bench.peer('two', '10.0.0.2', 65_000) }
  }

  test('resolve to the immediate gateway, follow the route that carries them, and go with it', () => {
    const { bench, one, two } = pair()
    bench.announce(two, path('9.9.9.9', [7], inner()), P)
    expect(bench.best(P)).toBe(null)
    bench.announce(one, path('10.0.0.1', [8], inner()), '9.0.0.0/8')
    expect([bench.best(P), bench.fib.get(P)]).toEqual(['two', ['10.0.0.1%2']])
    bench.announce(one, path('10.0.0.3', [8], inner()), '9.9.0.0/16')
    expect(bench.fib.get(P)).toEqual(['10.0.0.3%2'])
    bench.withdraw(one, '9.0.0.0/8', '9.9.0.0/16')
    expect([bench.best(P), bench.fib.has(P)]).toEqual([null, false])
  })

  test('never through themselves [rule 88]', () => {
    const { bench, one } = pair()
    bench.announce(one, path('20.1.2.3', [7], inner()), P)
    expect([bench.best(P), bench.reason(P, 'one')]).toEqual([null, 'unusable: no route to next hop 20.1.2.3'])
  })

  test('a route more specific than the one the next hop comes through does not carry its own next hop [rule 88]', () => {
    const { bench, one } = pair()
    bench.announce(one, path('172.16.0.9', [7], inner()), '172.16.0.0/24')
    expect([bench.best('172.16.0.0/24'), bench.fib.get('172.16.0.0/24')]).toEqual(['one', ['10.0.0.1%2']])
  })

  test('nor through one another [rule 88]', () => {
    const { bench, one, two } = pair()
    bench.announce(one, path('30.0.0.1', [7], inner()), P)
    bench.announce(two, path('20.0.0.1', [7], inner()), '30.0.0.0/8')
    expect([bench.best(P), bench.best('30.0.0.0/8')]).toEqual([null, null])
  })

  test('a chain longer than a network has is not followed', () => {
    const { bench, one } = pair()
    for (let hop = 20; hop < 40; hop++) bench.announce(one, path(`${hop + 1}.0.0.1`, [7], inner()), `${hop}.0.0.0/8`)
    bench.announce(one, path('10.0.0.1', [7], inner()), '40.0.0.0/8')
    expect(bench.best('39.0.0.0/8')).toBe('one')
    expect(bench.best('20.0.0.0/8')).toBe(null)
  })

  test('an external peer on the link does not get by with a BGP route', () => {
    const bench = new Bench()
    const one = bench.peer('one', '10.0.0.1', 65_001)
    bench.announce(one, path('10.0.0.1', [65_001]), '9.0.0.0/8')
    bench.announce(one, path('9.9.9.9', [65_001]), P)
    expect(bench.best(P)).toBe(null)
  })
})

test('the number of a next hop set that no prefix has any more never comes again', () => {
  const bench = new Bench()
  const peer = bench.peer('p', '10.0.0.1', 65_001)
  const setOf = (): number => bench.fibBatches.at(-1)?.nextHopSets[0] ?? 0
  const used: number[] = []
  for (const host of [1, 2, 1, 2, 2]) {
    bench.announce(peer, path(`10.0.0.${host}`, [65_001]), P)
    used.push(setOf())
  }
  bench.announce(peer, path('10.0.0.2', [65_001]), '30.0.0.0/8')
  used.push(setOf())
  expect(used).toEqual([1, 2, 3, 4, 4, 4])
})

test('routes are told to the FIB coalesced: what comes and goes between two turns is not told [rule 194]', () => {
  const bench = new Bench()
  const peer = bench.peer('p', '10.0.0.1', 65_001)
  bench.settle()
  const before = bench.fibBatches.length
  for (let times = 0; times < 50; times++) {
    bench.rib.applyUpdate(peer.id, announcement(path('10.0.0.1', [65_001, times + 1]), [P, '30.0.0.0/8']))
    bench.rib.applyUpdate(peer.id, withdrawal(['30.0.0.0/8']))
  }
  bench.settle()
  expect(bench.fibBatches.slice(before).map(({ count }) => count)).toEqual([1])
  expect([...bench.fib]).toEqual([[P, ['10.0.0.1%2']]])
})
