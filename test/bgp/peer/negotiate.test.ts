import { describe, expect, test } from '@jest/globals'
import { negotiate, offeredCapabilities, openMessage } from '../../../src/bgp/negotiate.ts'
import type { Negotiated, PeerSettings } from '../../../src/bgp/peer.ts'
import { type Capability, encodeOpen, type MessageError, type OpenMessage } from '../../../src/bgp/wire/index.ts'
import type { Result } from '../../../src/lib/result.ts'
import { asn, ip } from '../../../src/net/index.ts'
import { B, settings } from './peer-world.ts'

const V4: Capability = { kind: 'multiprotocol', afi: 1, safi: 1 }
const V6: Capability = { kind: 'multiprotocol', afi: 2, safi: 1 }
const AS4: Capability = { kind: 'fourOctetAs', asn: 65002 }

/** Our settings against an OPEN with these capabilities. */
function meet(
  changes: Partial<PeerSettings>,
  capabilities: readonly Capability[],
  over: Partial<OpenMessage> = {},
): Result<Negotiated, MessageError> {
  const ours = settings(B, changes)
  const theirs: OpenMessage = { kind: 'open', myAs: 65002, holdTimeSeconds: 90, routerId: 2, capabilities, ...over }
  const localAddress = ip('10.0.0.1')
  return negotiate(ours, { ours: openMessage(ours, offeredCapabilities(ours)), theirs, localAddress })
}

function agreed(...args: Parameters<typeof meet>): Negotiated {
  const result = meet(...args)
  if (!result.ok) throw new Error(result.error.reason)
  return result.value
}

const kinds = (changes: Partial<PeerSettings>): readonly string[] => offeredCapabilities(settings(B, changes)).map(({ kind }) => kind)
const BOTH = { families: ['IPv4Unicast', 'IPv6Unicast'] } as const

describe('what we offer', () => {
  test('by default: families, refresh both ways, extended messages, graceful restart, four-octet AS', () => {
    expect(kinds({})).toEqual([
      'multiprotocol',
      'routeRefresh',
      'extendedMessage',
      'gracefulRestart',
      'fourOctetAs',
      'enhancedRouteRefresh',
    ])
  })

  test('the rest when it is configured, in ascending order of code', () => {
    const all = kinds({
      ...BOTH,
      extendedNextHop: true,
      role: 'Customer',
      addPath: { receive: true, send: 4 },
      gracefulRestart: { enabled: true, restartTimeSeconds: 120, longLivedStaleTimeSeconds: 3600, notification: true },
    })
    expect(all).toEqual([
      'multiprotocol',
      'multiprotocol',
      'routeRefresh',
      'extendedNextHop',
      'extendedMessage',
      'role',
      'gracefulRestart',
      'fourOctetAs',
      'addPath',
      'enhancedRouteRefresh',
      'longLivedGracefulRestart',
    ])
  })

  test('[rule 174] no role on iBGP', () => {
    expect(kinds({ role: 'Peer', asn: asn(65001) })).not.toContain('role')
  })

  test('[rule 156] no long-lived graceful restart without graceful restart', () => {
    const gracefulRestart = { enabled: false, restartTimeSeconds: 120, longLivedStaleTimeSeconds: 3600, notification: false }
    expect(kinds({ gracefulRestart })).not.toContain('longLivedGracefulRestart')
  })

  test('[rule 16] AS_TRANS in the old field when the AS does not fit, and localASNumber for our own', () => {
    const big = settings(B, { localAsn: asn(4_200_000_001) })
    expect(openMessage(big, []).myAs).toBe(23456)
    expect(offeredCapabilities(big)).toContainEqual({ kind: 'fourOctetAs', asn: 4_200_000_001 })
  })

  test('fits an OPEN with everything on', () => {
    const all = settings(B, { ...BOTH, extendedNextHop: true, role: 'Peer', addPath: { receive: true, send: 1 } })
    expect(encodeOpen(openMessage(all, offeredCapabilities(all))).length).toBeLessThan(255)
  })
})

describe('what follows from both OPENs', () => {
  test('only what both offered', () => {
    const bare = agreed({ extendedNextHop: true, addPath: { receive: true, send: 1 } }, [V4])
    expect(bare).toMatchObject({
      fourOctetAs: false,
      extendedMessage: false,
      routeRefresh: false,
      enhancedRouteRefresh: false,
      addPathSend: [],
      addPathReceive: [],
      extendedNextHop: false,
      gracefulRestart: null,
      longLived: [],
    })
    const rich = agreed({}, [V4, AS4, { kind: 'routeRefresh' }, { kind: 'enhancedRouteRefresh' }, { kind: 'extendedMessage' }])
    expect(rich).toMatchObject({ fourOctetAs: true, extendedMessage: true, routeRefresh: true, enhancedRouteRefresh: true })
  })

  test('[rule 33] IPv4 is implied only by an OPEN without any multiprotocol capability', () => {
    expect(agreed({}, []).families).toEqual(['IPv4Unicast'])
    expect(agreed(BOTH, []).families).toEqual(['IPv4Unicast'])
    expect(agreed(BOTH, [V6]).families).toEqual(['IPv6Unicast'])
    expect(meet({}, [V6]).ok).toBe(false)
  })

  test('[rule 29] no family in common: 2/7 with ours as data, and words', () => {
    const result = meet({ families: ['IPv6Unicast'] }, [V4])
    expect(result).toMatchObject({
      ok: false,
      error: {
        code: 2,
        subcode: 7,
        data: Uint8Array.of(1, 4, 0, 2, 0, 1),
        reason: 'no address family in common: the peer offers IPv4Unicast, we offer IPv6Unicast',
      },
    })
  })

  test('[rule 27] unknown capabilities and families of others do no harm', () => {
    const odd: Capability[] = [V4, { kind: 'multiprotocol', afi: 25, safi: 70 }, { kind: 'unknown', code: 200, value: Uint8Array.of(1) }]
    expect(agreed(BOTH, odd).families).toEqual(['IPv4Unicast'])
    expect(agreed(BOTH, odd).capabilities.received).toEqual(odd)
  })

  test('[rule 20] the smaller hold time, KEEPALIVEs at a third of it or as configured', () => {
    expect(agreed({ holdTimeSeconds: 90 }, [V4], { holdTimeSeconds: 9 })).toMatchObject({ holdTimeSeconds: 9, keepaliveSeconds: 3 })
    expect(agreed({ holdTimeSeconds: 30, keepaliveTimeSeconds: 5 }, [V4])).toMatchObject({ holdTimeSeconds: 30, keepaliveSeconds: 5 })
    expect(agreed({ holdTimeSeconds: 0 }, [V4])).toMatchObject({ holdTimeSeconds: null, keepaliveSeconds: null })
  })

  test('[rule 121] [rule 122] add-path by direction and family: we send where they receive', () => {
    const theirs = (afi: number, send: boolean, receive: boolean): Capability => ({
      kind: 'addPath',
      families: [{ afi, safi: 1, send, receive }],
    })
    const ours = { ...BOTH, addPath: { receive: true, send: 2 } }
    expect(agreed(ours, [V4, V6, theirs(1, true, false)])).toMatchObject({ addPathSend: [], addPathReceive: ['IPv4Unicast'] })
    expect(agreed(ours, [V4, V6, theirs(2, false, true)])).toMatchObject({ addPathSend: ['IPv6Unicast'], addPathReceive: [] })
    expect(agreed({ ...BOTH, addPath: { receive: false, send: 2 } }, [V4, V6, theirs(1, true, true)])).toMatchObject({
      addPathSend: ['IPv4Unicast'],
      addPathReceive: [],
    })
    expect(agreed(ours, [V6, theirs(1, true, true)])).toMatchObject({ addPathSend: [], addPathReceive: [] }) // family not negotiated
  })

  test('[rule 111] extended next hop only if both list IPv4 over IPv6', () => {
    const theirs = (nextHopAfi: number): Capability => ({ kind: 'extendedNextHop', entries: [{ afi: 1, safi: 1, nextHopAfi }] })
    expect(agreed({ extendedNextHop: true }, [V4, theirs(2)]).extendedNextHop).toBe(true)
    expect(agreed({ extendedNextHop: true }, [V4, theirs(1)]).extendedNextHop).toBe(false)
    expect(agreed({ extendedNextHop: false }, [V4, theirs(2)]).extendedNextHop).toBe(false)
  })

  const graceful = (restartTimeSeconds: number, afis: readonly number[] = [1]): Capability => ({
    kind: 'gracefulRestart',
    restarting: true,
    notification: true,
    restartTimeSeconds,
    families: afis.map((afi) => ({ afi, safi: 1, forwardingPreserved: afi === 1 })),
  })

  test('[rule 140] of several graceful restart capabilities the last counts', () => {
    expect(agreed({}, [V4, graceful(10), graceful(99)]).gracefulRestart?.restartTimeSeconds).toBe(99)
  })

  test('[rule 139] graceful restart: the peer’s flags, for families of the session alone', () => {
    expect(agreed(BOTH, [V4, graceful(90, [1, 2])]).gracefulRestart).toEqual({
      peerRestarting: true,
      restartTimeSeconds: 90,
      notification: false,
      families: [{ family: 'IPv4Unicast', forwardingPreserved: true }],
    })
    expect(agreed({}, [V4, graceful(90, [])]).gracefulRestart?.families).toEqual([])
  })

  test('[rule 156] long-lived graceful restart needs graceful restart, and both sides', () => {
    const long: Capability = {
      kind: 'longLivedGracefulRestart',
      families: [{ afi: 1, safi: 1, forwardingPreserved: true, staleTimeSeconds: 7 }],
    }
    const gracefulRestart = { enabled: true, restartTimeSeconds: 120, longLivedStaleTimeSeconds: 3600, notification: false }
    expect(agreed({ gracefulRestart }, [V4, graceful(9), long]).longLived).toEqual([
      { family: 'IPv4Unicast', forwardingPreserved: true, staleTimeSeconds: 7 },
    ])
    expect(agreed({ gracefulRestart }, [V4, long]).longLived).toEqual([])
    expect(agreed({}, [V4, graceful(9), long]).longLived).toEqual([])
  })

  test('[rule 169] our role governs whether or not the peer sent its own; never on iBGP', () => {
    expect(agreed({ role: 'Customer' }, [V4]).role).toBe('Customer')
    expect(agreed({}, [V4]).role).toBeNull()
    const internal = { asn: asn(65001), role: 'Peer' } as const
    expect(agreed(internal, [V4], { myAs: 65001 })).toMatchObject({ peerType: 'iBGP', role: null })
  })
})
