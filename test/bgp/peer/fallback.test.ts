import { describe, expect, test } from '@jest/globals'
import { afterRejection, type Fallback, FULL_OFFER, withFallback } from '../../../src/bgp/fallback.ts'
import { offeredCapabilities } from '../../../src/bgp/negotiate.ts'
import { encodeCapability } from '../../../src/bgp/wire/index.ts'
import { B, keepalive, notification, openOf, PeerWorld, type RawPeer, settings } from './peer-world.ts'

const NO_DATA = new Uint8Array(0)
const RICH = offeredCapabilities(
  settings(B, { families: ['IPv4Unicast', 'IPv6Unicast'], role: 'Peer', addPath: { receive: true, send: 1 } }),
)
const left = (fallback: Fallback): readonly string[] => withFallback(RICH, fallback).map(({ kind }) => kind)

describe('[rule 30] what is left out after a rejection', () => {
  test('2/4: everything; and if that is refused too, nothing', () => {
    const bare = afterRejection(FULL_OFFER, RICH, { code: 2, subcode: 4, data: NO_DATA })
    expect(left(bare)).toEqual([])
    expect(left(afterRejection(bare, [], { code: 2, subcode: 4, data: NO_DATA }))).toEqual(left(FULL_OFFER))
  })

  test('2/7 without data: everything', () => {
    expect(left(afterRejection(FULL_OFFER, RICH, { code: 2, subcode: 7, data: NO_DATA }))).toEqual([])
  })

  test('2/7 that names one: that one, and the next one named as well', () => {
    const first = afterRejection(FULL_OFFER, RICH, { code: 2, subcode: 7, data: encodeCapability({ kind: 'extendedMessage' }) })
    expect(left(first)).toEqual(left(FULL_OFFER).filter((kind) => kind !== 'extendedMessage'))
    const second = afterRejection(first, withFallback(RICH, first), { code: 2, subcode: 7, data: Uint8Array.of(70, 0, 9, 1, 4) })
    expect(left(second)).toEqual(left(first).filter((kind) => kind !== 'enhancedRouteRefresh' && kind !== 'role'))
  })

  test('2/7 that names a family takes only that family', () => {
    const data = encodeCapability({ kind: 'multiprotocol', afi: 2, safi: 1 })
    const fallback = afterRejection(FULL_OFFER, RICH, { code: 2, subcode: 7, data })
    expect(withFallback(RICH, fallback).filter(({ kind }) => kind === 'multiprotocol')).toEqual([
      { kind: 'multiprotocol', afi: 1, safi: 1 },
    ])
  })

  test('2/7 that names something we never offered: everything, for the peer misses it', () => {
    expect(left(afterRejection(FULL_OFFER, RICH, { code: 2, subcode: 7, data: Uint8Array.of(200, 0) }))).toEqual([])
  })

  test('data cut off anywhere does no harm', () => {
    const data = Uint8Array.of(70, 0, 1, 4, 0, 2, 0, 1, 9, 200)
    for (let length = 0; length <= data.length; length++) {
      expect(() => afterRejection(FULL_OFFER, RICH, { code: 2, subcode: 7, data: data.subarray(0, length) })).not.toThrow()
    }
  })

  test('2/0 only when it keeps coming: first what is modern, then everything, then all again', () => {
    const again = (fallback: Fallback): Fallback => {
      let next = fallback
      for (let i = 0; i < 3; i++) next = afterRejection(next, withFallback(RICH, next), { code: 2, subcode: 0, data: NO_DATA })
      return next
    }
    const once = afterRejection(FULL_OFFER, RICH, { code: 2, subcode: 0, data: NO_DATA })
    expect(left(once)).toEqual(left(FULL_OFFER))
    const modest = again(FULL_OFFER)
    expect(left(modest)).toEqual(['multiprotocol', 'multiprotocol', 'routeRefresh', 'gracefulRestart', 'fourOctetAs'])
    expect(left(again(modest))).toEqual([])
    expect(left(again(again(modest)))).toEqual(left(FULL_OFFER))
  })

  test('a wrong AS, identifier, hold time or role is not a matter of capabilities', () => {
    for (const subcode of [1, 2, 3, 6, 11])
      expect(afterRejection(FULL_OFFER, RICH, { code: 2, subcode, data: NO_DATA })).toEqual(FULL_OFFER)
    expect(afterRejection(FULL_OFFER, RICH, { code: 6, subcode: 5, data: NO_DATA })).toEqual(FULL_OFFER)
  })
})

describe('[rule 30] a peer retries', () => {
  function retry(world: PeerWorld, raws: RawPeer[], rejection: Uint8Array): RawPeer {
    raws.at(-1)?.say(rejection)
    const before = raws.length
    for (let i = 0; i < 100 && raws.length === before; i++) world.run(0.1)
    world.run(0.1)
    const next = raws.at(-1)
    if (raws.length === before || next === undefined) throw new Error('it never dialled again')
    return next
  }

  test('without capabilities after 2/4, once, after a delay, and the session is plain IPv4', () => {
    const world = new PeerWorld()
    const { a, raws } = world.againstRaw()
    const sinceMs = world.clock.nowMs()
    const second = retry(world, raws, notification(2, 4))
    expect(world.clock.nowMs() - sinceMs).toBeGreaterThan(700)
    expect(second.open?.capabilities).toEqual([])
    second.say(openOf({ capabilities: [] }), keepalive())
    world.run(0.1)
    expect(a.ups[0]).toMatchObject({ families: ['IPv4Unicast'], fourOctetAs: false, gracefulRestart: null })
    expect(a.peer.status().offered).toEqual([])
  })

  test('without the one that 2/7 names', () => {
    const world = new PeerWorld()
    const { raws } = world.againstRaw()
    const second = retry(world, raws, notification(2, 7, encodeCapability({ kind: 'enhancedRouteRefresh' })))
    expect(second.open?.capabilities.map(({ kind }) => kind)).not.toContain('enhancedRouteRefresh')
    expect(second.open?.capabilities.map(({ kind }) => kind)).toContain('routeRefresh')
  })

  test('with all of them again after a session, for the peer may have learnt', () => {
    const world = new PeerWorld()
    const { raws } = world.againstRaw()
    const second = retry(world, raws, notification(2, 4))
    second.say(openOf({ capabilities: [] }), keepalive())
    world.run(1)
    expect(retry(world, raws, notification(6, 4)).open?.capabilities.length).toBeGreaterThan(3)
  })

  test('with all of them again when the settings change', () => {
    const world = new PeerWorld()
    const { a, raws } = world.againstRaw()
    retry(world, raws, notification(2, 4))
    a.configure(settings(B, { password: 'x' }))
    expect(a.peer.status().offered.length).toBeGreaterThan(3)
  })

  test('a NOTIFICATION after the session was Established is no rejection of the OPEN', () => {
    const world = new PeerWorld()
    const { raws } = world.againstRaw()
    raws[0]?.say(openOf(), keepalive())
    world.run(0.1)
    expect(retry(world, raws, notification(2, 4)).open?.capabilities.length).toBeGreaterThan(3)
  })
})
