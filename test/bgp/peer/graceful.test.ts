// What becomes of the routes of a peer whose session ends: RFC 4724 §4, RFC 8538 §4.
import { describe, expect, test } from '@jest/globals'
import type { GracefulRestartConfig } from '../../../src/bgp/config.ts'
import type { StopReason } from '../../../src/bgp/peer.ts'
import { retains } from '../../../src/bgp/retention.ts'
import type { Capability } from '../../../src/bgp/wire/index.ts'
import { A, B, keepalive, notification, openOf, PeerWorld, type RawPeer, settings, type TestPeer } from './peer-world.ts'

const ON: GracefulRestartConfig = { enabled: true, restartTimeSeconds: 120, longLivedStaleTimeSeconds: 0, notification: false }
const WITH_N: GracefulRestartConfig = { ...ON, notification: true }
const OFF: GracefulRestartConfig = { ...ON, enabled: false }

function theirs(notificationBit: boolean, families = [{ afi: 1, safi: 1, forwardingPreserved: true }]): Capability {
  return { kind: 'gracefulRestart', restarting: false, notification: notificationBit, restartTimeSeconds: 90, families }
}

function up(
  ours: GracefulRestartConfig,
  capability: Capability | null,
): { readonly world: PeerWorld; readonly a: TestPeer; readonly raw: RawPeer } {
  const world = new PeerWorld()
  const { a, raws } = world.againstRaw({ gracefulRestart: ours })
  const [raw] = raws
  if (raw === undefined) throw new Error('nobody dialled')
  raw.say(capability === null ? openOf() : openOf({}, capability), keepalive())
  world.run(0.1)
  expect(a.state).toBe('Established')
  return { world, a, raw }
}

type End = (it: ReturnType<typeof up>) => void
const stop =
  (reason: StopReason): End =>
  ({ a }) =>
    a.peer.stop(reason)
const ENDS: readonly (readonly [string, End])[] = [
  ['the connection is lost', ({ world }) => world.network.resetAll()],
  ['the peer closes without a word', ({ raw }) => raw.connection.close()],
  ['the HoldTimer expires', ({ world }) => world.run(100)],
  ['the peer sends a NOTIFICATION', ({ raw }) => raw.say(notification(6, 4))],
  ['the peer sends a hard reset', ({ raw }) => raw.say(notification(6, 9, Uint8Array.of(6, 2)))],
  ['the peer sends an error that is ours', ({ raw }) => raw.say(notification(3, 1))],
  ['we find an error', ({ raw }) => raw.say(openOf())],
  ['we stop silently', stop({ kind: 'silent' })],
  ['we reset', stop({ kind: 'reset', message: '' })],
  ['we shut down', stop({ kind: 'shutdown', message: '' })],
  ['we remove the peer', stop({ kind: 'deconfigured' })],
  ['we change its configuration', stop({ kind: 'configurationChanged' })],
  ['it sent too many prefixes', stop({ kind: 'maxPrefixes', family: 'IPv4Unicast', bound: 1 })],
  ['we say a hard reset', stop({ kind: 'hardReset', message: '' })],
]

/** Which of the ends leave the routes, by what was agreed. */
const RETAINED: Readonly<Record<string, readonly [noGrace: boolean, grace: boolean, withN: boolean]>> = {
  'the connection is lost': [false, true, true],
  'the peer closes without a word': [false, true, true],
  'the HoldTimer expires': [false, false, true],
  'the peer sends a NOTIFICATION': [false, false, true],
  'the peer sends a hard reset': [false, false, false],
  'the peer sends an error that is ours': [false, false, true],
  'we find an error': [false, false, true],
  'we stop silently': [false, true, true],
  'we reset': [false, false, true],
  'we shut down': [false, false, false],
  'we remove the peer': [false, false, false],
  'we change its configuration': [false, false, true],
  'it sent too many prefixes': [false, false, false],
  'we say a hard reset': [false, false, false],
}

describe('[rule 145] [rule 155] are routes retained when', () => {
  test.each(ENDS)('%s', (name, end) => {
    const agreed = [up(ON, null), up(ON, theirs(false)), up(WITH_N, theirs(true))]
    const seen = agreed.map((it) => {
      end(it)
      it.world.run(0.5)
      expect(it.a.ends).toHaveLength(1)
      return it.a.ends[0]?.retain
    })
    expect(seen).toEqual(RETAINED[name])
  })

  test('the N bit counts only if both sides set it (RFC 8538 §2)', () => {
    for (const [ours, bit] of [
      [ON, true],
      [WITH_N, false],
    ] as const) {
      const it = up(ours, theirs(bit))
      expect(it.a.ups[0]?.gracefulRestart?.notification).toBe(false)
      it.raw.say(notification(6, 4))
      it.world.run(0.1)
      expect(it.a.ends[0]?.retain).toBe(false)
    }
  })

  test('[rule 139] a peer that names no family keeps no forwarding state: nothing to retain', () => {
    const it = up(ON, theirs(false, []))
    it.world.network.resetAll()
    it.world.run(0.1)
    expect(it.a.ends[0]?.retain).toBe(false)
  })

  test('we that do not offer it do not retain', () => {
    const it = up(OFF, theirs(false))
    it.world.network.resetAll()
    it.world.run(0.1)
    expect(it.a.ends[0]?.retain).toBe(false)
  })

  test('an Established session is told of exactly once, an attempt never', () => {
    const world = new PeerWorld()
    const { a, raws } = world.againstRaw()
    raws[0]?.say(openOf(), notification(6, 5))
    world.run(0.1)
    expect([a.ups, a.ends]).toEqual([[], []])
  })

  test('as a function of the NOTIFICATION alone', () => {
    const family = [{ family: 'IPv4Unicast', forwardingPreserved: false }] as const
    const graceful = (notificationBit: boolean) => ({
      gracefulRestart: { peerRestarting: false, restartTimeSeconds: 120, notification: notificationBit, families: family },
    })
    const said = (code: number, subcode: number) => ({ direction: 'sent', code, subcode }) as const
    expect(retains(graceful(false), null)).toBe(true)
    expect(retains(graceful(false), said(6, 2))).toBe(false)
    expect(retains(graceful(true), said(6, 2))).toBe(true)
    expect(retains(graceful(true), said(6, 9))).toBe(false)
    expect(retains({ gracefulRestart: null }, null)).toBe(false)
  })
})

describe('hard reset', () => {
  test.each([
    ['shutdown', { kind: 'shutdown', message: 'bye' }, [6, 2]],
    ['deconfigured', { kind: 'deconfigured' }, [6, 3]],
    ['maxPrefixes', { kind: 'maxPrefixes', family: 'IPv4Unicast', bound: 1 }, [6, 1]],
    ['hardReset', { kind: 'hardReset', message: 'bye' }, [6, 2]],
  ] as const)('[rule 154] with the N bit, %s goes as 6/9 around what it is', (_, reason, inner) => {
    const { world, a, raw } = up(WITH_N, theirs(true))
    a.peer.stop(reason)
    world.run(0.1)
    expect(raw.refusal).toBe('6/9')
    expect([...(raw.notification?.data.subarray(0, 2) ?? [])]).toEqual([...inner])
  })

  test('[rule 154] a reset or a configuration change does not: the peer may keep our routes', () => {
    for (const reason of [{ kind: 'reset', message: '' }, { kind: 'configurationChanged' }] as const) {
      const { world, a, raw } = up(WITH_N, theirs(true))
      a.peer.stop(reason)
      world.run(0.1)
      expect(raw.refusal).toBe(reason.kind === 'reset' ? '6/4' : '6/6')
    }
  })
})

describe('[rule 141] what our OPEN says of our own restart', () => {
  function offered(changes: Parameters<typeof settings>[1]): Extract<Capability, { kind: 'gracefulRestart' }> | undefined {
    const world = new PeerWorld()
    const { raws } = world.againstRaw(changes)
    return raws[0]?.open?.capabilities.find((capability) => capability.kind === 'gracefulRestart')
  }

  test('R and F only while the speaker says so', () => {
    expect(offered({})).toMatchObject({ restarting: false, families: [{ afi: 1, safi: 1, forwardingPreserved: false }] })
    expect(offered({ restarting: true, forwardingPreserved: ['IPv4Unicast'] })).toMatchObject({
      restarting: true,
      families: [{ forwardingPreserved: true }],
    })
    expect(offered({ restarting: true })).toMatchObject({ restarting: true, families: [{ forwardingPreserved: false }] })
  })

  test('a change of either resets nothing and shows in the next OPEN', () => {
    const world = new PeerWorld()
    const { a, raws } = world.againstRaw({ restarting: true, forwardingPreserved: ['IPv4Unicast'] })
    raws[0]?.say(openOf(), keepalive())
    world.run(0.1)
    expect(a.configure(settings(B))).toBe('applied')
    expect(a.state).toBe('Established')
    world.network.resetAll()
    world.run(2)
    expect(raws[1]?.open?.capabilities).toContainEqual(expect.objectContaining({ kind: 'gracefulRestart', restarting: false }))
  })

  test('not offered at all when it is off', () => {
    expect(offered({ gracefulRestart: OFF })).toBeUndefined()
  })

  test('[rule 192] a silent stop closes without a NOTIFICATION, so the helper retains; the one who comes back is accepted at once', () => {
    const world = new PeerWorld()
    const { a, b } = world.pair()
    world.run(20)
    a.peer.stop({ kind: 'silent' })
    world.run(0.1)
    expect(b.ends).toEqual([{ reason: 'the peer closed the connection without a NOTIFICATION', notification: null, retain: true }])
    a.vanish()
    const again = world.peer(A, settings(B, { restarting: true, forwardingPreserved: ['IPv4Unicast'] }))
    again.peer.start()
    world.run(0.2)
    expect(b.ups[1]?.gracefulRestart).toMatchObject({
      peerRestarting: true,
      families: [{ family: 'IPv4Unicast', forwardingPreserved: true }],
    })
  })
})
