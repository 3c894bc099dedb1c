// Going for good, in order: first everybody is asked to find other ways (RFC 8326), then the sessions are closed (decision 11).
import { describe, expect, test } from '@jest/globals'
import { config, originate, peer, World } from './speaker-world.ts'

const OWN = '10.0.0.1'
const OUTER = '10.0.0.2'
const INNER = '10.0.0.3'
const toOwn = `to-${OWN}`
const BLOCK = '192.0.2.0/24'
const OTHER = '198.51.100.0/24'
const GRACEFUL_SHUTDOWN = 'GRACEFUL_SHUTDOWN'

/** Ours (AS 65001) with an external and an internal peer; the external one tells `OTHER`. */
function trio() {
  const world = new World()
  const configured = config(65_001, 1, [peer(OUTER, 65_002), peer(INNER, 65_001)], { originated: originate(BLOCK) })
  const own = world.start(OWN, configured)
  const outer = world.start(OUTER, config(65_002, 2, [peer(OWN, 65_001)], { originated: originate(OTHER) }))
  const inner = world.start(INNER, config(65_001, 3, [peer(OWN, 65_001)]))
  world.run(20)
  const pathOf = (speaker: typeof outer, prefix: string) => speaker.received(toOwn).find((route) => route.prefix === prefix)?.paths[0]
  return { world, own, outer, inner, configured, pathOf }
}

describe('drain', () => {
  test('everything is told again with GRACEFUL_SHUTDOWN, LOCAL_PREF 0 to internal peers; sessions and forwarding stay', () => {
    const { world, own, outer, inner, pathOf } = trio()
    expect(pathOf(outer, BLOCK)?.communities).toEqual([])
    expect(pathOf(inner, BLOCK)).toMatchObject({ communities: [], localPref: 100 })
    own.speaker.drain()
    world.run(1)
    expect(pathOf(outer, BLOCK)?.communities).toEqual([GRACEFUL_SHUTDOWN])
    expect(pathOf(inner, BLOCK)).toMatchObject({ communities: [GRACEFUL_SHUTDOWN], localPref: 0 })
    expect(pathOf(inner, OTHER)).toMatchObject({ communities: [GRACEFUL_SHUTDOWN], localPref: 0 })
    expect(own.speaker.peers().map(({ state, flaps }) => [state, flaps])).toEqual([
      ['Established', 0],
      ['Established', 0],
    ])
    expect([own.fib.get(OTHER), outer.fib.get(BLOCK)]).toEqual([[OUTER], [OWN]])
    expect(outer.routes().find(({ prefix }) => prefix === BLOCK)?.paths[0]?.localPref).toBe(0)
  })

  test('so is what comes later, and what a session that comes up hears', () => {
    const { world, own, outer, inner, configured, pathOf } = trio()
    own.speaker.drain()
    own.speaker.configure({ ...configured, originated: originate(BLOCK, '192.0.3.0/24') })
    outer.speaker.reset(toOwn, false)
    world.run(60)
    expect(pathOf(outer, '192.0.3.0/24')?.communities).toEqual([GRACEFUL_SHUTDOWN])
    expect(pathOf(inner, '192.0.3.0/24')).toMatchObject({ communities: [GRACEFUL_SHUTDOWN], localPref: 0 })
  })

  test('taken back, all is as before', () => {
    const { world, own, outer, inner, pathOf } = trio()
    own.speaker.drain()
    world.run(1)
    own.speaker.drain(false)
    world.run(1)
    expect(pathOf(outer, BLOCK)?.communities).toEqual([])
    expect(pathOf(inner, BLOCK)).toMatchObject({ communities: [], localPref: 100 })
  })

  test('then the Cease: peers forget us at once, and keep nothing for our return', () => {
    const { world, own, outer } = trio()
    own.speaker.drain()
    world.run(1)
    own.speaker.stop('cease')
    world.run(1)
    expect(outer.status(toOwn)).toMatchObject({ gracefulRestart: 'none', flaps: 1 })
    expect(outer.status(toOwn).lastError).toMatch(/Administrative Shutdown/i)
    expect(outer.fib.get(BLOCK)).toBeUndefined()
  })

  test('with the N bit agreed the Cease is a hard reset, which keeps nothing either (RFC 8538 §3.1)', () => {
    const world = new World()
    const gracefulRestart = { enabled: true, restartTimeSeconds: 120, longLivedStaleTimeSeconds: 0, notification: true }
    const own = world.start(OWN, config(65_001, 1, [peer(OUTER, 65_002, { gracefulRestart })], { originated: originate(BLOCK) }))
    const outer = world.start(OUTER, config(65_002, 2, [peer(OWN, 65_001, { gracefulRestart })]))
    world.run(20)
    expect(outer.fib.get(BLOCK)).toEqual([OWN])
    own.speaker.stop('cease')
    world.run(1)
    expect(outer.status(toOwn).lastError).toMatch(/Hard Reset/i)
    expect([outer.status(toOwn).gracefulRestart, outer.fib.get(BLOCK)]).toEqual(['none', undefined])
  })
})
