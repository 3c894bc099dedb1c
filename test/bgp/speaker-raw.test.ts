// A whole speaker against a peer that speaks by hand: for what two well-behaved speakers never do to one another.
import { describe, expect, test } from '@jest/globals'
import { ORIGINATED, type PathAttributes } from '../../src/bgp/attributes.ts'
import type { Family } from '../../src/bgp/family.ts'
import { type Capability, encodeEndOfRib, encodeMessage, encodeRouteRefresh } from '../../src/bgp/wire/index.ts'
import { asn, cidr, ip } from '../../src/net/index.ts'
import { dialByHand, keepalive, openOf, RawPeer } from './peer/peer-world.ts'
import { config, originate, peer, type TestSpeaker, World } from './speaker-world.ts'
import { encodePrefixes, nlriRun } from './wire/runs.ts'

const A = '10.0.0.1'
const B = '10.0.0.2'
const toB = `to-${B}`
const REFRESH: readonly Capability[] = [{ kind: 'routeRefresh' }, { kind: 'enhancedRouteRefresh' }]
const CONTEXT = {
  peerType: 'eBGP',
  fourOctetAs: true,
  extendedMessage: false,
  addPathSend: new Set<Family>(),
  extendedNextHop: false,
} as const
const PATH: PathAttributes = {
  ...ORIGINATED,
  asPath: [{ type: 'sequence', asns: [asn(65002)] }],
  nextHop: { address: ip(B), linkLocal: null },
}

/** Speaker A (AS 65001) with an originated prefix, and the raw end at B (AS 65002, hold time 0) with these capabilities. */
function against(
  capabilities: readonly Capability[],
  more: readonly Uint8Array[] = [],
): { readonly world: World; readonly a: TestSpeaker; readonly raw: RawPeer } {
  const world = new World()
  const raws: RawPeer[] = []
  world.network.host(B).listen([], 179, (connection) => raws.push(new RawPeer(connection)))
  const a = world.start(A, config(65001, 1, [peer(B, 65002)], { originated: originate('198.51.100.0/24') }))
  world.run(1)
  const [raw] = raws
  if (raw === undefined) throw new Error('A did not dial')
  raw.say(openOf({ holdTimeSeconds: 0 }, ...capabilities))
  world.run(0.1)
  raw.say(keepalive(), ...more)
  world.run(1)
  expect(a.status(toB).state).toBe('Established')
  return { world, a, raw }
}

function announce(...prefixes: readonly string[]): Uint8Array {
  const run = nlriRun('IPv4Unicast', encodePrefixes(prefixes.map(cidr)))
  return encodeMessage(
    { kind: 'update', withdrawn: [], announced: [{ run, attributes: PATH }], endOfRib: null, malformations: [] },
    CONTEXT,
  )
}

function withdraw(...prefixes: readonly string[]): Uint8Array {
  const run = nlriRun('IPv4Unicast', encodePrefixes(prefixes.map(cidr)))
  return encodeMessage({ kind: 'update', withdrawn: [run], announced: [], endOfRib: null, malformations: [] }, CONTEXT)
}

const refresh = (subtype: number): Uint8Array => encodeRouteRefresh({ family: 'IPv4Unicast', subtype })
const [ONE, TWO, THREE] = ['192.0.2.0/25', '192.0.2.128/25', '203.0.113.0/24'] as const
const has = (a: TestSpeaker): readonly string[] =>
  a
    .received(toB)
    .map(({ prefix }) => prefix)
    .sort()

/** What A sent after the OPENs: updates (End-of-RIB or routes) and refresh messages, in order. */
function said(raw: RawPeer): readonly string[] {
  return raw.messages.flatMap((message) => {
    if (message.kind === 'routeRefresh') return [`refresh ${message.subtype}`]
    return message.kind === 'update' ? ['update'] : []
  })
}

describe('route refresh received', () => {
  test('a request that comes before our End-of-RIB gets no BoRR ahead of it [rule 136]', () => {
    const { raw } = against(REFRESH, [refresh(0)])
    expect(said(raw)).toEqual(['update', 'update']) // the table, then End-of-RIB; the request is answered by it
  })

  test('a request is answered by BoRR, the table again, EoRR [rule 134]', () => {
    const { world, raw } = against(REFRESH)
    const before = said(raw).length
    raw.say(refresh(0))
    world.run(1)
    expect(said(raw).slice(before)).toEqual(['refresh 1', 'update', 'refresh 2'])
  })

  test('without the enhanced capability it is answered by the table alone [rule 133]', () => {
    const { world, raw } = against([{ kind: 'routeRefresh' }])
    const before = said(raw).length
    raw.say(refresh(0))
    world.run(1)
    expect(said(raw).slice(before)).toEqual(['update'])
  })

  test('a family that was not negotiated, and a subtype nobody knows, are passed over [rule 13] [rule 132]', () => {
    const { world, a, raw } = against(REFRESH)
    const before = said(raw).length
    raw.say(encodeRouteRefresh({ family: 'IPv6Unicast', subtype: 0 }), refresh(7))
    world.run(1)
    expect(said(raw)).toHaveLength(before)
    expect(a.status(toB)).toMatchObject({ state: 'Established', flaps: 0 })
  })
})

describe('refresh of what the peer told', () => {
  test('what is not told again between BoRR and EoRR goes; a withdrawal in between is a withdrawal [rule 134] [rule 137]', () => {
    const { world, a, raw } = against(REFRESH, [announce(ONE, TWO, THREE)])
    raw.say(refresh(1), announce(ONE), withdraw(TWO))
    world.run(1)
    expect(has(a)).toEqual([ONE, THREE])
    raw.say(refresh(2))
    world.run(1)
    expect(has(a)).toEqual([ONE])
  })

  test('a second BoRR begins anew [rule 135]', () => {
    const { world, a, raw } = against(REFRESH, [announce(ONE, TWO)])
    raw.say(refresh(1), announce(ONE), refresh(1), announce(TWO), refresh(2))
    world.run(1)
    expect(has(a)).toEqual([TWO])
  })

  test('an EoRR that never comes is not waited for without end [rule 135]', () => {
    const { world, a, raw } = against(REFRESH, [announce(ONE, TWO)])
    raw.say(refresh(1), announce(ONE))
    world.run(300)
    expect(has(a)).toEqual([ONE, TWO])
    world.run(100)
    expect(has(a)).toEqual([ONE])
  })

  test('an EoRR without BoRR does nothing', () => {
    const { world, a, raw } = against(REFRESH, [announce(ONE)])
    raw.say(refresh(2))
    world.run(1)
    expect(has(a)).toEqual([ONE])
  })
})

test('a peer without route refresh is never asked for one [rule 131]', () => {
  const { world, a, raw } = against([])
  a.speaker.reset(toB, true)
  world.run(1)
  expect(said(raw).filter((each) => each.startsWith('refresh'))).toEqual([])
})

test('a withdrawal of what was never announced is passed over [rule 72]', () => {
  const { world, a, raw } = against([], [announce(ONE)])
  raw.say(withdraw(TWO))
  world.run(1)
  expect(has(a)).toEqual([ONE])
  expect(a.status(toB)).toMatchObject({ state: 'Established', flaps: 0, malformedUpdates: 0 })
})

describe('restart of a peer', () => {
  const graceful = (restarting: boolean): Capability => ({
    kind: 'gracefulRestart',
    restarting,
    notification: false,
    restartTimeSeconds: 120,
    families: [{ afi: 1, safi: 1, forwardingPreserved: true }],
  })

  test('routes told again identically lose their mark; End-of-RIB takes the others [rule 150] [rule 149]', () => {
    const { world, a, raw } = against([graceful(false)], [announce(ONE, TWO)])
    raw.connection.destroy()
    world.run(0.1)
    expect(a.status(toB).prefixes.IPv4Unicast).toMatchObject({ received: 2, stale: 2 })
    const raws = dialByHand(world.network.host(B))
    world.run(0.1)
    const [again] = raws
    again?.say(openOf({ holdTimeSeconds: 0 }, graceful(true)))
    world.run(0.1)
    again?.say(keepalive(), announce(ONE))
    world.run(0.5)
    expect(a.status(toB).prefixes.IPv4Unicast).toMatchObject({ received: 2, stale: 1 })
    again?.say(encodeEndOfRib('IPv4Unicast'))
    world.run(0.5)
    expect(has(a)).toEqual([ONE])
  })
})
