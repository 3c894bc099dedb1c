// How a peer comes to a connection, which of two it keeps, and how long it rests after a failure.
import { describe, expect, test } from '@jest/globals'
import { routerId } from '../../../src/bgp/attributes.ts'
import { A, B, keepalive, notification, openOf, PeerWorld, type RawPeer, settings, type TestPeer } from './peer-world.ts'

const GRACEFUL = { kind: 'gracefulRestart', restarting: false, notification: false, restartTimeSeconds: 120 } as const
const V4_KEPT = { families: [{ afi: 1, safi: 1, forwardingPreserved: false }] }
const NO_GRACE = { gracefulRestart: { enabled: false, restartTimeSeconds: 120, longLivedStaleTimeSeconds: 0, notification: false } }

describe('connecting', () => {
  test('a refused connection is named, and tried again at least every ConnectRetryTime', () => {
    const world = new PeerWorld()
    const a = world.peer(A, settings(B, { connectRetrySeconds: 5 }))
    let dials = 0
    const dial = a.host.dial.bind(a.host)
    a.host.dial = (...args) => {
      dials++
      return dial(...args)
    }
    a.peer.start()
    world.run(1)
    expect(a.lastError).toBe('connection refused by 10.0.0.2:179: no BGP speaker listens there, or it does not want us')
    world.run(600)
    expect(dials).toBeGreaterThan(600 / 6)
    expect(a.log.filter(({ level }) => level === 'warn')).toHaveLength(1) // an absent peer is not news
    expect(a.state).toMatch(/Idle|Connect/)
  })

  test('it comes up as soon as the peer is there', () => {
    const world = new PeerWorld()
    const a = world.peer(A, settings(B, { connectRetrySeconds: 5 }))
    a.peer.start()
    world.run(100)
    const b = world.peer(B, settings(A, { passive: true }))
    b.peer.start()
    world.run(6)
    expect([a.state, b.state]).toEqual(['Established', 'Established'])
  })

  test('[rule 178] a wrong or missing password on either side shows as silence, and the words say so', () => {
    for (const [ours, theirs] of [
      ['secret', null],
      ['secret', 'other'],
    ] as const) {
      const world = new PeerWorld()
      const { a, b } = world.pair({ a: { password: ours }, b: { password: theirs } })
      world.run(10)
      expect([a.state, b.state]).toEqual(['Connect', 'Active'])
      expect(a.lastError).toBe('no answer from 10.0.0.2:179: wrong or missing TCP MD5 password, or the peer is unreachable')
    }
    const world = new PeerWorld()
    const { a } = world.pair({ b: { password: 'secret' } })
    world.run(10)
    expect(a.lastError).toBe(
      'no answer from 10.0.0.2:179: the peer is unreachable, or it wants a TCP MD5 password and we have none configured',
    )
  })

  test('the same password on both sides is fine, and never shows', () => {
    const world = new PeerWorld()
    const { a, b } = world.pair({ a: { password: 'tops3cret' }, b: { password: 'tops3cret' } })
    expect(a.state).toBe('Established')
    a.configure(settings(B, { password: 'n3wsecret' }))
    world.run(100)
    for (const peer of [a, b]) expect(JSON.stringify([peer.log, peer.peer.status(), peer.ends], bigints)).not.toMatch(/s3cret|n3wsecret/)
  })

  test('a dial without an answer is given up after ConnectRetryTime and made anew (RFC 4271 §8.2.2)', () => {
    const world = new PeerWorld()
    world.network.answerDials(B, 'silent')
    const a = world.peer(A, settings(B, { connectRetrySeconds: 5 }))
    a.peer.start()
    world.run(20)
    expect(a.state).toBe('Connect')
    world.network.answerDials(B, null)
    const b = world.peer(B, settings(A, { passive: true }))
    b.peer.start()
    world.run(5)
    expect(a.state).toBe('Established')
  })

  test('[rule 54] a passive peer waits, and is Active meanwhile', () => {
    const world = new PeerWorld()
    const a = world.peer(A, settings(B, { passive: true }))
    a.peer.start()
    world.run(1_000)
    expect([a.state, world.network.connections.length]).toEqual(['Active', 0])
    const b = world.peer(B, settings(A))
    b.peer.start()
    world.run(1)
    expect([a.state, b.state]).toEqual(['Established', 'Established'])
  })

  test('a peer that was not started, or was shut down, takes nothing', () => {
    const world = new PeerWorld()
    const a = world.peer(A, settings(B))
    const host = world.network.host(B)
    expect(() => world.dialA(host)).toThrow('refused')
    a.peer.start()
    a.peer.stop({ kind: 'shutdown', message: '' })
    expect(() => world.dialA(host)).toThrow('refused')
    world.run(1_000)
    expect([a.state, world.network.open]).toEqual(['Idle', 0])
    a.peer.start()
    world.dialA(host)
  })

  test('a source address that is not ours is named', () => {
    const world = new PeerWorld()
    const a = world.peer(A, settings(B, { sourceAddress: settings('10.0.0.7').address }))
    a.peer.start()
    world.run(1)
    expect(a.lastError).toBe('source address 10.0.0.7 is not configured on this host')
  })

  test('the peer hangs up before its OPEN: said so, and tried again after ConnectRetryTime', () => {
    const world = new PeerWorld()
    const { a, raws } = world.againstRaw()
    raws[0]?.connection.close()
    world.run(0.1)
    expect(a.lastError).toBe('the peer closed the connection before its OPEN: is this address configured as its peer?')
    expect(a.state).toBe('Active')
    world.run(6)
    expect(raws).toHaveLength(2)
    raws[1]?.say(openOf(), keepalive())
    world.run(0.1)
    expect(a.state).toBe('Established')
  })

  test('half a message of a connection that failed is forgotten with it', () => {
    const world = new PeerWorld()
    const { a, raws } = world.againstRaw()
    raws[0]?.say(openOf().subarray(0, 25))
    world.run(0.1)
    raws[0]?.connection.destroy()
    world.run(6)
    raws[1]?.say(openOf(), keepalive())
    world.run(0.1)
    expect(a.state).toBe('Established')
  })

  test('an incoming connection that hangs up before its OPEN leaves nothing behind', () => {
    const world = new PeerWorld()
    const a = world.peer(A, settings(B, { passive: true }))
    a.peer.start()
    world.dialA(world.network.host(B)).connection.close()
    world.run(3)
    expect(a.state).toBe('Active')
    expect(a.lastError).toContain('before its OPEN')
  })
})

/** JSON for values with addresses in them. */
const bigints = (_: string, value: unknown): unknown => (typeof value === 'bigint' ? `${value}` : value)

describe('[rule 52] rest after failures', () => {
  /** Fails each session of `a` as soon as it can, `times` times; how long the peer was left alone each time, in seconds. */
  function restsAfterFailures(world: PeerWorld, raws: RawPeer[], times: number): readonly number[] {
    const rests: number[] = []
    for (let i = 0; i < times; i++) {
      raws.at(-1)?.say(notification(6, 5))
      const before = raws.length
      const sinceMs = world.clock.nowMs()
      while (raws.length === before) world.run(0.05)
      rests.push((world.clock.nowMs() - sinceMs) / 1_000)
    }
    return rests
  }

  test('grows to a minute, and is forgotten after five stable minutes', () => {
    const world = new PeerWorld()
    const { a, raws } = world.againstRaw()
    const rests = restsAfterFailures(world, raws, 8)
    const expected = [1, 2, 4, 8, 16, 32, 60, 60].map((full) => full * 0.875) // jittered by the fixed random number
    for (const [at, rest] of rests.entries()) expect(Math.abs(rest - (expected[at] ?? 0))).toBeLessThan(0.2)
    raws.at(-1)?.say(openOf(), keepalive())
    for (let i = 0; i < 31; i++) {
      world.run(10)
      raws.at(-1)?.say(keepalive())
    }
    expect(a.state).toBe('Established')
    expect(restsAfterFailures(world, raws, 1)[0]).toBeLessThan(1.2)
  })

  test('a peer that keeps failing is turned away meanwhile; after one failure it is not', () => {
    const world = new PeerWorld()
    const a = world.peer(A, settings(B, { passive: true }))
    const host = world.network.host(B)
    a.peer.start()
    world.dialA(host).say(notification(6, 5))
    world.run(0.1)
    world.dialA(host).say(notification(6, 5))
    world.run(0.1)
    expect(() => world.dialA(host)).toThrow('refused')
    world.run(2)
    world.dialA(host)
  })

  test('an operator who says start does not wait', () => {
    const world = new PeerWorld()
    const { a, raws } = world.againstRaw()
    restsAfterFailures(world, raws, 5)
    raws.at(-1)?.say(notification(6, 5))
    world.run(0.1)
    const before = raws.length
    a.peer.start()
    world.run(0.1)
    expect(raws.length).toBe(before + 1)
  })

  test('a session that graceful restart holds is expected back and not damped', () => {
    const world = new PeerWorld()
    const { raws } = world.againstRaw()
    for (let i = 0; i < 6; i++) {
      raws.at(-1)?.say(openOf({}, { ...GRACEFUL, ...V4_KEPT }), keepalive())
      world.run(15)
      const before = raws.length
      raws.at(-1)?.connection.destroy()
      world.run(1.2)
      expect(raws.length).toBe(before + 1)
    }
  })

  test('unless it is lost again and again within seconds', () => {
    const world = new PeerWorld()
    const { raws } = world.againstRaw()
    let longestRestMs = 0
    for (let i = 0; i < 5; i++) {
      raws.at(-1)?.say(openOf({}, { ...GRACEFUL, ...V4_KEPT }), keepalive())
      world.run(0.5)
      const before = raws.length
      raws.at(-1)?.connection.destroy()
      const sinceMs = world.clock.nowMs()
      while (raws.length === before) world.run(0.1)
      longestRestMs = Math.max(longestRestMs, world.clock.nowMs() - sinceMs)
    }
    expect(longestRestMs).toBeGreaterThan(10_000)
  })
})

describe('collision between two whole peers (RFC 4271 §6.8)', () => {
  function both(changes: { a?: Parameters<typeof settings>[1]; b?: Parameters<typeof settings>[1] } = {}): {
    world: PeerWorld
    a: TestPeer
    b: TestPeer
  } {
    const world = new PeerWorld()
    const a = world.peer(A, settings(B, { ...NO_GRACE, ...changes.a }))
    const b = world.peer(B, settings(A, { ...NO_GRACE, ...changes.b }))
    return { world, a, b }
  }

  /** The connection that both ends still use. */
  function kept(world: PeerWorld): { readonly begunBy: string } {
    expect(world.network.open).toBe(1)
    const [near] = world.network.connections.find(([x, y]) => x.isOpen && y.isOpen) ?? []
    return { begunBy: near?.local.address === settings(A).address ? 'a' : 'b' }
  }

  test('[rule 36] [rule 37] [rule 39] simultaneous open: one session, begun by the higher identifier, the other closed with 6/7', () => {
    const { world, a, b } = both()
    a.peer.start()
    b.peer.start()
    world.run(3)
    expect([a.state, b.state]).toEqual(['Established', 'Established'])
    expect(kept(world).begunBy).toBe('b') // identifier 2 over 1
    expect([a.ups.length, b.ups.length, a.ends.length, b.ends.length]).toEqual([1, 1, 0, 0])
    const said = [...a.log, ...b.log].filter(({ event }) => event === 'bgp.notification.sent')
    expect(said.length).toBeGreaterThan(0)
    for (const { fields } of said) expect(fields).toMatchObject({ code: 6, subcode: 7 })
    expect([a.lastError, b.lastError]).toEqual([null, null]) // it was no failure
    world.run(1_000)
    expect([a.ups.length, b.ups.length, world.network.connections.length]).toEqual([1, 1, 2])
  })

  test('[rule 38] equal identifiers: the higher AS decides', () => {
    const { world, a, b } = both({ b: { routerId: settings(B).routerId } })
    a.peer.start()
    b.peer.start()
    world.run(3)
    expect([a.state, b.state]).toEqual(['Established', 'Established'])
    expect(kept(world).begunBy).toBe('b')
  })

  test('[rule 41] [rule 42] however the two dials and their messages interleave, both end with one and the same session', () => {
    for (let bLaterMs = -12; bLaterMs <= 12; bLaterMs++) {
      for (const latencyMs of [1, 3, 7]) {
        for (const higher of ['a', 'b']) {
          const world = new PeerWorld({ latencyMs })
          const ids = higher === 'a' ? { a: 9, b: 2 } : { a: 1, b: 2 }
          const a = world.peer(A, settings(B, { ...NO_GRACE, routerId: routerId(ids.a) }))
          const b = world.peer(B, settings(A, { ...NO_GRACE, routerId: routerId(ids.b) }))
          world.clock.after(20, () => a.peer.start())
          world.clock.after(20 + bLaterMs, () => b.peer.start())
          world.run(5)
          const label = `${bLaterMs} ms apart, latency ${latencyMs}, higher ${higher}`
          expect([label, a.state, b.state, world.network.open]).toEqual([label, 'Established', 'Established', 1])
          expect([label, a.ends.length, b.ends.length]).toEqual([label, 0, 0])
        }
      }
    }
  })

  test('the same with graceful restart: the late half of a simultaneous open does not look like a restart', () => {
    for (let bLaterMs = 0; bLaterMs <= 12; bLaterMs++) {
      const world = new PeerWorld({ latencyMs: 3 })
      const a = world.peer(A, settings(B))
      const b = world.peer(B, settings(A))
      world.clock.after(20, () => a.peer.start())
      world.clock.after(20 + bLaterMs, () => b.peer.start())
      world.run(5)
      expect([bLaterMs, a.state, b.state, a.ends.length, b.ends.length]).toEqual([bLaterMs, 'Established', 'Established', 0, 0])
    }
  })

  test('[rule 36] until its OPEN comes, a second connection is left alone', () => {
    const world = new PeerWorld()
    const { a, raws, host } = world.againstRaw(NO_GRACE)
    const second = world.dialA(host)
    raws[0]?.say(openOf(), keepalive())
    world.run(1)
    expect(a.state).toBe('Established')
    expect(second.isClosed).toBe(false)
    expect(second.open).toBeDefined()
    second.say(openOf())
    world.run(0.1)
    expect(second.refusal).toBe('6/7')
    expect(a.state).toBe('Established')
    expect(a.ends).toHaveLength(0)
  })

  test('a second connection that never says anything is closed in the end, and the session stays', () => {
    const world = new PeerWorld()
    const { a, raws, host } = world.againstRaw(NO_GRACE)
    const second = world.dialA(host)
    raws[0]?.say(openOf(), keepalive())
    for (let i = 0; i < 7; i++) {
      world.run(10)
      raws[0]?.say(keepalive())
    }
    expect([a.state, second.isClosed, a.ends.length]).toEqual(['Established', true, 0])
    expect(a.lastError).toBeNull()
  })

  test('[rule 41] both orders of the OPENs at one side: OpenSent against OpenConfirm', () => {
    for (const first of ['outgoing', 'incoming'] as const) {
      const world = new PeerWorld()
      const { a, raws, host } = world.againstRaw(NO_GRACE)
      const incoming = world.dialA(host)
      const outgoing = raws[0]
      if (outgoing === undefined) throw new Error('nobody dialled')
      const order = first === 'outgoing' ? [outgoing, incoming] : [incoming, outgoing]
      for (const raw of order) {
        raw.say(openOf())
        world.run(0.1)
      }
      expect([first, outgoing.refusal, incoming.refusal]).toEqual([first, '6/7', null]) // the higher identifier, the raw one's, stays
      incoming.say(keepalive())
      world.run(0.1)
      expect(a.state).toBe('Established')
    }
  })

  test('once a session is up the other attempts end: a dial without an answer', () => {
    const world = new PeerWorld()
    world.network.answerDials(B, 'silent')
    const { a, host, raws } = world.againstRaw(NO_GRACE)
    const incoming = world.dialA(host)
    incoming.say(openOf(), keepalive())
    world.run(0.1)
    expect(a.state).toBe('Established')
    world.network.answerDials(B, null)
    for (let i = 0; i < 10; i++) {
      world.run(10)
      incoming.say(keepalive())
    }
    expect([a.state, raws.length]).toEqual(['Established', 0])
  })

  test('once a session is up the other attempts end: a connection that fails before its OPEN', () => {
    const world = new PeerWorld()
    const { a, host, raws } = world.againstRaw(NO_GRACE)
    const incoming = world.dialA(host)
    incoming.say(openOf(), keepalive())
    world.run(0.1)
    raws[0]?.connection.destroy()
    for (let i = 0; i < 10; i++) {
      world.run(10)
      incoming.say(keepalive())
    }
    expect([a.state, raws.length, a.lastError]).toEqual(['Established', 1, null])
  })

  test('the half of a collision that the peer decides is no failure either', () => {
    const world = new PeerWorld()
    const { a, host, raws } = world.againstRaw(NO_GRACE)
    const incoming = world.dialA(host)
    raws[0]?.say(notification(6, 7))
    world.run(0.1)
    expect(a.lastError).toBeNull()
    incoming.say(openOf(), keepalive())
    world.run(3)
    expect([a.state, raws.length]).toEqual(['Established', 1])
  })

  test('a new connection right after the session came up is no restart', () => {
    const world = new PeerWorld()
    const { a, host, raws } = world.againstRaw()
    raws[0]?.say(openOf({}, { ...GRACEFUL, ...V4_KEPT }), keepalive())
    world.run(1)
    const second = world.dialA(host)
    second.say(openOf({}, { ...GRACEFUL, ...V4_KEPT }))
    world.run(0.1)
    expect([second.refusal, a.ends.length]).toEqual(['6/7', 0])
  })

  test('a peer that dials again before its first attempt came to anything is taken at its word', () => {
    const world = new PeerWorld()
    const a = world.peer(A, settings(B, { passive: true }))
    a.peer.start()
    const host = world.network.host(B)
    const first = world.dialA(host)
    const second = world.dialA(host)
    world.run(0.1)
    expect(first.refusal).toBe('6/7')
    second.say(openOf(), keepalive())
    world.run(0.1)
    expect(a.state).toBe('Established')
  })

  test('a flood of connections from the peer leaves at most two alive', () => {
    const world = new PeerWorld()
    const { a, raws, host } = world.againstRaw(NO_GRACE)
    raws[0]?.say(openOf(), keepalive())
    world.run(0.1)
    for (let i = 0; i < 200; i++) world.dialA(host)
    world.run(2)
    expect(world.network.open).toBeLessThanOrEqual(2)
    expect(a.state).toBe('Established')
  })

  test('[rule 40] without graceful restart an Established session wins over a new one', () => {
    const world = new PeerWorld()
    const { a, raws, host } = world.againstRaw(NO_GRACE)
    raws[0]?.say(openOf({}, { ...GRACEFUL, ...V4_KEPT }), keepalive())
    world.run(60)
    const second = world.dialA(host)
    second.say(openOf())
    world.run(0.1)
    expect([second.refusal, a.state, a.ends.length]).toEqual(['6/7', 'Established', 0])
  })

  test('[rule 40] [rule 153] with it, a new OPEN means that the peer has restarted: its routes are retained (RFC 4724 §5)', () => {
    const world = new PeerWorld()
    const { a, raws, host } = world.againstRaw()
    raws[0]?.say(openOf({}, { ...GRACEFUL, ...V4_KEPT }), keepalive())
    world.run(60)
    const second = world.dialA(host)
    expect(a.state).toBe('Established') // not before its OPEN
    second.say(openOf({}, { ...GRACEFUL, ...V4_KEPT, restarting: true }), keepalive())
    world.run(0.1)
    expect(a.ends).toEqual([{ reason: 'the peer has restarted: it opened a new session (RFC 4724)', notification: null, retain: true }])
    expect(raws[0]?.refusal).toBeNull()
    expect(raws[0]?.isClosed).toBe(true)
    expect(a.ups).toHaveLength(2)
    expect(a.ups[1]?.gracefulRestart?.peerRestarting).toBe(true)
    world.run(30)
    expect(a.ups).toHaveLength(2)
  })
})
