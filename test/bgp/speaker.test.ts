import { describe, expect, test } from '@jest/globals'
import type { Filter } from '../../src/bgp/filter.ts'
import { config, GRACEFUL, originate, peer, World } from './speaker-world.ts'

const A = '10.0.0.1'
const B = '10.0.0.2'
const C = '10.0.0.3'
const toA = `to-${A}`
const toB = `to-${B}`
const toC = `to-${C}`

/** A (AS 65001) - B (AS 65002) - C (AS 65003), all routers on one link; A and C peer with B only. */
function chain(world: World, b: Parameters<typeof config>[3] = {}, toPeers: Parameters<typeof peer>[2] = {}) {
  const a = world.start(A, config(65001, 1, [peer(B, 65002, toPeers)], { originated: originate('192.0.2.0/25', '192.0.2.128/25') }))
  const configB = config(65002, 2, [peer(A, 65001, toPeers), peer(C, 65003, toPeers)], b)
  const speakerB = world.start(B, configB)
  const c = world.start(C, config(65003, 3, [peer(B, 65002, toPeers)]))
  world.run(20)
  return { a, b: speakerB, c, configB }
}

describe('two and three speakers', () => {
  test('sessions come up from both sides at once, one survives each collision, routes pass on [rule 41]', () => {
    const world = new World()
    const { a, b, c } = chain(world)
    expect(b.states()).toEqual({ [toA]: 'Established', [toC]: 'Established' })
    expect(c.best()).toEqual(['192.0.2.0/25', '192.0.2.128/25'])
    expect(c.received(toB).map(({ paths }) => paths[0]?.asPath)).toEqual(['65002 65001', '65002 65001'])
    expect(b.fib.get('192.0.2.0/25')).toEqual([A])
    expect(a.status(toB).flaps + b.status(toA).flaps).toBe(0)
  })

  test('End-of-RIB is sent for every family, also when there is nothing to tell [rule 143]', () => {
    const world = new World()
    const a = world.start(A, config(65001, 1, [peer(B, 65002, { families: ['IPv4Unicast', 'IPv6Unicast'] })]))
    const b = world.start(B, config(65002, 2, [peer(A, 65001, { families: ['IPv4Unicast', 'IPv6Unicast'] })]))
    world.run(20)
    for (const { endOfRib } of [a.status(toB), b.status(toA)]) {
      expect([...endOfRib.sent].sort()).toEqual(['IPv4Unicast', 'IPv6Unicast'])
      expect([...endOfRib.received].sort()).toEqual(['IPv4Unicast', 'IPv6Unicast'])
    }
  })

  test('a Host originates and passes nothing on [rule 191]', () => {
    const world = new World()
    const { c } = chain(world, {
      mode: 'Host',
      originated: originate('198.51.100.0/24'),
      importBounds: [originate('192.0.2.0/24')[0]?.prefix].filter((p) => p !== undefined),
    })
    expect(c.best()).toEqual(['198.51.100.0/24'])
  })

  test('what is no longer originated is withdrawn everywhere', () => {
    const world = new World()
    const { a, c } = chain(world)
    a.speaker.configure(config(65001, 1, [peer(B, 65002)], { originated: originate('192.0.2.0/25') }))
    world.run(1)
    expect(c.best()).toEqual(['192.0.2.0/25'])
  })

  test('a connection from an address nobody configured is refused and disturbs nobody [rule 51]', () => {
    const world = new World()
    const { b } = chain(world)
    const stranger = world.start('10.0.0.99', config(65099, 99, [peer(B, 65002)]))
    world.run(60)
    expect(stranger.states()).not.toEqual({ [toB]: 'Established' })
    expect(b.states()).toEqual({ [toA]: 'Established', [toC]: 'Established' })
    expect(b.status(toA).flaps).toBe(0)
  })
})

describe('live configuration', () => {
  test('adding and removing a peer leaves the sessions of the others alone', () => {
    const world = new World()
    const { b, c, configB } = chain(world)
    b.speaker.configure({ ...configB, peers: configB.peers.filter(({ key }) => key !== toC) })
    world.run(1)
    expect(c.states()).not.toEqual({ [toB]: 'Established' })
    b.speaker.configure(configB)
    world.run(120)
    expect(c.states()).toEqual({ [toB]: 'Established' })
    expect(b.status(toA)).toMatchObject({ state: 'Established', flaps: 0, established: 1 })
  })

  test('a filter change acts at once, without a session reset, and again when it is taken away [rule 138]', () => {
    const world = new World()
    const { b, c, configB } = chain(world)
    const rule: Filter['export'][4][number] = {
      action: 'Reject',
      prefix: {
        cidr:
          originate('192.0.2.0/25')[0]?.prefix ??
          (() => {
            throw new Error('unreachable')
          })(),
        operator: 'Equal',
        minLength: 25,
        maxLength: 32,
      },
      communities: null,
      asPathPrefix: null,
      asPathContains: null,
      source: null,
      peerType: null,
      operations: [],
    }
    const filter: Filter = { name: 'f', import: { 4: [rule], 6: [] }, export: { 4: [], 6: [] } }
    b.speaker.configure({ ...configB, filters: { f: filter }, peers: configB.peers.map((each) => ({ ...each, filters: ['f'] })) })
    world.run(1)
    expect(c.best()).toEqual(['192.0.2.128/25'])
    b.speaker.configure(configB)
    world.run(1)
    expect(c.best()).toEqual(['192.0.2.0/25', '192.0.2.128/25'])
    expect(c.status(toB).flaps + b.status(toA).flaps).toBe(0)
  })

  test('another own AS number resets the sessions [rule 183]', () => {
    const world = new World()
    const { a, b, configB } = chain(world)
    b.speaker.configure({ ...configB, asn: config(65009, 1, []).asn })
    world.run(1)
    expect(a.status(toB).flaps).toBe(1)
    expect(a.status(toB).lastError).toMatch(/65009.*configuration/is)
  })

  test('administrative shutdown tells its message and stays down until it is taken back [rule 49]', () => {
    const world = new World()
    const { a, b, configB } = chain(world)
    b.speaker.configure({ ...configB, peers: configB.peers.map((each) => ({ ...each, shutdown: { message: 'moving racks' } })) })
    world.run(300)
    expect(a.status(toB).state).not.toBe('Established')
    expect(a.status(toB).lastError).toContain('moving racks')
    b.speaker.configure(configB)
    world.run(120)
    expect(a.status(toB).state).toBe('Established')
  })
})

describe('maximum prefixes', () => {
  test('over the bound: Cease 6/1, down for the configured time, then tried again [rule 180]', () => {
    const world = new World()
    const limits = { ipv4: 1, ipv6: null, warnAtPercent: 75, restartAfterSeconds: 600 }
    const a = world.start(A, config(65001, 1, [peer(B, 65002)], { originated: originate('192.0.2.0/25', '192.0.2.128/25') }))
    const b = world.start(B, config(65002, 2, [peer(A, 65001, { maxPrefixes: limits })]))
    world.run(30)
    expect(b.status(toA).state).not.toBe('Established')
    expect(b.best()).toEqual([])
    expect(a.status(toB).lastError).toMatch(/maximum/i)
    const { established } = b.status(toA)
    world.run(500)
    expect(b.status(toA).established).toBe(established)
    a.speaker.configure(config(65001, 1, [peer(B, 65002)], { originated: originate('192.0.2.0/25') }))
    world.run(300)
    expect(b.best()).toEqual(['192.0.2.0/25'])
  })
})

describe('route refresh', () => {
  test('a soft reset asks again and tells again; nothing flaps [rule 133] [rule 134]', () => {
    const world = new World()
    const { b } = chain(world)
    const before = b.status(toA)
    b.speaker.reset(toA, true)
    world.run(5)
    const after = b.status(toA)
    expect(after.flaps).toBe(0)
    expect(after.messages.received.update).toBeGreaterThan(before.messages.received.update)
    expect(after.messages.received.routeRefresh - before.messages.received.routeRefresh).toBe(2) // BoRR and EoRR
    expect(b.best()).toEqual(['192.0.2.0/25', '192.0.2.128/25'])
  })
})

describe('graceful restart', () => {
  /** B dies without a word and comes back as `configB` says, knowing what a run directory would tell it. */
  function crash(world: World, { b }: { readonly b: ReturnType<World['start']> }) {
    const up = b.speaker.peersUpOrRetained()
    b.speaker.stop('silent')
    b.speaker[Symbol.dispose]()
    world.run(2)
    return up
  }

  test('helper: routes of a peer that died stay, in the FIB too, and go when its time is over [rule 145] [rule 147]', () => {
    const world = new World()
    const { a, b, c } = chain(world)
    crash(world, { b })
    expect(c.status(toB).state).not.toBe('Established')
    expect(c.status(toB)).toMatchObject({ gracefulRestart: 'waiting for peer', prefixes: { IPv4Unicast: { stale: 2 } } })
    expect([...c.fib.keys()].sort()).toEqual(['192.0.2.0/25', '192.0.2.128/25'])
    expect(a.status(toB)).toMatchObject({ gracefulRestart: 'waiting for peer', prefixes: { IPv4Unicast: { stale: 0 } } })
    world.run(125)
    expect(c.best()).toEqual([])
    expect(c.fib.size).toBe(0)
  })

  test('without graceful restart they go at once', () => {
    const world = new World()
    const { b, c } = chain(world, {}, { gracefulRestart: { ...GRACEFUL, enabled: false } })
    crash(world, { b })
    expect(c.best()).toEqual([])
  })

  test('restarter: offers R and F, tells nothing before all who were up have sent End-of-RIB, then everything and End-of-RIB [rule 141] [rule 151] [rule 152]', () => {
    const world = new World()
    const { a, b, c, configB } = chain(world)
    const up = crash(world, { b })
    expect([...up].sort()).toEqual([toA, toC])
    world.network.answerDials(A, 'silent') // A does not come back at first
    a.speaker[Symbol.dispose]()
    const again = world.start(B, configB, up)
    world.run(20)
    expect(again.status(toC).state).toBe('Established')
    expect(c.status(toB).capabilities.received.join('\n')).toMatch(/restart/i)
    expect(again.releases).toBe(0)
    expect(again.fib.size).toBe(0)
    expect(again.status(toC).endOfRib.sent).toEqual([])
    expect(c.status(toB)).toMatchObject({ gracefulRestart: 'waiting for End-of-RIB', prefixes: { IPv4Unicast: { stale: 2 } } })
    expect(c.fib.size).toBe(2)
    world.network.answerDials(A, null)
    world.start(A, config(65001, 1, [peer(B, 65002)], { originated: originate('192.0.2.0/25') }))
    world.run(60)
    expect(again.releases).toBe(1)
    expect([...again.fib.keys()]).toEqual(['192.0.2.0/25'])
    expect(c.status(toB)).toMatchObject({ gracefulRestart: 'none', prefixes: { IPv4Unicast: { received: 1, stale: 0 } } })
    expect(c.best()).toEqual(['192.0.2.0/25']) // what was not told again has gone [rule 149]
  })

  test('a peer that restarts too is not waited for with routes, but with the sweep of what was there before [rule 151]', () => {
    const world = new World()
    const { a, b, configB } = chain(world)
    const upA = a.speaker.peersUpOrRetained()
    const upB = crash(world, { b })
    a.speaker[Symbol.dispose]()
    const configA = config(65001, 1, [peer(B, 65002), peer('10.0.0.9', 65009)], { originated: originate('192.0.2.0/25') })
    const again = world.start(B, { ...configB, originated: originate('203.0.113.0/24') }, upB)
    const alsoAgain = world.start(A, configA, [...upA, 'to-10.0.0.9']) // waits for one more, so B gets no End-of-RIB of A yet
    world.run(20)
    expect(again.status(toA)).toMatchObject({ state: 'Established', endOfRib: { received: [], sent: ['IPv4Unicast'] } })
    expect(alsoAgain.status(toB).prefixes.IPv4Unicast?.received).toBe(1)
    expect(again.releases).toBe(0)
    world.run(75) // A has lost patience with the other and tells its routes
    expect(again.fib.get('192.0.2.0/25')).toEqual([A])
    expect(again.releases).toBe(1)
  })

  test('the wait for End-of-RIB ends before the peers lose patience [rule 151]', () => {
    const world = new World()
    const { a, b, c, configB } = chain(world)
    const up = crash(world, { b })
    a.speaker[Symbol.dispose]()
    const again = world.start(B, { ...configB, originated: originate('203.0.113.0/24') }, up)
    world.run(85)
    expect(again.releases).toBe(0)
    world.run(10)
    expect(again.releases).toBe(1)
    expect(c.best()).toEqual(['203.0.113.0/24'])
  })

  test('a cold start waits for nobody and offers no R bit [rule 141]', () => {
    const world = new World()
    const { b, c } = chain(world)
    expect(b.releases).toBe(1)
    expect(c.status(toB).capabilities.received.join('\n')).not.toMatch(/restarting/i)
  })

  test('a goodbye flushes at once [rule 155]', () => {
    const world = new World()
    const { b, c } = chain(world)
    b.speaker.stop('cease')
    world.run(2)
    expect(c.best()).toEqual([])
  })

  test('long-lived: after the restart time the routes stay, last of all choices [rule 157]', () => {
    const world = new World()
    const { b, c } = chain(world, {}, { gracefulRestart: { ...GRACEFUL, longLivedStaleTimeSeconds: 600 } })
    crash(world, { b })
    world.run(130)
    expect(c.status(toB).gracefulRestart).toBe('long-lived stale')
    expect(c.routes()[0]?.paths[0]?.communities).toContain('LLGR_STALE')
    expect(c.best()).toHaveLength(2)
    world.run(600)
    expect(c.best()).toEqual([])
  })
})

test('every timer is given back', () => {
  const world = new World()
  const { a, b, c } = chain(world)
  for (const { speaker } of [a, b, c]) {
    speaker.stop('silent')
    speaker[Symbol.dispose]()
  }
  world.run(10)
  expect(world.clock.armed).toBe(0)
})
