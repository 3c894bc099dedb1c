import { describe, expect, test } from '@jest/globals'
import { type PathAttributes, WELL_KNOWN_COMMUNITY } from '../../../src/bgp/attributes.ts'
import { announcement, Bench, communities, path, type TestPeer, V4, V6, withdrawal } from './support.ts'

const P = '20.0.0.0/8'
const Q = '30.0.0.0/8'
const told = (...asns: readonly number[]): PathAttributes => path('10.0.0.1', [65_001, ...asns])

/** A peer that has told P and Q, and another that hears of them. */
function pair(): { bench: Bench; peer: TestPeer; other: TestPeer } {
  const bench = new Bench()
  const peer = bench.peer('peer', '10.0.0.1', 65_001)
  const other = bench.peer('other', '10.0.0.2', 65_002)
  bench.announce(peer, told(), P, Q)
  return { bench, peer, other }
}

function goneButKept(bench: Bench, peer: TestPeer): void {
  bench.rib.sessionDown(peer.id)
  peer.session = null
  bench.rib.markStale(peer.id, V4)
  bench.settle()
}

const holds = (peer: TestPeer): string[] => [...peer.held.keys()].sort()

describe('graceful restart of a peer (RFC 4724 §4.2)', () => {
  test('its routes stay in use and advertised, marked stale [rule 145]', () => {
    const { bench, peer, other } = pair()
    const { messages } = other
    goneButKept(bench, peer)
    expect([bench.fib.has(P), holds(other), other.messages]).toEqual([true, [P, Q], messages])
    expect(bench.route(P)?.paths[0]).toMatchObject({ stale: true, best: true, reason: 'best: only path' })
    expect(bench.rib.counts(peer.id, V4)).toMatchObject({ received: 2, accepted: 2, stale: 2 })
  })

  test('what is announced again is fresh, even if nothing changed, and End-of-RIB sweeps the rest [rules 149, 150]', () => {
    const { bench, peer, other } = pair()
    goneButKept(bench, peer)
    bench.up(peer)
    bench.announce(peer, told(), P)
    expect(bench.route(P)?.paths[0]?.stale).toBe(false)
    expect(bench.rib.counts(peer.id, V4).stale).toBe(1)
    bench.rib.sweepStale(peer.id, V4)
    bench.settle()
    expect([holds(other), bench.fib.has(Q)]).toEqual([[P], false])
    expect(bench.rib.counts(peer.id, V4)).toMatchObject({ received: 1, stale: 0 })
    expect(bench.faults()).toEqual([])
  })

  test('a second failure deletes what was stale before, and keeps what is newer [rule 146]', () => {
    const { bench, peer, other } = pair()
    goneButKept(bench, peer)
    bench.up(peer)
    bench.announce(peer, told(), P)
    goneButKept(bench, peer)
    expect([holds(other), bench.route(P)?.paths[0]?.stale]).toEqual([[P], true])
  })

  test('when the restart time is over, or the session ends for good, all goes [rules 147, 155]', () => {
    const { bench, peer, other } = pair()
    goneButKept(bench, peer)
    bench.rib.clear(peer.id, V4)
    bench.settle()
    expect([holds(other), bench.fib.size, bench.rib.sizes(V4).paths]).toEqual([[], 0, 0])
  })

  test('only the family that did not come back goes [rule 148]', () => {
    const bench = new Bench()
    const peer = bench.peer('peer', '10.0.0.1', 65_001, {}, { families: [V4, V6] })
    bench.announce(peer, told(), P)
    bench.announce(peer, path('2001:db8::1', [65_001]), '2a00::/16')
    goneButKept(bench, peer)
    bench.rib.markStale(peer.id, V6)
    bench.rib.clear(peer.id, V6)
    bench.settle()
    expect([...bench.fib.keys()]).toEqual([P])
  })

  test('a withdrawal while stale is a withdrawal', () => {
    const { bench, peer, other } = pair()
    goneButKept(bench, peer)
    bench.up(peer)
    bench.withdraw(peer, P)
    expect([holds(other), bench.rib.counts(peer.id, V4)]).toEqual([[Q], { received: 1, accepted: 1, advertised: 0, stale: 1 }])
  })

  test('counts are right before the walk over the table has come by', () => {
    const { bench, peer } = pair()
    bench.rib.clear(peer.id, V4)
    expect(bench.rib.counts(peer.id, V4)).toMatchObject({ received: 0, stale: 0 })
    bench.rib.applyUpdate(peer.id, announcement(told(), [P]))
    expect(bench.rib.counts(peer.id, V4)).toMatchObject({ received: 1, stale: 0 })
    bench.settle()
    expect([bench.rib.counts(peer.id, V4).received, bench.best(P), bench.best(Q)]).toEqual([1, 'peer', null])
  })
})

describe('long-lived graceful restart (RFC 9494 §4.2)', () => {
  const capable = { longLived: [{ family: V4, forwardingPreserved: true, staleTimeSeconds: 100 }] }

  test('routes get LLGR_STALE, lose against anything else, go only to peers that can take it; NO_LLGR ones go [rule 157]', () => {
    const bench = new Bench()
    const peer = bench.peer('peer', '10.0.0.1', 65_001)
    const plain = bench.peer('plain', '10.0.0.2', 65_002)
    const able = bench.peer('able', '10.0.0.3', 65_003, {}, capable)
    bench.announce(peer, told(), P)
    bench.announce(peer, { ...told(), communities: communities(WELL_KNOWN_COMMUNITY.NO_LLGR) }, Q)
    goneButKept(bench, peer)
    bench.rib.startLongLived(peer.id, V4)
    bench.settle()
    expect([holds(plain), holds(able), [...bench.fib.keys()]]).toEqual([[], [P], [P]])
    expect(able.held.get(P)?.communities).toContain(WELL_KNOWN_COMMUNITY.LLGR_STALE)
    bench.announce(plain, path('10.0.0.2', [65_002, 1, 2, 3, 4, 5]), P)
    expect([bench.best(P), bench.reason(P, 'peer')]).toEqual(['plain', 'lost: long-lived stale'])
    expect(bench.faults()).toEqual([])
  })

  test('an announcement ends it for that route, a new policy does not', () => {
    const bench = new Bench()
    const peer = bench.peer('peer', '10.0.0.1', 65_001)
    bench.announce(peer, told(), P, Q)
    goneButKept(bench, peer)
    bench.rib.startLongLived(peer.id, V4)
    bench.settle()
    bench.rib.configurePeer(peer.id, { ...peer.config, allowLocalAs: 3 })
    bench.settle()
    expect(bench.route(P)?.paths[0]?.communities).toEqual(['LLGR_STALE'])
    bench.up(peer)
    bench.announce(peer, told(), P)
    expect([bench.route(P)?.paths[0]?.communities, bench.route(Q)?.paths[0]?.communities]).toEqual([[], ['LLGR_STALE']])
    bench.rib.sweepStale(peer.id, V4)
    bench.settle()
    expect(bench.best(Q)).toBe(null)
  })
})

describe('route refresh (RFC 2918, RFC 7313)', () => {
  test('a request is answered with the whole table, unchanged routes included, then reported once [rule 133]', () => {
    const { bench, other } = pair()
    other.held.clear()
    other.tablesSent.length = 0
    bench.rib.refresh(other.id, V4)
    bench.settle()
    expect([holds(other), other.tablesSent]).toEqual([[P, Q], [V4]])
  })

  test('changes during the answer are part of it; what went meanwhile is withdrawn', () => {
    const { bench, peer, other } = pair()
    bench.rib.refresh(other.id, V4)
    bench.rib.applyUpdate(peer.id, withdrawal([P]))
    bench.rib.applyUpdate(peer.id, announcement(told(9), [Q, '40.0.0.0/8']))
    bench.settle()
    expect([holds(other), bench.faults()]).toEqual([[Q, '40.0.0.0/8'].sort(), []])
    expect(other.held.get(Q)?.asPath[0]?.asns).toHaveLength(3)
  })

  test('between BoRR and EoRR routes stay; what was not announced again goes at EoRR [rule 134]', () => {
    const { bench, peer, other } = pair()
    bench.rib.beginRefresh(peer.id, V4)
    bench.announce(peer, told(), P)
    expect(holds(other)).toEqual([P, Q])
    bench.rib.endRefresh(peer.id, V4)
    bench.settle()
    expect(holds(other)).toEqual([P])
  })

  test('a second BoRR begins anew [rule 135]', () => {
    const { bench, peer, other } = pair()
    bench.rib.beginRefresh(peer.id, V4)
    bench.announce(peer, told(), P)
    bench.rib.beginRefresh(peer.id, V4)
    bench.announce(peer, told(), Q)
    bench.rib.endRefresh(peer.id, V4)
    bench.settle()
    expect(holds(other)).toEqual([Q])
  })

  test('EoRR without BoRR removes nothing', () => {
    const { bench, peer, other } = pair()
    bench.rib.endRefresh(peer.id, V4)
    bench.settle()
    expect(holds(other)).toEqual([P, Q])
  })

  test('a withdrawal inside the window is handled as ever [rule 137]', () => {
    const { bench, peer, other } = pair()
    bench.rib.beginRefresh(peer.id, V4)
    bench.withdraw(peer, Q)
    bench.announce(peer, told(), P)
    bench.rib.endRefresh(peer.id, V4)
    bench.settle()
    expect(holds(other)).toEqual([P])
  })

  test('BoRR without end (100 times) does not make old routes look new [rule 135]', () => {
    const { bench, peer, other } = pair()
    for (let times = 0; times < 100; times++) {
      bench.rib.beginRefresh(peer.id, V4)
      bench.announce(peer, told(), P)
    }
    bench.rib.endRefresh(peer.id, V4)
    bench.settle()
    expect([holds(other), bench.rib.counts(peer.id, V4)]).toMatchObject([[P], { received: 1, stale: 0 }])
  })

  test('stale and refreshed at once: a refresh does not save what End-of-RIB would sweep', () => {
    const { bench, peer, other } = pair()
    goneButKept(bench, peer)
    bench.up(peer)
    bench.announce(peer, told(), P)
    bench.rib.beginRefresh(peer.id, V4)
    expect(bench.rib.counts(peer.id, V4)).toMatchObject({ received: 2, stale: 1 })
    bench.rib.sweepStale(peer.id, V4)
    bench.settle()
    expect(holds(other)).toEqual([P])
    bench.rib.endRefresh(peer.id, V4)
    bench.settle()
    expect(holds(other)).toEqual([])
  })
})
