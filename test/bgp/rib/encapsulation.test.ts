// IP-in-IP as the tables see it: which paths need the tunnel, what they give to the FIB, and how they fare against plain ones
// (decision 17).
import { describe, expect, test } from '@jest/globals'
import type { EncapsulationConfig } from '../../../src/bgp/config.ts'
import type { RibConfig } from '../../../src/bgp/rib/index.ts'
import { cidr, type HostNetwork, ip, type ResolvingRoute } from '../../../src/net/index.ts'
import { announcement, Bench, CONFIG, HOST, path, type TestPeer, V4, V6 } from './support.ts'

const BLOCK = '20.1.2.0/26'
const SIX = '2a00:1:2:3::/122'
const ELSEWHERE = '30.0.0.0/24'
/** On-link, and beyond 10.0.0.1. */
const NEAR = '10.0.0.7'
const FAR = '172.16.5.5'
const FAR_SIX = '2001:dead::5'

const TUNNEL = { index: 9, name: 'fibipip', up: true }
const TUNNEL_SIX = { index: 10, name: 'fibip6tnl', up: true }
const TO_SIX: ResolvingRoute = { prefix: cidr('2001:dead::/32'), interfaceIndex: 2, gateway: ip('2001:db8::1'), metric: 5 }
const NODE: HostNetwork = { ...HOST, routes: [...HOST.routes, TO_SIX], interfaces: [...HOST.interfaces, TUNNEL, TUNNEL_SIX] }

type Mode = EncapsulationConfig['pools'][number]['mode']

function tunnels(mode: Mode, more: Partial<EncapsulationConfig> = {}): EncapsulationConfig {
  return {
    pools: [
      { prefix: cidr('20.1.0.0/16'), mode },
      { prefix: cidr('2a00:1::/32'), mode },
    ],
    nodes: [NEAR, FAR, FAR_SIX].map(ip),
    device: { ipv4: 'fibipip', ipv6: 'fibip6tnl' },
    ...more,
  }
}

/** A node with an internal peer `mesh` and an external one, `tor`, both of which carry both families. */
function node(encapsulation: EncapsulationConfig | null, more: Partial<RibConfig> = {}, host: HostNetwork = NODE) {
  const bench = new Bench({ encapsulation, ...more }, host)
  const both = { families: [V4, V6], extendedNextHop: true }
  const mesh = bench.peer('mesh', '10.0.0.2', 65_000, {}, both)
  const tor = bench.peer('tor', '10.0.0.1', 65_001, {}, both)
  return { bench, mesh, tor }
}

const inner = (nextHop: string) => path(nextHop, [], { localPref: 100 })

function fibOf(mode: Mode, nextHop: string, prefix = BLOCK): readonly string[] | undefined {
  const { bench, mesh } = node(tunnels(mode))
  bench.announce(mesh, inner(nextHop), prefix)
  expect(bench.reason(prefix, 'mesh')).toBe('best: only path')
  return bench.fib.get(prefix)
}

describe('which paths go through the tunnel', () => {
  test('CrossSubnet: only to nodes that are not on-link, onlink to the address of the node', () => {
    expect(fibOf('CrossSubnet', FAR)).toEqual(['172.16.5.5%9 onlink'])
    expect(fibOf('CrossSubnet', NEAR)).toEqual(['10.0.0.7%2'])
  })

  test('Always: to every node', () => {
    expect(fibOf('Always', FAR)).toEqual(['172.16.5.5%9 onlink'])
    expect(fibOf('Always', NEAR)).toEqual(['10.0.0.7%9 onlink'])
  })

  test('a single address of a borrower as well as a whole block', () => {
    expect(fibOf('CrossSubnet', FAR, '20.1.2.3/32')).toEqual(['172.16.5.5%9 onlink'])
    expect(fibOf('CrossSubnet', FAR, '20.1.0.0/16')).toEqual(['172.16.5.5%9 onlink'])
  })

  test('IPv6 goes through the device of its own family', () => {
    expect(fibOf('CrossSubnet', FAR_SIX, SIX)).toEqual(['2001:dead::5%10 onlink'])
  })

  test('not: prefixes outside the pools or larger than one, next hops that are no nodes, no configuration', () => {
    expect(fibOf('Always', FAR, ELSEWHERE)).toEqual(['10.0.0.1%2'])
    expect(fibOf('Always', FAR, '20.0.0.0/12')).toEqual(['10.0.0.1%2'])
    expect(fibOf('Always', '172.16.5.6')).toEqual(['10.0.0.1%2'])
    const { bench, mesh } = node(null)
    bench.announce(mesh, inner(FAR), BLOCK)
    expect(bench.fib.get(BLOCK)).toEqual(['10.0.0.1%2'])
  })

  test('not: an IPv4 prefix whose next hop is an IPv6 address (RFC 8950)', () => {
    expect(fibOf('Always', FAR_SIX)).toEqual(['2001:db8::1%2'])
    expect(fibOf('Always', FAR_SIX, SIX)).toEqual(['2001:dead::5%10 onlink'])
  })

  test('not: a prefix that contains the address of a node, which the tunnel itself is carried to', () => {
    const { bench, mesh } = node(tunnels('Always', { nodes: [ip(FAR), ip('20.1.2.9')] }))
    bench.announce(mesh, inner(FAR), BLOCK, '20.1.2.64/26')
    expect(bench.fib.get(BLOCK)).toEqual(['10.0.0.1%2'])
    expect(bench.fib.get('20.1.2.64/26')).toEqual(['172.16.5.5%9 onlink'])
  })

  test('where pools overlap the most specific one counts', () => {
    const pools = [...tunnels('CrossSubnet').pools, { prefix: cidr('20.1.2.0/24'), mode: 'Always' as const }]
    const { bench, mesh } = node(tunnels('CrossSubnet', { pools }))
    bench.announce(mesh, inner(NEAR), BLOCK, '20.1.3.0/26')
    expect([bench.fib.get(BLOCK), bench.fib.get('20.1.3.0/26')]).toEqual([['10.0.0.7%9 onlink'], ['10.0.0.7%2']])
  })

  test('a route by way of a pod goes the way the pod is reached', () => {
    const { bench, mesh } = node(tunnels('CrossSubnet'))
    bench.announce(mesh, inner('20.1.2.3'), ELSEWHERE)
    expect(bench.reason(ELSEWHERE, 'mesh')).toBe('unusable: no route to next hop 20.1.2.3')
    bench.announce(mesh, inner(FAR), BLOCK)
    expect(bench.fib.get(ELSEWHERE)).toEqual(['172.16.5.5%9 onlink'])
    bench.withdraw(mesh, BLOCK)
    expect(bench.fib.has(ELSEWHERE)).toBe(false)
  })
})

describe('what the tunnel needs', () => {
  const without = (...names: readonly string[]): HostNetwork => ({
    ...NODE,
    interfaces: NODE.interfaces.filter(({ name }) => !names.includes(name)),
  })

  test('a missing device makes the path unusable and says what to look for; it is used when it comes', () => {
    const { bench, mesh } = node(tunnels('CrossSubnet'), {}, without('fibipip', 'fibip6tnl'))
    bench.announce(mesh, inner(FAR), BLOCK)
    bench.announce(mesh, inner(FAR_SIX), SIX)
    expect(bench.reason(BLOCK, 'mesh')).toBe(
      'unusable: next hop 172.16.5.5 needs the tunnel device fibipip, which is missing: does the kernel have the module ipip?',
    )
    expect(bench.reason(SIX, 'mesh')).toBe(
      'unusable: next hop 2001:dead::5 needs the tunnel device fibip6tnl, which is missing: does the kernel have the module ip6_tunnel?',
    )
    expect(bench.fib.size).toBe(0)
    bench.rib.setHostNetwork(NODE)
    bench.settle()
    expect([...bench.fib.values()].flat().sort()).toEqual(['172.16.5.5%9 onlink', '2001:dead::5%10 onlink'])
    bench.rib.setHostNetwork(without('fibipip'))
    bench.settle()
    expect([...bench.fib.values()].flat()).toEqual(['2001:dead::5%10 onlink'])
  })

  test('so does one that is down', () => {
    const host = { ...without('fibipip'), interfaces: [...without('fibipip').interfaces, { ...TUNNEL, up: false }] }
    const { bench, mesh } = node(tunnels('CrossSubnet'), {}, host)
    bench.announce(mesh, inner(FAR), BLOCK)
    expect(bench.reason(BLOCK, 'mesh')).toBe('unusable: next hop 172.16.5.5 needs the tunnel device fibipip, which is down')
  })

  test('it made anew has another index, and routes follow', () => {
    const { bench, mesh } = node(tunnels('CrossSubnet'))
    bench.announce(mesh, inner(FAR), BLOCK)
    bench.rib.setHostNetwork({ ...without('fibipip'), interfaces: [...without('fibipip').interfaces, { ...TUNNEL, index: 12 }] })
    bench.settle()
    expect(bench.fib.get(BLOCK)).toEqual(['172.16.5.5%12 onlink'])
  })

  test('a node that nothing leads to is unusable as before; a route of BGP may lead to it', () => {
    const { bench, mesh, tor } = node(tunnels('CrossSubnet', { nodes: [ip('9.9.9.9')] }))
    bench.announce(mesh, inner('9.9.9.9'), BLOCK)
    expect(bench.reason(BLOCK, 'mesh')).toBe('unusable: no route to next hop 9.9.9.9')
    bench.announce(tor, path('10.0.0.1', [65_001]), '9.9.9.0/24')
    expect(bench.fib.get(BLOCK)).toEqual(['9.9.9.9%9 onlink'])
    bench.withdraw(tor, '9.9.9.0/24')
    expect(bench.fib.has(BLOCK)).toBe(false)
  })

  test('a node that is itself reached through a tunnel would make the kernel chase its tail', () => {
    const { bench, mesh } = node(tunnels('CrossSubnet', { nodes: [ip('9.9.9.9'), ip(FAR)] }))
    bench.announce(mesh, inner('9.9.9.9'), BLOCK)
    bench.announce(mesh, inner('20.1.3.1'), '9.9.9.0/24')
    bench.announce(mesh, inner(FAR), '20.1.3.0/26')
    expect(bench.fib.get('9.9.9.0/24')).toEqual(['172.16.5.5%9 onlink'])
    expect(bench.reason(BLOCK, 'mesh')).toContain('9.9.9.9 is reached through a tunnel itself')
  })
})

describe('plain before encapsulated (decision 17)', () => {
  const TOR_PATH = path('10.0.0.1', [65_001, 64_999, 64_998])

  test('what the fabric carries wins over an internal path with an empty AS_PATH, and both say why', () => {
    const { bench, mesh, tor } = node(tunnels('CrossSubnet'))
    bench.announce(mesh, inner(FAR), BLOCK)
    bench.announce(tor, TOR_PATH, BLOCK)
    expect(bench.fib.get(BLOCK)).toEqual(['10.0.0.1%2'])
    expect(bench.reason(BLOCK, 'tor')).toBe('best: plain, the others encapsulated (IP-in-IP)')
    expect(bench.reason(BLOCK, 'mesh')).toBe('lost: encapsulated (IP-in-IP), the best plain')
  })

  test('on one subnet both are plain, and the shorter AS_PATH wins as ever', () => {
    const { bench, mesh, tor } = node(tunnels('CrossSubnet'))
    bench.announce(tor, TOR_PATH, BLOCK)
    bench.announce(mesh, inner(NEAR), BLOCK)
    expect(bench.fib.get(BLOCK)).toEqual(['10.0.0.7%2'])
    expect(bench.reason(BLOCK, 'tor')).toBe('lost: longer AS path (3 > 0)')
  })

  test('LOCAL_PREF is asked first: an operator can prefer the tunnel', () => {
    const { bench, mesh, tor } = node(tunnels('CrossSubnet'))
    bench.announce(tor, TOR_PATH, BLOCK)
    bench.announce(mesh, { ...inner(FAR), localPref: 101 }, BLOCK)
    expect(bench.fib.get(BLOCK)).toEqual(['172.16.5.5%9 onlink'])
  })

  test('the plain path withdrawn, the tunnel takes over by one replacement, and gives way again by one', () => {
    const { bench, mesh, tor } = node(tunnels('CrossSubnet'))
    bench.announce(mesh, inner(FAR), BLOCK)
    bench.announce(tor, TOR_PATH, BLOCK)
    const before = bench.fibBatches.length
    bench.withdraw(tor, BLOCK)
    expect(bench.fib.get(BLOCK)).toEqual(['172.16.5.5%9 onlink'])
    bench.announce(tor, TOR_PATH, BLOCK)
    expect(bench.fib.get(BLOCK)).toEqual(['10.0.0.1%2'])
    expect(bench.fibBatches.slice(before).map(({ count, nextHopSets }) => [count, (nextHopSets[0] ?? 0) > 0])).toEqual([
      [1, true],
      [1, true],
    ])
  })

  test('plain and encapsulated paths never share the traffic', () => {
    const { bench, mesh, tor } = node(tunnels('CrossSubnet'), { maximumPaths: 16, multipathAsPathRelax: true })
    const other = bench.peer('other', '10.0.0.3', 65_000)
    bench.announce(mesh, path(FAR, [65_001], { localPref: 100 }), BLOCK)
    bench.announce(other, path('172.16.7.7', [65_001], { localPref: 100 }), BLOCK)
    expect(bench.fib.get(BLOCK)).toEqual(['10.0.0.1%2']) // 172.16.7.7 is no node
    bench.rib.configure({ ...CONFIG, maximumPaths: 16, multipathAsPathRelax: true, encapsulation: tunnels('CrossSubnet', both()) })
    bench.settle()
    expect(bench.fib.get(BLOCK)).toEqual(['172.16.5.5%9 onlink', '172.16.7.7%9 onlink'])
    bench.announce(tor, path('10.0.0.1', [65_001]), BLOCK)
    expect(bench.fib.get(BLOCK)).toEqual(['10.0.0.1%2'])
  })

  test('what is told to others is the best path with its own next hop, whatever carries it here', () => {
    const { bench, mesh } = node(tunnels('CrossSubnet'))
    const down = bench.peer('down', '10.0.0.9', 65_009)
    bench.announce(mesh, inner(FAR), BLOCK)
    expect(down.held.get(BLOCK)?.nextHop?.address).toBe(ip('10.0.0.254'))
    expect(bench.faults()).toEqual([])
  })
})

const both = (): Partial<EncapsulationConfig> => ({ nodes: [FAR, '172.16.7.7'].map(ip) })

describe('what changes while running', () => {
  const fibAfter = (bench: Bench, encapsulation: EncapsulationConfig | null): readonly (readonly string[] | undefined)[] => {
    bench.rib.configure({ ...CONFIG, encapsulation })
    bench.settle()
    return [bench.fib.get(BLOCK), bench.fib.get('20.1.3.0/26'), bench.fib.get(ELSEWHERE)]
  }
  const filled = (): Bench => {
    const { bench, mesh } = node(null)
    bench.announce(mesh, inner(FAR), BLOCK, ELSEWHERE)
    bench.announce(mesh, inner(NEAR), '20.1.3.0/26')
    return bench
  }

  test('the mode of a pool: Never, CrossSubnet, Always and back, each route replaced once or not at all', () => {
    const bench = filled()
    const far = ['172.16.5.5%9 onlink']
    expect(fibAfter(bench, tunnels('CrossSubnet'))).toEqual([far, ['10.0.0.7%2'], ['10.0.0.1%2']])
    expect(fibAfter(bench, tunnels('Always'))).toEqual([far, ['10.0.0.7%9 onlink'], ['10.0.0.1%2']])
    const before = bench.fibBatches.length
    expect(fibAfter(bench, tunnels('CrossSubnet'))).toEqual([far, ['10.0.0.7%2'], ['10.0.0.1%2']])
    expect(bench.fibBatches.slice(before).reduce((sum, { count }) => sum + count, 0)).toBe(1)
    expect(fibAfter(bench, null)).toEqual([['10.0.0.1%2'], ['10.0.0.7%2'], ['10.0.0.1%2']])
  })

  test('which addresses are nodes', () => {
    const bench = filled()
    expect(fibAfter(bench, tunnels('Always', { nodes: [ip(NEAR)] }))).toEqual([['10.0.0.1%2'], ['10.0.0.7%9 onlink'], ['10.0.0.1%2']])
    expect(fibAfter(bench, tunnels('Always', { nodes: [ip(FAR)] }))).toEqual([['172.16.5.5%9 onlink'], ['10.0.0.7%2'], ['10.0.0.1%2']])
    const inside = tunnels('Always', { nodes: [ip(FAR), ip('20.1.2.1')] })
    expect(fibAfter(bench, inside)).toEqual([['10.0.0.1%2'], ['10.0.0.7%2'], ['10.0.0.1%2']])
  })

  test('whether a node is on-link', () => {
    const bench = filled()
    fibAfter(bench, tunnels('CrossSubnet'))
    const link = { prefix: cidr('172.16.5.0/24'), interfaceIndex: 3, gateway: null, metric: 0 }
    bench.rib.setHostNetwork({ ...NODE, routes: [...NODE.routes, link] })
    bench.settle()
    expect(bench.fib.get(BLOCK)).toEqual(['172.16.5.5%3'])
    bench.rib.setHostNetwork(NODE)
    bench.settle()
    expect(bench.fib.get(BLOCK)).toEqual(['172.16.5.5%9 onlink'])
  })

  test('a change that touches a whole table is worked off in slices', () => {
    const { bench, mesh } = node(tunnels('CrossSubnet'))
    const prefixes = Array.from({ length: 1_000 }, (_, at) => `20.1.${at >> 4}.${(at & 15) << 4}/28`)
    bench.announce(mesh, inner(FAR), ...prefixes)
    bench.rib.configure({ ...CONFIG, encapsulation: null })
    const before = bench.fibBatches.length
    bench.settle(100)
    const counts = bench.fibBatches.slice(before).map(({ count }) => count)
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(1_000)
    expect(Math.max(...counts)).toBeLessThanOrEqual(100)
  })
})

describe('routes dropped for our own AS number, where nothing carries them plain', () => {
  const host = (more: Partial<RibConfig> = {}) =>
    node(tunnels('CrossSubnet'), { mode: 'Host', importBounds: [cidr('20.1.0.0/16')], ...more })
  const SIBLING = path('10.0.0.1', [65_001, 65_000])
  const rejected = (bench: Bench, peer: TestPeer) => bench.rib.ownAsRejected(peer.id)
  const EXAMPLE = { count: 1, example: '20.1.2.0/26, AS path 65001 65000' }

  test('counted with an example, gone when withdrawn', () => {
    const { bench, tor } = host()
    bench.announce(tor, SIBLING, BLOCK)
    expect(rejected(bench, tor)).toEqual(EXAMPLE)
    bench.announce(tor, SIBLING, BLOCK, '20.1.3.0/26')
    expect(rejected(bench, tor)?.count).toBe(2)
    bench.withdraw(tor, BLOCK)
    expect(rejected(bench, tor)).toEqual({ count: 1, example: '20.1.3.0/26, AS path 65001 65000' })
    bench.rib.clear(tor.id, V4)
    bench.settle()
    expect(rejected(bench, tor)).toBeNull()
    expect(bench.rib.sizes(V4)).toMatchObject({ prefixes: 0, paths: 0 })
  })

  test('counted beside a tunnel, not beside a plain path, and no more once there is one', () => {
    const { bench, mesh, tor } = host()
    bench.announce(tor, SIBLING, BLOCK)
    bench.announce(mesh, inner(FAR), BLOCK)
    expect(rejected(bench, tor)).toEqual(EXAMPLE)
    bench.announce(mesh, inner(NEAR), BLOCK)
    expect(rejected(bench, tor)).toBeNull()
    bench.announce(mesh, inner(FAR), BLOCK)
    expect(rejected(bench, tor)).toEqual(EXAMPLE)
  })

  test('not: what is our own, what is outside the pools, a real loop, an internal peer', () => {
    const { bench, mesh, tor } = host()
    bench.rib.setOriginated([{ prefix: cidr(BLOCK), communities: [], largeCommunities: [] }])
    bench.announce(tor, SIBLING, BLOCK, ELSEWHERE)
    bench.announce(tor, path('10.0.0.1', [65_001, 65_000, 65_007]), '20.1.3.0/26')
    bench.announce(mesh, path(FAR, [65_001, 65_000], { localPref: 100 }), '20.1.4.0/26')
    expect([rejected(bench, tor), rejected(bench, mesh)]).toEqual([null, null])
  })

  test('allowLocalAS on the peer mends it; pools that are bounds no more are no matter', () => {
    const { bench, tor } = host()
    bench.announce(tor, SIBLING, BLOCK)
    bench.rib.configurePeer(tor.id, { ...tor.config, allowLocalAs: 1 })
    bench.settle()
    expect([rejected(bench, tor), bench.fib.get(BLOCK)]).toEqual([null, ['10.0.0.1%2']])
    bench.rib.configurePeer(tor.id, tor.config)
    bench.settle()
    expect(rejected(bench, tor)).toEqual(EXAMPLE)
    bench.rib.configure({ ...CONFIG, mode: 'Host', importBounds: [cidr('20.2.0.0/16')] })
    bench.settle()
    expect(rejected(bench, tor)).toBeNull()
  })

  test('announced anew with another path, it is counted once or not at all', () => {
    const { bench, tor } = host()
    bench.announce(tor, SIBLING, BLOCK)
    bench.rib.applyUpdate(tor.id, announcement(path('10.0.0.1', [65_001, 65_009, 65_000]), [BLOCK]))
    bench.settle()
    expect(rejected(bench, tor)).toEqual({ count: 1, example: '20.1.2.0/26, AS path 65001 65009 65000' })
    bench.announce(tor, path('10.0.0.1', [65_001]), BLOCK)
    expect(rejected(bench, tor)).toBeNull()
  })
})
