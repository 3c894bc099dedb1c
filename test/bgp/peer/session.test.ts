// Two whole peers, or one and a raw end, over memory under a fake clock: sessions come up, stay and end as the RFCs say.
import { describe, expect, test } from '@jest/globals'
import { encodeEndOfRib, encodeRouteRefresh, encodeShutdownMessage } from '../../../src/bgp/wire/index.ts'
import { ip } from '../../../src/net/index.ts'
import { A, B, byHand, keepalive, notification, openOf, PeerWorld, type RawPeer, settings } from './peer-world.ts'

const END_OF_RIB = encodeEndOfRib('IPv4Unicast')
const REFRESH = encodeRouteRefresh({ family: 'IPv4Unicast', subtype: 0 })

/** Brings a raw end to Established. */
function establish(world: PeerWorld, raw: RawPeer | undefined, open = openOf()): RawPeer {
  if (raw === undefined) throw new Error('nobody dialled')
  raw.say(open, keepalive())
  world.run(0.1)
  return raw
}

describe('a session', () => {
  test('comes up between two peers, and both know what was agreed', () => {
    const world = new PeerWorld()
    const { a, b } = world.pair({ a: { holdTimeSeconds: 30, keepaliveTimeSeconds: 10 } })
    expect([a.state, b.state]).toEqual(['Established', 'Established'])
    expect(a.ups).toHaveLength(1)
    expect(a.ups[0]).toMatchObject({
      peerType: 'eBGP',
      remoteAsn: 65002,
      remoteRouterId: 2,
      localAddress: ip(A),
      holdTimeSeconds: 30,
      keepaliveSeconds: 10,
      families: ['IPv4Unicast'],
      fourOctetAs: true,
      extendedMessage: true,
      routeRefresh: true,
      enhancedRouteRefresh: true,
    })
    expect(b.ups[0]).toMatchObject({ remoteAsn: 65001, remoteRouterId: 1, holdTimeSeconds: 30 })
    expect(a.peer.status()).toMatchObject({ establishedCount: 1, lastError: null })
  })

  test('carries UPDATE and ROUTE-REFRESH both ways and counts every message by kind', () => {
    const world = new PeerWorld()
    const { a, b } = world.pair()
    expect(a.peer.send([END_OF_RIB, REFRESH])).toBe(true)
    world.run(0.1)
    expect(b.updates.map(({ endOfRib }) => endOfRib)).toEqual(['IPv4Unicast'])
    expect(b.refreshes).toBe(1)
    expect(a.peer.status().messages.sent).toEqual({ open: 1, update: 1, notification: 0, keepalive: 1, routeRefresh: 1 })
    expect(b.peer.status().messages.received).toEqual({ open: 1, update: 1, notification: 0, keepalive: 1, routeRefresh: 1 })
  })

  test('counts messages that share a chunk', () => {
    const world = new PeerWorld()
    const { a } = world.pair()
    a.peer.send([Buffer.concat([END_OF_RIB, END_OF_RIB, REFRESH])])
    expect(a.peer.status().messages.sent).toMatchObject({ update: 2, routeRefresh: 1 })
  })

  test('[rule 1] comes up and works when every octet arrives alone', () => {
    const world = new PeerWorld()
    world.network.segment = (bytes) => Array.from(bytes, (_, at) => bytes.subarray(at, at + 1))
    const { a, b } = world.pair()
    a.peer.send([END_OF_RIB])
    world.run(0.1)
    expect([a.state, b.updates.length]).toEqual(['Established', 1])
  })

  test('nothing is sent without an Established session', () => {
    const world = new PeerWorld()
    const { a, raws } = world.againstRaw()
    expect(a.peer.send([END_OF_RIB])).toBe(false)
    world.run(0.1)
    expect(raws[0]?.messages.map(({ kind }) => kind)).toEqual(['open'])
  })

  test('an observer may send from within `established`', () => {
    const world = new PeerWorld()
    const a = world.peer(A, settings(B))
    const b = world.peer(B, settings(A, { passive: true }))
    a.onEstablished = () => void a.peer.send([END_OF_RIB])
    a.peer.start()
    b.peer.start()
    world.run(1)
    expect(b.updates).toHaveLength(1)
  })

  test('an observer may stop the peer from within an UPDATE: nothing more of that chunk is delivered', () => {
    const world = new PeerWorld()
    const { a, b } = world.pair()
    b.onUpdate = () => b.peer.stop({ kind: 'maxPrefixes', family: 'IPv4Unicast', bound: 0 })
    a.peer.send([END_OF_RIB, END_OF_RIB, END_OF_RIB])
    world.run(0.5)
    expect(b.updates).toHaveLength(1)
    expect(b.peer.status().messages.received.update).toBe(1)
    expect(b.ends).toHaveLength(1)
    expect(a.lastError).toContain('maximum number of prefixes reached: 0 for IPv4Unicast (6/1)')
  })
})

describe('timers', () => {
  test('[rule 43] KEEPALIVEs go every third of the hold time, and an UPDATE sent puts the next one off', () => {
    const world = new PeerWorld()
    const { a } = world.pair({ a: { holdTimeSeconds: 90 } })
    const sentKeepalives = (): number => a.peer.status().messages.sent.keepalive
    const before = sentKeepalives()
    world.run(26.5) // 30 s, jittered by the fixed random number to 26.25 s
    expect(sentKeepalives()).toBe(before + 1)
    for (let i = 0; i < 10; i++) {
      world.run(20)
      a.peer.send([END_OF_RIB])
    }
    expect(sentKeepalives()).toBe(before + 1)
    world.run(26.5)
    expect(sentKeepalives()).toBe(before + 2)
  })

  test('[rule 11] KEEPALIVE at most once a second, even with the least hold time', () => {
    const world = new PeerWorld()
    const a = world.peer(A, settings(B, { holdTimeSeconds: 3, keepaliveTimeSeconds: 1 }), () => 0)
    const b = world.peer(B, settings(A, { passive: true }))
    a.peer.start()
    b.peer.start()
    world.run(1)
    const before = a.peer.status().messages.sent.keepalive
    world.run(60)
    expect(a.state).toBe('Established')
    expect(a.peer.status().messages.sent.keepalive - before).toBeLessThanOrEqual(60)
  })

  test('hold expiry: NOTIFICATION 4/0, the reason in words, and the session ends (RFC 4271 §6.5)', () => {
    const world = new PeerWorld()
    const { a, raws } = world.againstRaw({ holdTimeSeconds: 9, keepaliveTimeSeconds: 3 })
    const raw = establish(world, raws[0])
    world.run(8.8)
    expect(a.state).toBe('Established')
    world.run(0.3)
    expect(a.ends).toEqual([
      {
        reason: 'hold timer expired: nothing came from the peer for 9 s',
        notification: { direction: 'sent', code: 4, subcode: 0 },
        retain: false,
      },
    ])
    expect(raw.refusal).toBe('4/0')
  })

  test.each([
    ['KEEPALIVE', keepalive()],
    ['UPDATE', END_OF_RIB],
    ['ROUTE-REFRESH', REFRESH],
  ])('[rule 43] a received %s restarts the HoldTimer', (_, message) => {
    const world = new PeerWorld()
    const { a, raws } = world.againstRaw({ holdTimeSeconds: 9, keepaliveTimeSeconds: 3 })
    const raw = establish(world, raws[0])
    for (let i = 0; i < 5; i++) {
      world.run(7)
      raw.say(message)
    }
    world.run(7)
    expect(a.state).toBe('Established')
  })

  test('half a message is no sign of life', () => {
    const world = new PeerWorld()
    const { a, raws } = world.againstRaw({ holdTimeSeconds: 9, keepaliveTimeSeconds: 3 })
    const raw = establish(world, raws[0])
    world.run(5)
    raw.say(keepalive().subarray(0, 10))
    world.run(5)
    expect(a.state).not.toBe('Established')
  })

  test('[rule 44] what waits in the socket when the HoldTimer fires is read before the session is judged', () => {
    const world = new PeerWorld()
    const { a, socket } = byHand(world, { holdTimeSeconds: 9, keepaliveTimeSeconds: 3 })
    socket.received(openOf())
    socket.received(keepalive()) // the HoldTimer is due in 9 s
    // A blocked loop sees the timer first, though the octets have been waiting in the socket.
    world.clock.after(9_000, () => socket.received(keepalive()))
    world.run(9)
    expect(a.state).toBe('Established')
    world.run(8.9)
    expect(a.state).toBe('Established')
    world.run(0.2)
    expect(a.ends.map(({ notification: said }) => said?.code)).toEqual([4])
  })

  test('[rule 20] hold time 0: no KEEPALIVEs and no expiry', () => {
    const world = new PeerWorld()
    const { a, b } = world.pair({ b: { holdTimeSeconds: 0 } })
    expect(a.ups[0]).toMatchObject({ holdTimeSeconds: null, keepaliveSeconds: null })
    const before = a.peer.status().messages.sent.keepalive
    world.run(100_000)
    expect([a.state, b.state]).toEqual(['Established', 'Established'])
    expect(a.peer.status().messages.sent.keepalive).toBe(before)
  })

  test('[rule 35] a peer that sends no OPEN is left after a minute, in words', () => {
    const world = new PeerWorld()
    const { a, raws } = world.againstRaw()
    world.run(59)
    expect(raws[0]?.isClosed).toBe(false)
    world.run(2)
    expect(raws[0]?.refusal).toBe('4/0')
    expect(a.lastError).toBe('the peer sent no OPEN')
  })

  test('a peer that sends an OPEN and then nothing is left too, also with hold time 0', () => {
    const world = new PeerWorld()
    const { raws } = world.againstRaw({ holdTimeSeconds: 0 })
    raws[0]?.say(openOf({ holdTimeSeconds: 0 }))
    world.run(59)
    expect(raws[0]?.isClosed).toBe(false)
    world.run(3)
    expect(raws[0]?.isClosed).toBe(true)
  })

  test('every timer is given back when the peer is disposed', () => {
    const world = new PeerWorld()
    const { a, b } = world.pair()
    a.peer.send([END_OF_RIB])
    a.vanish()
    b.vanish()
    world.run(5)
    expect(world.clock.armed).toBe(0)
  })
})

describe('send hold timer (RFC 9687)', () => {
  const BULK = Buffer.concat(Array.from({ length: 3_000 }, () => END_OF_RIB)) // 69 000 octets

  function stuck(changes = {}): {
    world: PeerWorld
    a: ReturnType<PeerWorld['againstRaw']>['a']
    raw: RawPeer
    beat: (seconds: number) => void
  } {
    const world = new PeerWorld({ windowBytes: 32 * 1024 })
    const { a, raws } = world.againstRaw(changes)
    const raw = establish(world, raws[0])
    raw.connection.pause()
    const beat = (seconds: number): void => {
      for (let passed = 0; passed < seconds; passed += 10) {
        raw.say(keepalive())
        world.run(10)
      }
    }
    return { world, a, raw, beat }
  }

  test('[rule 45] [rule 46] a peer that reads nothing, yet sends KEEPALIVEs, is given up after eight minutes', () => {
    const { a, beat } = stuck()
    a.peer.send([BULK])
    beat(470)
    expect(a.state).toBe('Established')
    beat(20)
    expect(a.ends).toHaveLength(1)
    expect(a.ends[0]).toMatchObject({
      reason: 'send hold timer expired: the peer does not read what we send',
      notification: { direction: 'sent', code: 8, subcode: 0 },
    })
  })

  test('[rule 45] twice the hold time if that is more', () => {
    const { a, raw, beat } = stuck({ holdTimeSeconds: 600, keepaliveTimeSeconds: 200 })
    expect(raw.open?.holdTimeSeconds).toBe(600)
    a.peer.send([BULK])
    beat(700)
    expect(a.state).not.toBe('Established') // the raw end offered 90 s, so eight minutes it is
  })

  test('[rule 45] a peer that reads, however slowly, is not: each bit of progress starts it anew', () => {
    const { world, a, raw, beat } = stuck()
    for (let i = 0; i < 8; i++) a.peer.send([BULK])
    for (let i = 0; i < 4; i++) {
      beat(450)
      raw.connection.resume()
      world.run(0.002)
      raw.connection.pause()
      expect(a.peer.bufferedBytes).toBeGreaterThan(0)
    }
    expect(a.state).toBe('Established')
    beat(500)
    expect(a.state).not.toBe('Established')
  })

  test('[rule 45] it starts with the first octet the kernel does not take', () => {
    const world = new PeerWorld({ windowBytes: BULK.length })
    const { a, raws } = world.againstRaw({ keepaliveTimeSeconds: 30 })
    const raw = establish(world, raws[0])
    world.run(1)
    raw.connection.pause()
    a.peer.send([BULK])
    world.run(1)
    expect(a.peer.bufferedBytes).toBe(0)
    a.peer.send([END_OF_RIB]) // nothing of this passes
    for (let i = 0; i < 49; i++) {
      raw.say(keepalive())
      world.run(10)
    }
    expect(a.ends.map(({ notification: said }) => said?.code)).toEqual([8])
  })

  test('[rule 45] not with hold time 0', () => {
    const world = new PeerWorld({ windowBytes: 32 * 1024 })
    const { a, raws } = world.againstRaw()
    const raw = establish(world, raws[0], openOf({ holdTimeSeconds: 0 }))
    raw.connection.pause()
    a.peer.send([BULK])
    world.run(10_000)
    expect(a.state).toBe('Established')
  })

  test('as configured', () => {
    const { a, beat } = stuck({ sendHoldTimeSeconds: 20 })
    a.peer.send([BULK])
    beat(30)
    expect(a.ends).toHaveLength(1)
  })

  test('a KEEPALIVE that the peer does not take counts as well', () => {
    const world = new PeerWorld({ windowBytes: 19 * 2 + 80 })
    const { a, raws } = world.againstRaw({ sendHoldTimeSeconds: 100 })
    const raw = establish(world, raws[0])
    raw.connection.pause()
    for (let i = 0; i < 40; i++) {
      raw.say(keepalive())
      world.run(10)
    }
    expect(a.ends.map(({ notification: said }) => said?.code)).toEqual([8])
  })
})

describe('backpressure', () => {
  const CHUNK = Buffer.concat(Array.from({ length: 30_000 }, () => END_OF_RIB)) // 690 000 octets

  test('send answers false over the high-water mark, and writable follows', () => {
    const world = new PeerWorld({ windowBytes: 64 * 1024 })
    const { a, b } = world.pair()
    b.peer.pauseReading()
    expect(a.peer.send([CHUNK])).toBe(true)
    expect(a.peer.send([CHUNK])).toBe(false)
    expect(a.peer.bufferedBytes).toBeGreaterThan(1024 * 1024)
    expect(a.peer.status().bufferedBytes).toBe(a.peer.bufferedBytes)
    world.run(1)
    expect(a.writables).toBe(0)
    b.peer.resumeReading()
    world.run(10)
    expect(a.writables).toBe(1)
    expect(b.updates).toHaveLength(60_000)
    expect(a.peer.bufferedBytes).toBe(0)
  })

  test('a peer we do not read from is not judged by the HoldTimer; it is again once we do', () => {
    const world = new PeerWorld()
    const { a, b } = world.pair({ a: { holdTimeSeconds: 9, keepaliveTimeSeconds: 3 } })
    a.peer.pauseReading()
    world.run(100)
    expect(a.state).toBe('Established')
    a.peer.resumeReading()
    world.run(8)
    expect(a.state).toBe('Established')
    expect(a.ends).toEqual([])
    world.network.cutAll()
    world.run(10)
    expect(a.ends.map(({ notification: said }) => said?.code)).toEqual([4])
    b.vanish()
  })
})

describe('NOTIFICATION', () => {
  test('[rule 53] one that is received ends the session with its words, is not answered, and is logged with its numbers', () => {
    const world = new PeerWorld()
    const { a, raws } = world.againstRaw()
    const raw = establish(world, raws[0])
    raw.say(notification(6, 2, encodeShutdownMessage('maintenance until 5\u0007')))
    world.run(0.1)
    expect(a.ends).toEqual([
      {
        reason: 'the peer ended the session: cease: administrative shutdown: "maintenance until 5\\u0007" (6/2)',
        notification: { direction: 'received', code: 6, subcode: 2 },
        retain: false,
      },
    ])
    expect(raw.notification).toBeUndefined()
    expect(a.log.find(({ event }) => event === 'bgp.notification.received')?.fields).toMatchObject({
      code: 6,
      subcode: 2,
      data: expect.any(String),
    })
    expect(a.peer.status().messages.received.notification).toBe(1)
  })

  test('[rule 53] one that is sent arrives, is logged with its numbers, and nothing follows it', () => {
    const world = new PeerWorld()
    const { a, raws } = world.againstRaw()
    const raw = establish(world, raws[0])
    a.peer.stop({ kind: 'shutdown', message: 'going home' })
    expect(a.peer.send([END_OF_RIB])).toBe(false)
    world.run(0.1)
    expect(raw.messages.at(-1)).toMatchObject({ kind: 'notification', code: 6, subcode: 2, data: encodeShutdownMessage('going home') })
    expect(raw.isClosed).toBe(true)
    expect(a.log.find(({ event }) => event === 'bgp.notification.sent')?.fields).toMatchObject({ code: 6, subcode: 2 })
    expect(a.ends[0]?.reason).toBe('we shut the session down: going home')
  })

  test.each([
    ['shutdown', { kind: 'shutdown', message: '' }, '6/2'],
    ['reset', { kind: 'reset', message: '' }, '6/4'],
    ['deconfigured', { kind: 'deconfigured' }, '6/3'],
    ['configurationChanged', { kind: 'configurationChanged' }, '6/6'],
    ['maxPrefixes', { kind: 'maxPrefixes', family: 'IPv4Unicast', bound: 10 }, '6/1'],
    ['outOfResources', { kind: 'outOfResources' }, '6/8'],
    ['updateError', { kind: 'updateError', error: { code: 3, subcode: 1, data: new Uint8Array(0), reason: 'bad' } }, '3/1'],
    ['hardReset, to a peer without RFC 8538', { kind: 'hardReset', message: '' }, '6/2'],
    ['silent', { kind: 'silent' }, null],
  ] as const)('[rule 47] stop: %s', (_, reason, expected) => {
    const world = new PeerWorld()
    const { a, raws } = world.againstRaw()
    const raw = establish(world, raws[0])
    a.peer.stop(reason)
    world.run(0.1)
    expect(raw.refusal).toBe(expected)
    expect(raw.isClosed).toBe(true)
    expect(a.ends).toHaveLength(1)
  })

  test('[rule 48] Cease 6/1 names family and bound', () => {
    const world = new PeerWorld()
    const { a, raws } = world.againstRaw()
    const raw = establish(world, raws[0])
    a.peer.stop({ kind: 'maxPrefixes', family: 'IPv4Unicast', bound: 10_000 })
    world.run(0.1)
    expect(raw.notification?.data).toEqual(Uint8Array.of(0, 1, 1, 0, 0, 0x27, 0x10))
  })

  test('drained resolves when the last words are out', async () => {
    const world = new PeerWorld()
    const { a, raws } = world.againstRaw()
    const raw = establish(world, raws[0])
    a.peer.stop({ kind: 'shutdown', message: '' })
    let isDrained = false
    const waiting = a.peer.drained().then(() => {
      isDrained = true
    })
    await Promise.resolve()
    expect(isDrained).toBe(false)
    world.run(2)
    await waiting
    expect(raw.refusal).toBe('6/2')
    await a.peer.drained()
  })
})

describe('what a peer may send that it should not', () => {
  const cases: readonly [string, (raw: RawPeer) => void, string][] = [
    ['[rule 2] garbage', (raw) => raw.say(Buffer.alloc(64, 0x41)), '1/1'],
    [
      '[rule 4] an overlong header before the OPEN',
      (raw) => raw.say(Buffer.concat([Buffer.alloc(16, 0xff), Uint8Array.of(0xff, 0xff, 2)])),
      '1/2',
    ],
    ['[rule 7] an unknown type', (raw) => raw.say(Buffer.concat([Buffer.alloc(16, 0xff), Uint8Array.of(0, 19, 9)])), '1/3'],
    ['[rule 34] KEEPALIVE before OPEN', (raw) => raw.say(keepalive()), '5/1'],
    ['[rule 34] UPDATE before OPEN', (raw) => raw.say(END_OF_RIB), '5/1'],
    ['[rule 34] UPDATE before KEEPALIVE', (raw) => raw.say(openOf(), END_OF_RIB), '5/2'],
    ['[rule 34] OPEN twice', (raw) => raw.say(openOf(), openOf()), '5/2'],
    ['[rule 34] OPEN in Established', (raw) => raw.say(openOf(), keepalive(), openOf()), '5/3'],
    ['[rule 17] a wrong AS', (raw) => raw.say(openOf({ myAs: 65009, capabilities: [] })), '2/2'],
    ['[rule 19] hold time 1', (raw) => raw.say(openOf({ holdTimeSeconds: 1 })), '2/6'],
    ['[rule 21] identifier 0', (raw) => raw.say(openOf({ routerId: 0 })), '2/3'],
    [
      '[rule 12] a ROUTE-REFRESH of the wrong length',
      (raw) => raw.say(openOf(), keepalive(), Buffer.concat([Buffer.alloc(16, 0xff), Uint8Array.of(0, 24, 5, 0, 1, 0, 1, 0)])),
      '7/1',
    ],
    [
      '[rule 55] an UPDATE whose lengths lie',
      (raw) => raw.say(openOf(), keepalive(), Buffer.concat([Buffer.alloc(16, 0xff), Uint8Array.of(0, 23, 2, 0, 9, 0, 0)])),
      '3/1',
    ],
  ]
  test.each(cases)('%s', (_, act, expected) => {
    const world = new PeerWorld()
    const { a, raws } = world.againstRaw()
    const [raw] = raws
    if (raw === undefined) throw new Error('nobody dialled')
    act(raw)
    world.run(0.2)
    expect(raw.refusal).toBe(expected)
    expect(raw.isClosed).toBe(true)
    expect(a.state).not.toBe('Established')
    expect(a.lastError).not.toBeNull()
  })

  test('the reason for a wrong AS is in plain words', () => {
    const world = new PeerWorld()
    const { a, raws } = world.againstRaw()
    raws[0]?.say(openOf({ myAs: 65009, capabilities: [] }))
    world.run(0.1)
    expect(a.lastError).toBe('peer says it is AS 65009, we are configured for AS 65002')
  })

  test('[rule 4] [rule 8] after the OPENs, extended messages are read although only we offered them', () => {
    const world = new PeerWorld()
    const { a, raws } = world.againstRaw()
    const raw = establish(world, raws[0])
    expect(a.ups[0]?.extendedMessage).toBe(false)
    const long = Buffer.concat([Buffer.alloc(16, 0xff), Uint8Array.of(0x20, 0, 3, 6, 0), Buffer.alloc(0x2000 - 21)])
    raw.say(long)
    world.run(0.1)
    expect(a.lastError).toContain('cease') // a NOTIFICATION of 8192 octets, understood
  })

  test('malformed UPDATEs are counted and logged, but not without end', () => {
    const world = new PeerWorld()
    const { a, raws } = world.againstRaw()
    const raw = establish(world, raws[0])
    // ORIGIN of length 2 with one prefix: treat-as-withdraw (RFC 7606 §7.1)
    const update = Buffer.concat([Buffer.alloc(16, 0xff), Uint8Array.of(0, 30, 2, 0, 0, 0, 5, 0x40, 1, 2, 0, 0, 8, 10).subarray(0, 14)])
    update.writeUInt16BE(update.length, 16)
    for (let i = 0; i < 100; i++) raw.say(update)
    world.run(0.1)
    expect(a.state).toBe('Established')
    expect(a.peer.status().malformedUpdates).toBe(100)
    const lines = a.log.filter(({ event }) => event === 'bgp.update.malformed')
    expect(lines).toHaveLength(10)
    expect(lines[0]?.fields).toMatchObject({ prefixes: ['10.0.0.0/8'] })
  })

  test('one end of random octets after another does no harm', () => {
    const world = new PeerWorld()
    const { a, raws } = world.againstRaw()
    let seed = 1
    const random = (): number => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
      return seed / 2 ** 32
    }
    for (let i = 0; i < 300; i++) {
      const raw = raws.at(-1)
      if (random() < 0.5) raw?.say(openOf(), keepalive())
      const bytes = Buffer.from(Array.from({ length: Math.floor(random() * 200) }, () => Math.floor(random() * 256)))
      if (random() < 0.7 && bytes.length >= 19) {
        bytes.fill(0xff, 0, 16)
        bytes.writeUInt16BE(bytes.length, 16)
        bytes.writeUInt8(1 + Math.floor(random() * 5), 18)
      }
      raw?.say(bytes)
      world.run(30)
    }
    expect(raws.length).toBeGreaterThan(50)
    expect(a.peer.status().messages.sent.notification).toBeGreaterThan(20)
  })
})
