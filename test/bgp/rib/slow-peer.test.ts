import { describe, expect, test } from '@jest/globals'
import { WELL_KNOWN_COMMUNITY } from '../../../src/bgp/attributes.ts'
import type { RibConfig } from '../../../src/bgp/rib/index.ts'
import { announcement, Bench, communities, path, type TestPeer, V4, withdrawal } from './support.ts'

const prefixes = (count: number, from = 0): string[] =>
  Array.from({ length: count }, (_, index) => `20.${(index + from) >> 8}.${(index + from) & 255}.0/24`)

function world(config: Partial<RibConfig> = {}): { bench: Bench; from: TestPeer; slow: TestPeer; fast: TestPeer } {
  const bench = new Bench(config)
  const from = bench.peer('from', '10.0.0.1', 65_001)
  return { bench, from, slow: bench.peer('slow', '10.0.0.2', 65_002), fast: bench.peer('fast', '10.0.0.3', 65_003) }
}

/** The buffer of a peer has room again; from now on it fills with every delivery, or not. */
function drain(bench: Bench, peer: TestPeer, hasRoom: boolean): void {
  peer.isBlocked = false
  peer.hasRoom = hasRoom
  bench.rib.writable(peer.id)
  bench.settle()
}

describe('a peer that reads slowly', () => {
  test('holds nobody up, and is told at last how things are, once, however often they changed', () => {
    const { bench, from, slow, fast } = world()
    slow.hasRoom = false
    bench.announce(from, path('10.0.0.1', [65_001]), '30.0.0.0/8')
    expect([slow.isBlocked, slow.held.size]).toEqual([true, 1])
    for (let times = 0; times < 50; times++) bench.announce(from, path('10.0.0.1', [65_001, times + 1]), ...prefixes(100))
    bench.withdraw(from, '30.0.0.0/8', ...prefixes(50))
    expect([slow.held.size, fast.held.size]).toEqual([1, 50])
    const { messages } = slow
    drain(bench, slow, true)
    expect([...slow.held]).toEqual([...fast.held])
    expect(slow.messages - messages).toBe(2)
    expect(bench.faults()).toEqual([])
  })

  test('is back in the common stream afterwards', () => {
    const { bench, from, slow, fast } = world()
    slow.hasRoom = false
    bench.announce(from, path('10.0.0.1', [65_001]), ...prefixes(10))
    drain(bench, slow, true)
    const shared: Uint8Array[][] = []
    for (const peer of [slow, fast]) {
      const take = peer.take.bind(peer)
      peer.take = (chunks) => {
        shared.push([...chunks])
        return take(chunks)
      }
    }
    bench.announce(from, path('10.0.0.1', [65_001]), '30.0.0.0/8')
    expect(shared[0]?.[0]).toBe(shared[1]?.[0])
  })

  test('gets its backlog in slices of the budget, and no more than it takes', () => {
    const { bench, from, slow } = world()
    slow.hasRoom = false
    bench.announce(from, path('10.0.0.1', [65_001]), '30.0.0.0/8')
    bench.announce(from, path('10.0.0.1', [65_001]), ...prefixes(1000))
    slow.isBlocked = false
    bench.rib.writable(slow.id)
    bench.rib.flush(100)
    expect([slow.held.size, slow.isBlocked]).toEqual([101, true])
    bench.settle(100)
    expect(slow.held.size).toBe(101)
    for (let turns = 0; slow.held.size < 1001 && turns < 20; turns++) {
      slow.isBlocked = false
      bench.rib.writable(slow.id)
      bench.rib.flush(100)
    }
    expect([slow.held.size, bench.faults()]).toEqual([1001, []])
  })

  test('is owed withdrawals for prefixes that are long gone, and their rows go to nobody before', () => {
    const { bench, from, slow } = world()
    bench.announce(from, path('10.0.0.1', [65_001]), ...prefixes(20))
    slow.hasRoom = false
    bench.announce(from, path('10.0.0.1', [65_001]), '30.0.0.0/8')
    bench.withdraw(from, '30.0.0.0/8', ...prefixes(20))
    expect(bench.rib.sizes(V4)).toMatchObject({ prefixes: 21, paths: 0 })
    bench.announce(from, path('10.0.0.1', [65_001]), ...prefixes(20, 5000))
    drain(bench, slow, true)
    expect([...slow.held.keys()].sort()).toEqual(prefixes(20, 5000).sort())
    expect([bench.rib.sizes(V4).prefixes, bench.faults()]).toEqual([20, []])
  })

  test('that goes away takes what it was owed with it', () => {
    const { bench, from, slow } = world()
    slow.hasRoom = false
    bench.announce(from, path('10.0.0.1', [65_001]), ...prefixes(20))
    bench.withdraw(from, ...prefixes(20))
    bench.rib.sessionDown(slow.id)
    slow.session = null
    bench.settle()
    expect(bench.rib.sizes(V4)).toMatchObject({ prefixes: 0, paths: 0, attributeSets: 0 })
  })

  test('that goes away does not take rows along that still wait for selection', () => {
    const { bench, from, slow, fast } = world({ installRoutes: false })
    const quiet = { ...path('10.0.0.1', [65_001]), communities: communities(WELL_KNOWN_COMMUNITY.NO_ADVERTISE) }
    bench.announce(from, path('10.0.0.1', [65_001]), ...prefixes(40, 900))
    bench.announce(from, quiet, ...prefixes(20))
    bench.rib.sessionDown(slow.id)
    bench.up(slow)
    bench.rib.applyUpdate(from.id, withdrawal(prefixes(20)))
    bench.rib.sessionDown(slow.id)
    slow.session = null
    bench.settle()
    expect([...fast.held.keys()].sort()).toEqual(prefixes(40, 900).sort())
    expect(bench.rib.sizes(V4)).toMatchObject({ prefixes: 40, paths: 40 })
  })

  test('counts as told what it is about to be told', () => {
    const { bench, from, slow } = world()
    slow.hasRoom = false
    bench.announce(from, path('10.0.0.1', [65_001]), '30.0.0.0/8')
    bench.announce(from, path('10.0.0.1', [65_001]), ...prefixes(5))
    expect(bench.rib.counts(slow.id, V4).advertised).toBe(6)
    const out = bench.rib.adjRibOut(slow.id, { family: V4, prefix: null, after: 0, limit: 100 }).routes
    expect(out.map(({ paths }) => paths[0]?.reason).sort()[0]).toBe('sent')
    expect(out.filter(({ paths }) => paths[0]?.reason.startsWith('waiting to be sent'))).toHaveLength(5)
  })
})

test('a session that ends while its messages are handed over leaves the others, and the tables, in order', () => {
  const { bench, from, slow, fast } = world()
  const third = bench.peer('third', '10.0.0.4', 65_004)
  bench.announce(from, path('10.0.0.1', [65_001]), ...prefixes(20))
  slow.take = () => {
    slow.session = null
    bench.rib.sessionDown(slow.id)
    return false
  }
  bench.announce(from, path('10.0.0.1', [65_001, 9]), ...prefixes(10))
  bench.withdraw(from, ...prefixes(5))
  expect([fast, third].map(({ held }) => held.size)).toEqual([15, 15])
  delete (slow as { take?: unknown }).take
  bench.up(slow)
  bench.announce(from, path('10.0.0.1', [65_001]), '30.0.0.0/8')
  expect([slow, fast, third].map(({ held }) => held.size)).toEqual([16, 16, 16])
  bench.withdraw(from, '30.0.0.0/8', ...prefixes(20))
  expect([bench.rib.sizes(V4).prefixes, slow.held.size, bench.faults()]).toEqual([0, 0, []])
})

describe('a peer that has just come', () => {
  test('gets the table in slices, and End-of-RIB is due exactly when all of it is out (RFC 4724 §2)', () => {
    const { bench, from } = world()
    bench.announce(from, path('10.0.0.1', [65_001]), ...prefixes(1000))
    const late = bench.peer('late', '10.0.0.4', 65_004)
    bench.rib.flush(100)
    expect([late.held.size, late.tablesSent]).toEqual([100, []])
    bench.rib.applyUpdate(from.id, withdrawal(prefixes(10)))
    bench.settle(100)
    expect([late.held.size, late.tablesSent, bench.faults()]).toEqual([990, [V4], []])
  })

  test('with a table of nothing gets End-of-RIB at once', () => {
    const bench = new Bench()
    const peer = bench.peer('p', '10.0.0.1', 65_001)
    bench.settle()
    expect([peer.tablesSent, peer.messages]).toEqual([[V4], 0])
  })

  test('in a group of its own hears the same in the end', () => {
    const { bench, from, fast } = world()
    bench.announce(from, path('10.0.0.1', [65_001]), ...prefixes(300))
    const other = bench.peer('other', '10.0.0.5', 65_005, { nextHopMode: 'Self' })
    bench.rib.flush(50)
    bench.rib.applyUpdate(from.id, announcement(path('10.0.0.1', [65_001, 5]), prefixes(50, 100)))
    bench.settle(50)
    expect([...other.held.keys()].sort()).toEqual([...fast.held.keys()].sort())
    expect([bench.rib.sizes(V4).updateGroups, other.tablesSent]).toEqual([2, [V4]])
  })
})

test('every walk over the tables is cut into slices', () => {
  const { bench, from, fast } = world()
  const all = prefixes(5000)
  bench.rib.applyUpdate(from.id, announcement(path('10.0.0.1', [65_001]), all))
  bench.rib.flush(500)
  expect(fast.held.size).toBe(500)
  bench.settle(500)
  bench.rib.clear(from.id, V4)
  bench.rib.flush(500)
  expect(bench.rib.sizes(V4).paths).toBeGreaterThanOrEqual(4500)
  bench.settle(500)
  expect([bench.rib.sizes(V4).paths, fast.held.size]).toEqual([0, 0])
})

test('pages of a table are bounded, and together are the table', () => {
  const { bench, from } = world()
  bench.announce(from, path('10.0.0.1', [65_001]), ...prefixes(250))
  const seen: string[] = []
  for (let after: number | null = 0; after !== null; ) {
    const page = bench.rib.locRib({ family: V4, prefix: null, after, limit: 100 })
    expect(page.routes.length).toBeLessThanOrEqual(100)
    seen.push(...page.routes.map(({ prefix }) => prefix))
    after = page.next
  }
  expect(seen.sort()).toEqual(prefixes(250).sort())
})
