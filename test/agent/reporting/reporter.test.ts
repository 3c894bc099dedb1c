// What a node reports, and how seldom.
import { describe, expect, test } from '@jest/globals'
import type { ReportFacts } from '../../../src/agent/reporting/report.ts'
import { Reporter } from '../../../src/agent/reporting/reporter.ts'
import type { PeerStatus } from '../../../src/bgp/index.ts'
import { FakeClock } from '../../../src/lib/clock.ts'
import { silentLog } from '../../../src/lib/log.ts'
import { MemoryStore, type NodeNetwork, StoreError } from '../../../src/store/index.ts'
import { QUIET } from './facts.ts'

const NO_MESSAGES = { open: 0, update: 0, notification: 0, keepalive: 0, routeRefresh: 0 }

function session(name: string, over: Partial<PeerStatus> = {}): PeerStatus {
  return {
    name,
    description: '',
    address: '10.0.0.1',
    interface: null,
    port: 179,
    localAddress: null,
    type: 'eBGP',
    asn: 65_001,
    localAsn: 64_512,
    state: 'Established',
    adminShutdown: false,
    since: '2026-01-01T00:00:00.000Z',
    uptimeSeconds: 0,
    established: 1,
    flaps: 0,
    lastError: null,
    lastErrorAt: null,
    remoteRouterId: null,
    holdTimeSeconds: null,
    keepaliveTimeSeconds: null,
    capabilities: { offered: ['a'], received: ['a'], negotiated: ['a'] },
    prefixes: { IPv4Unicast: { received: 1, accepted: 1, advertised: 1, stale: 0 } },
    messages: { sent: NO_MESSAGES, received: NO_MESSAGES },
    malformedUpdates: 0,
    ownAsRejected: null,
    gracefulRestart: 'none',
    endOfRib: { received: [], sent: [] },
    ...over,
  }
}

const FACTS: ReportFacts = { ...QUIET, blocks: ['10.244.0.64/26', '10.244.0.0/26'], peers: [session('tor')] }

/** Promises of a memory store are settled in a few turns of the microtask queue. */
async function settled(): Promise<void> {
  for (let at = 0; at < 200; at++) await Promise.resolve()
}

async function begin(owner: { readonly name: string; readonly uid?: string } | null = { name: 'n1', uid: 'u-1' }) {
  const clock = new FakeClock()
  const store = new MemoryStore({ clock })
  const world = { facts: FACTS as ReportFacts | null, owner, nodes: 1, faults: [] as (string | null)[] }
  const reporter = new Reporter({
    node: 'n1',
    store,
    clock,
    log: silentLog,
    random: () => 0,
    facts: () => Promise.resolve(world.facts),
    owner: () => world.owner,
    nodes: () => world.nodes,
    onFault: (message) => world.faults.push(message),
  })
  const advance = async (ms: number): Promise<void> => {
    for (let left = ms; left > 0; left -= 250) {
      clock.advance(Math.min(250, left))
      await settled()
    }
  }
  await settled()
  const stored = (): Promise<NodeNetwork | null> => store.get('NodeNetwork', { name: 'n1' })
  return { clock, store, world, reporter, advance, stored }
}

describe('what is reported', () => {
  test('everything about the node, owned by its Node', async () => {
    const { advance, stored } = await begin()
    await advance(1_000)
    const report = await stored()
    expect(report?.metadata).toMatchObject({ ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name: 'n1', uid: 'u-1' }] })
    expect(report?.status).toMatchObject({
      version: '1.0.0',
      addresses: [{ address: '10.0.0.11/24', family: 'IPv4', interface: 'eth0' }],
      asNumber: 64_512,
      routerID: '10.0.0.11',
      blocks: ['10.244.0.0/26', '10.244.0.64/26'],
      sessions: { configured: 1, established: 1 },
      peers: [{ session: 'tor', peer: 'tor', address: '10.0.0.1', asNumber: 65_001, state: 'Established' }],
    })
  })

  test('sessions that are down come first, and are named in a condition; one that is shut down on purpose is not', async () => {
    const { world, advance, stored } = await begin()
    const down = session('b', { state: 'Active', lastError: 'connection refused' })
    world.facts = { ...FACTS, peers: [session('a'), down, session('c', { state: 'Idle', adminShutdown: true })] }
    await advance(1_000)
    const { status } = (await stored()) ?? {}
    expect(status?.peers.map(({ session: name }) => name)).toEqual(['b', 'c', 'a'])
    expect(status?.conditions.find(({ type }) => type === 'SessionsEstablished')).toMatchObject({
      status: 'False',
      reason: 'SomeDown',
      message: '1 of 2 are down: b (connection refused)',
      observedGeneration: 1,
    })
  })

  test('a condition keeps the time it came to be until its status changes', async () => {
    const { world, advance, stored, reporter } = await begin()
    const ready = async () => (await stored())?.status?.conditions.find(({ type }) => type === 'Ready')
    await advance(1_000)
    const first = await ready()
    world.facts = { ...FACTS, notReadyBecause: ['the kernel is slow'] }
    reporter.changed()
    await advance(10_000)
    expect(await ready()).toMatchObject({ status: 'False', message: 'the kernel is slow' })
    expect((await ready())?.lastTransitionTime).not.toBe(first?.lastTransitionTime)
    const second = await ready()
    world.facts = { ...FACTS, notReadyBecause: ['the kernel is slower'] }
    await advance(120_000)
    expect(await ready()).toMatchObject({ message: 'the kernel is slower', lastTransitionTime: second?.lastTransitionTime })
  })

  test.each([
    ['no Node', null],
    ['a Node that has gone', null],
  ])('%s: nothing is written', async (_, owner) => {
    const { advance, stored } = await begin(owner)
    await advance(120_000)
    expect(await stored()).toBeNull()
  })

  test('a Node that was made anew owns the report that was there', async () => {
    const { world, advance, stored, reporter } = await begin()
    await advance(1_000)
    world.owner = { name: 'n1', uid: 'u-2' }
    reporter.changed()
    await advance(10_000)
    expect((await stored())?.metadata.ownerReferences).toEqual([expect.objectContaining({ uid: 'u-2' })])
  })
})

describe('how seldom', () => {
  test('a session that flaps ten times a second for a minute is written every five seconds', async () => {
    const { world, reporter, clock, advance, stored } = await begin()
    await advance(1_000)
    const before = reporter.figures.written
    for (let at = 0; at < 600; at++) {
      const state = at % 2 === 0 ? 'Active' : 'Established'
      world.facts = { ...FACTS, peers: [session('tor', { state, since: new Date(clock.wallMs()).toISOString() })] }
      reporter.changed()
      await advance(100)
    }
    const writes = reporter.figures.written - before
    expect(writes).toBeGreaterThanOrEqual(10)
    expect(writes).toBeLessThanOrEqual(12)
    await advance(6_000)
    expect((await stored())?.status?.peers[0]?.state).toBe('Established')
  })

  test('counts, words and the tries of a session that is down wait for a minute; the tries alone for ever', async () => {
    const { world, reporter, advance, stored } = await begin()
    const trying = (state: PeerStatus['state'], received: number) => {
      const prefixes = { IPv4Unicast: { received, accepted: 0, advertised: 0, stale: 0 } }
      world.facts = { ...FACTS, peers: [session('tor', { state, prefixes })] }
      reporter.changed()
    }
    trying('Active', 1)
    await advance(1_000)
    const first = reporter.figures.written
    for (let at = 0; at < 40; at++) {
      trying(at % 2 === 0 ? 'Connect' : 'Active', 1)
      await advance(5_000)
    }
    expect(reporter.figures.written).toBe(first)
    trying('Active', 2)
    await advance(20_000)
    const early = reporter.figures.written
    await advance(60_000)
    expect([early, reporter.figures.written]).toEqual([first, first + 1])
    expect((await stored())?.status?.peers[0]?.prefixes.IPv4Unicast?.received).toBe(2)
  })

  test('in a cluster of 5,000 nodes everything takes its time', async () => {
    const { world, reporter, advance } = await begin()
    world.nodes = 5_000
    await advance(1_000)
    const first = reporter.figures.written
    for (let at = 0; at < 60; at++) {
      world.facts = { ...FACTS, blocks: [`10.244.${at}.0/26`] }
      reporter.changed()
      await advance(1_000)
    }
    expect(reporter.figures.written - first).toBeLessThanOrEqual(3)
  })

  test('nothing that differs, nothing that is written', async () => {
    const { reporter, advance } = await begin()
    await advance(1_000)
    const first = reporter.figures.written
    for (let at = 0; at < 100; at++) {
      reporter.changed()
      await advance(3_000)
    }
    expect(reporter.figures.written).toBe(first)
  })
})

describe('what others do', () => {
  test('a report that is deleted or changed is put right', async () => {
    const { store, advance, stored } = await begin()
    await advance(30_000) // nothing else is due
    await store.delete('NodeNetwork', { name: 'n1' })
    await advance(10_000)
    const again = await stored()
    expect(again?.status?.asNumber).toBe(64_512)
    if (again === null) throw new Error('no report')
    await store.updateStatus({ ...again, status: { ...again.status, asNumber: 1 } })
    await advance(10_000)
    expect((await stored())?.status?.asNumber).toBe(64_512)
  })

  test('a report that somebody made in the same moment is taken over, which is no fault', async () => {
    const { store, world, advance, stored } = await begin()
    store.failNext(new StoreError('ALREADY_EXISTS', 'made meanwhile'))
    await advance(11_000)
    expect((await stored())?.status?.asNumber).toBe(64_512)
    expect(world.faults.every((fault) => fault === null)).toBe(true)
  })

  test('a write that came between is read again at once; a store that refuses is told, and tried ever more slowly', async () => {
    const { store, world, reporter, advance, stored } = await begin()
    store.failNext(new StoreError('CONFLICT', 'changed meanwhile'))
    await advance(1_000)
    await advance(10_000)
    expect((await stored())?.status?.asNumber).toBe(64_512)
    expect(world.faults.every((fault) => fault === null)).toBe(true)
    world.facts = { ...FACTS, blocks: [] }
    store.failNext(new StoreError('UNAVAILABLE', 'away'))
    reporter.changed()
    await advance(1_000)
    expect(world.faults.at(-1)).toBe('away')
    await advance(10_000)
    expect([world.faults.at(-1), (await stored())?.status?.blocks]).toEqual([null, []])
  })

  test('everything is given back', async () => {
    const { clock, reporter, advance } = await begin()
    await advance(1_000)
    reporter.changed()
    reporter[Symbol.dispose]()
    expect(clock.armed).toBe(0)
  })
})
