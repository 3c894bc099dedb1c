// Changes of settings under a live session: what takes effect at once, what with the next session, what ends this one.
import { describe, expect, test } from '@jest/globals'
import { routerId } from '../../../src/bgp/attributes.ts'
import type { PeerSettings } from '../../../src/bgp/peer.ts'
import { hopLimitOf, userTimeoutMsOf } from '../../../src/bgp/peer-change.ts'
import { asn, ip } from '../../../src/net/index.ts'
import { A, B, keepalive, openOf, PeerWorld, type RawPeer, settings, type TestPeer } from './peer-world.ts'

function up(changes: Partial<PeerSettings> = {}): {
  readonly world: PeerWorld
  readonly a: TestPeer
  readonly raws: RawPeer[]
  readonly raw: RawPeer
} {
  const world = new PeerWorld()
  const { a, raws } = world.againstRaw(changes)
  const [raw] = raws
  if (raw === undefined) throw new Error('nobody dialled')
  raw.say(openOf(), keepalive())
  world.run(0.1)
  expect(a.state).toBe('Established')
  return { world, a, raws, raw }
}

const LIVE: Partial<PeerSettings> = {
  description: 'rack a',
  filters: ['no-default'],
  maxPrefixes: { ipv4: 10, ipv6: null, warnAtPercent: 75, restartAfterSeconds: 300 },
  holdTimeSeconds: 30,
  keepaliveTimeSeconds: 10,
  connectRetrySeconds: 7,
  sendHoldTimeSeconds: 600,
  allowLocalAs: 1,
  enforceFirstAs: false,
  nextHopMode: 'Self',
  gracefulRestart: { enabled: true, restartTimeSeconds: 60, longLivedStaleTimeSeconds: 0, notification: true },
  routeReflectorClient: true,
  clusterNode: true,
  passive: true,
  restarting: true,
  forwardingPreserved: ['IPv4Unicast'],
}

const RESETS: Readonly<Record<string, Partial<PeerSettings>>> = {
  'our AS number': { localAsn: asn(65005) },
  "the peer's AS number": { asn: asn(65003) },
  'our router ID': { routerId: routerId(77) },
  "the peer's address": { address: ip('10.0.0.3') },
  "the peer's port": { port: 1179 },
  'our source address': { sourceAddress: ip(A) },
  'the password': { password: 'hunter22' },
  'the address families': { families: ['IPv4Unicast', 'IPv6Unicast'] },
  'add-path': { addPath: { receive: true, send: 0 } },
  'our role': { role: 'Customer' },
  'TTL security or multihop': { ttlSecurity: 1 },
  'extended next hop': { extendedNextHop: true },
}

describe('[rule 183] a change of settings', () => {
  test('the same again is nothing', () => {
    const { a } = up()
    expect(a.configure(settings(B))).toBe('unchanged')
  })

  test.each(Object.entries(LIVE))('%s leaves the session up', (name, value) => {
    const { world, a } = up()
    expect(a.configure(settings(B, { [name]: value }))).toBe('applied')
    world.run(1)
    expect([a.state, a.ends.length]).toEqual(['Established', 0])
  })

  test('timers apply to the next session', () => {
    const { world, a, raws } = up()
    a.configure(settings(B, { holdTimeSeconds: 30 }))
    world.network.resetAll()
    world.run(2)
    expect(raws[1]?.open?.holdTimeSeconds).toBe(30)
  })

  test.each(Object.entries(RESETS))('%s ends the session with Cease 6/6, says why, and it is tried again at once', (what, change) => {
    const { world, a, raw } = up()
    const dialsBefore = a.peer.status().messages.sent.open
    expect(a.configure(settings(B, change))).toBe('reset')
    world.run(0.2)
    expect(raw.refusal).toBe('6/6')
    expect(a.ends).toEqual([{ reason: `${what} changed`, notification: { direction: 'sent', code: 6, subcode: 6 }, retain: false }])
    expect(a.log.find(({ event }) => event === 'bgp.session.reset')?.fields).toEqual({ because: `${what} changed` })
    const isReachable = !["the peer's address", "the peer's port", 'the password'].includes(what)
    expect(a.peer.status().messages.sent.open - dialsBefore).toBe(isReachable ? 1 : 0)
    expect(JSON.stringify(a.log, (_, value: unknown) => (typeof value === 'bigint' ? `${value}` : value))).not.toContain('hunter22')
  })

  test('every setting is one or the other', () => {
    const one = (changes: Partial<PeerSettings>): readonly string[] => Object.keys(changes)
    const covered = new Set([
      ...one(LIVE),
      ...Object.values(RESETS).flatMap(one),
      'key',
      'interface',
      'speakerAsn',
      'ebgpMultihop',
      'shutdown',
    ])
    expect(Object.keys(settings(B)).filter((name) => !covered.has(name))).toEqual([])
  })

  test('more or fewer paths to send do not matter, none at all does', () => {
    const { a } = up({ addPath: { receive: false, send: 4 } })
    expect(a.configure(settings(B, { addPath: { receive: false, send: 2 } }))).toBe('applied')
    expect(a.configure(settings(B, { addPath: { receive: false, send: 0 } }))).toBe('reset')
  })

  test('the speaker’s own AS matters unless localASNumber hides it', () => {
    expect(up().a.configure(settings(B, { speakerAsn: asn(65009) }))).toBe('reset')
    const hidden = { localAsn: asn(65007) }
    expect(up(hidden).a.configure(settings(B, { ...hidden, speakerAsn: asn(65009) }))).toBe('applied')
  })

  test('an attempt under way is begun anew', () => {
    const world = new PeerWorld()
    const { a, raws } = world.againstRaw()
    expect(a.configure(settings(B, { role: 'Peer' }))).toBe('reset')
    world.run(0.1)
    expect(raws[0]?.refusal).toBe('6/6')
    expect(raws[1]?.open?.capabilities.map(({ kind }) => kind)).toContain('role')
    expect(a.ends).toEqual([])
  })

  test('what kept failing is tried at once with the new settings', () => {
    const world = new PeerWorld()
    const a = world.peer(A, settings(B, { connectRetrySeconds: 120 }))
    a.peer.start()
    world.run(1_000)
    expect(a.configure(settings(B, { connectRetrySeconds: 120, port: 1179 }))).toBe('applied')
    expect(a.state).toBe('Connect')
  })

  test('a peer that becomes passive stops dialling; one that is no longer starts to', () => {
    const world = new PeerWorld()
    const a = world.peer(A, settings(B))
    a.peer.start()
    world.run(0.5)
    a.configure(settings(B, { passive: true }))
    expect(a.state).toBe('Active')
    world.run(100)
    expect(a.state).toBe('Active')
    a.configure(settings(B))
    expect(a.state).toBe('Connect')
  })

  test('before it is started nothing happens', () => {
    const world = new PeerWorld()
    const a = world.peer(A, settings(B))
    expect(a.configure(settings(B, { asn: asn(65009) }))).toBe('applied')
    world.run(100)
    expect([a.state, world.network.connections.length]).toEqual(['Idle', 0])
  })
})

describe('administrative shutdown (RFC 9003)', () => {
  test('[rule 49] configured: Cease 6/2 with its message, then silence until it is taken away', () => {
    const { world, a, raws, raw } = up()
    expect(a.configure(settings(B, { shutdown: { message: 'replacing optics' } }))).toBe('reset')
    world.run(0.1)
    expect(raw.messages.at(-1)).toMatchObject({ code: 6, subcode: 2 })
    expect(Buffer.from(raw.notification?.data ?? []).toString()).toContain('replacing optics')
    expect(a.ends[0]?.reason).toBe('we shut the session down: replacing optics')
    world.run(1_000)
    expect([a.state, raws.length]).toEqual(['Idle', 1])
    expect(a.configure(settings(B, { shutdown: { message: 'still' } }))).toBe('applied')
    world.run(100)
    expect(raws).toHaveLength(1)
    expect(a.configure(settings(B))).toBe('applied')
    world.run(0.1)
    expect(raws).toHaveLength(2)
  })

  test('configured from the start: nothing is dialled and nobody accepted', () => {
    const world = new PeerWorld()
    const a = world.peer(A, settings(B, { shutdown: { message: '' } }))
    a.peer.start()
    world.run(100)
    expect(world.network.connections).toHaveLength(0)
    expect(() => world.dialA(world.network.host(B))).toThrow('refused')
  })
})

describe('[rule 180] too many prefixes', () => {
  const limits = (restartAfterSeconds: number | null) => ({ ipv4: 1, ipv6: null, warnAtPercent: 75, restartAfterSeconds })
  const TOO_MANY = { kind: 'maxPrefixes', family: 'IPv4Unicast', bound: 1 } as const

  test('Cease 6/1, then rest for the restart time, neither dialling nor accepting', () => {
    const { world, a, raws, raw } = up({ maxPrefixes: limits(300) })
    a.peer.stop(TOO_MANY)
    world.run(0.1)
    expect(raw.refusal).toBe('6/1')
    world.run(298)
    expect(raws).toHaveLength(1)
    expect(() => world.dialA(world.network.host(B))).toThrow('refused')
    world.run(3)
    expect(raws).toHaveLength(2)
    expect(a.lastError).toBe('the peer sent more than 1 IPv4Unicast prefixes')
  })

  test('without a restart time, until the limits change', () => {
    const { world, a, raws } = up({ maxPrefixes: limits(null) })
    a.peer.stop(TOO_MANY)
    world.run(100_000)
    expect(raws).toHaveLength(1)
    a.configure(settings(B, { maxPrefixes: limits(null), description: 'no help' }))
    world.run(100)
    expect(raws).toHaveLength(1)
    a.configure(settings(B, { maxPrefixes: { ...limits(null), ipv4: 100 } }))
    world.run(0.1)
    expect(raws).toHaveLength(2)
  })

  test('or until an operator says so', () => {
    const { world, a, raws } = up({ maxPrefixes: limits(null) })
    a.peer.stop(TOO_MANY)
    world.run(1)
    a.peer.stop({ kind: 'reset', message: '' })
    a.peer.start()
    world.run(0.1)
    expect(raws).toHaveLength(2)
  })
})

describe('sockets', () => {
  test('[rule 175] [rule 176] TTL: 1 to a neighbour, as configured over hops, 255 both ways with TTL security', () => {
    const of = (changes: Partial<PeerSettings>) => hopLimitOf(settings(B, changes))
    expect(of({})).toEqual({ send: 1, receiveAtLeast: null })
    expect(of({ ebgpMultihop: 5 })).toEqual({ send: 5, receiveAtLeast: null })
    expect(of({ asn: asn(65001) })).toEqual({ send: 64, receiveAtLeast: null })
    expect(of({ ttlSecurity: 1 })).toEqual({ send: 255, receiveAtLeast: 255 })
    expect(of({ ttlSecurity: 3, asn: asn(65001) })).toEqual({ send: 255, receiveAtLeast: 253 })
  })

  test('the kernel’s own timeout comes after the send hold timer', () => {
    expect(userTimeoutMsOf(settings(B))).toBe(510_000)
    expect(userTimeoutMsOf(settings(B, { sendHoldTimeSeconds: 20 }))).toBe(50_000)
    expect(userTimeoutMsOf(settings(B, { holdTimeSeconds: 0 }))).toBe(510_000)
  })

  test('[rule 177] what the listener must know', () => {
    const world = new PeerWorld()
    const a = world.peer(A, settings(B, { password: 'x', ttlSecurity: 1 }))
    expect(a.peer.acceptedPeer()).toEqual({
      address: ip(B),
      interface: null,
      password: 'x',
      hopLimit: { send: 255, receiveAtLeast: 255 },
      userTimeoutMs: 510_000,
    })
  })
})
