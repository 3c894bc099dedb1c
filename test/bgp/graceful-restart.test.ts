import { describe, expect, test } from '@jest/globals'
import { routerId } from '../../src/bgp/attributes.ts'
import type { Family } from '../../src/bgp/family.ts'
import {
  deferralOnEndOfRib,
  deferralOnEstablished,
  type HelperAction,
  type HelperEvent,
  type HelperState,
  helperStep,
  NOTHING_RETAINED,
  STALE_PATH_SECONDS,
  startDeferral,
} from '../../src/bgp/graceful-restart.ts'
import type { Negotiated } from '../../src/bgp/peer.ts'
import { asn, ip } from '../../src/net/index.ts'

const V4: Family = 'IPv4Unicast'
const V6: Family = 'IPv6Unicast'

type Options = {
  readonly families?: readonly Family[]
  readonly capable?: readonly Family[] | null
  readonly preserved?: readonly Family[]
  readonly restartTimeSeconds?: number
  readonly peerRestarting?: boolean
  readonly longLived?: Readonly<Partial<Record<Family, number>>>
  readonly longLivedPreserved?: readonly Family[]
}

function negotiated(options: Options = {}): Negotiated {
  const { families = [V4, V6], capable = families, preserved = capable ?? [], restartTimeSeconds = 120, longLived = {} } = options
  return {
    peerType: 'eBGP',
    remoteAsn: asn(65001),
    remoteRouterId: routerId(1),
    localAddress: ip('10.0.0.2'),
    holdTimeSeconds: 90,
    keepaliveSeconds: 30,
    families,
    fourOctetAs: true,
    extendedMessage: false,
    routeRefresh: true,
    enhancedRouteRefresh: false,
    addPathSend: [],
    addPathReceive: [],
    extendedNextHop: false,
    role: null,
    gracefulRestart:
      capable === null
        ? null
        : {
            peerRestarting: options.peerRestarting ?? false,
            restartTimeSeconds,
            notification: false,
            families: capable.map((family) => ({ family, forwardingPreserved: preserved.includes(family) })),
          },
    longLived: families.flatMap((family) => {
      const staleTimeSeconds = longLived[family]
      return staleTimeSeconds === undefined
        ? []
        : [{ family, forwardingPreserved: options.longLivedPreserved?.includes(family) ?? true, staleTimeSeconds }]
    }),
    capabilities: { offered: [], received: [] },
  }
}

/** Runs events from nothing; the answer is the state and the actions of the last event. */
function run(...events: readonly HelperEvent[]): { readonly state: HelperState; readonly actions: readonly HelperAction[] } {
  let state = NOTHING_RETAINED
  let actions: readonly HelperAction[] = []
  for (const event of events) ({ state, actions } = helperStep(state, event))
  return { state, actions }
}

const up = (options?: Options): HelperEvent => ({ kind: 'established', negotiated: negotiated(options) })
const lost = (options?: Options, retain = true): HelperEvent => ({ kind: 'ended', negotiated: negotiated(options), retain })

describe('helper (RFC 4724 §4.2)', () => {
  test('session lost: every family the peer listed becomes stale, for the restart time it named [rule 145]', () => {
    const { state, actions } = run(up(), lost({ restartTimeSeconds: 30 }))
    expect(actions).toContainEqual({ kind: 'markStale', family: V4 })
    expect(actions).toContainEqual({ kind: 'markStale', family: V6 })
    expect(actions).toContainEqual({ kind: 'armRestartTimer', seconds: 30 })
    expect([...state.retained.keys()]).toEqual([V4, V6])
  })

  test('a family the peer did not list goes at once [rule 145]', () => {
    const { state, actions } = run(up(), lost({ capable: [V4] }))
    expect(actions).toContainEqual({ kind: 'markStale', family: V4 })
    expect(actions).toContainEqual({ kind: 'clear', family: V6 })
    expect([...state.retained.keys()]).toEqual([V4])
  })

  test.each([
    ['ended by a NOTIFICATION without the N bit [rule 155]', lost({}, false)],
    ['without the capability', lost({ capable: null })],
    ['with a capability that lists no family', lost({ capable: [] })],
  ])('nothing is kept: session %s', (_why, event) => {
    const { state, actions } = run(up(), event)
    expect(state).toEqual(NOTHING_RETAINED)
    expect(actions).toContainEqual({ kind: 'clear', family: V4 })
    expect(actions).toContainEqual({ kind: 'clear', family: V6 })
    expect(actions.some(({ kind }) => kind === 'armRestartTimer')).toBe(false)
  })

  test('the restart time is over: stale routes go [rule 147]', () => {
    const { state, actions } = run(up(), lost(), { kind: 'restartTimerExpired' })
    expect(actions).toEqual([
      { kind: 'clear', family: V4 },
      { kind: 'clear', family: V6 },
    ])
    expect(state.retained.size).toBe(0)
  })

  test('back with F bits: nothing goes yet, and the wait for End-of-RIB is bounded [rule 149]', () => {
    const { state, actions } = run(up(), lost(), up())
    expect(actions).toEqual([{ kind: 'cancelRestartTimer' }, { kind: 'armStaleTimer', seconds: STALE_PATH_SECONDS }])
    expect(state.retained.size).toBe(2)
  })

  test.each<[string, Options, Family]>([
    ['F bit is 0 for it', { preserved: [V4] }, V6],
    ['it is not in the capability', { capable: [V4] }, V6],
    ['it is not negotiated', { families: [V4] }, V6],
  ])('back, but %s: the stale routes of that family go at once [rule 148]', (_why, options, family) => {
    const { state, actions } = run(up(), lost(), up(options))
    expect(actions).toContainEqual({ kind: 'sweepStale', family })
    expect([...state.retained.keys()]).toEqual([V4])
  })

  test('back without graceful restart: all stale routes go at once [rule 148]', () => {
    const { state, actions } = run(up(), lost(), up({ capable: null }))
    expect(actions.filter(({ kind }) => kind === 'sweepStale')).toHaveLength(2)
    expect(state.retained.size).toBe(0)
  })

  test('End-of-RIB sweeps its own family, the last one ends the wait [rule 149]', () => {
    const first = run(up(), lost(), up(), { kind: 'endOfRibReceived', family: V4 })
    expect(first.actions).toEqual([{ kind: 'sweepStale', family: V4 }])
    const last = helperStep(first.state, { kind: 'endOfRibReceived', family: V6 })
    expect(last.actions).toEqual([{ kind: 'sweepStale', family: V6 }, { kind: 'cancelStaleTimer' }])
    expect(last.state.retained.size).toBe(0)
  })

  test('an End-of-RIB that ends nothing does nothing', () => {
    expect(run(up(), { kind: 'endOfRibReceived', family: V4 }).actions).toEqual([])
  })

  test('End-of-RIB never comes: the stale timer sweeps [rule 149]', () => {
    const { actions } = run(up(), lost(), up(), { kind: 'staleTimerExpired' })
    expect(actions.filter(({ kind }) => kind === 'sweepStale')).toHaveLength(2)
  })

  test('lost again while stale: marked again, which deletes what was stale already [rule 146]', () => {
    const { actions } = run(up(), lost(), up(), lost())
    expect(actions).toContainEqual({ kind: 'cancelStaleTimer' })
    expect(actions.filter(({ kind }) => kind === 'markStale')).toHaveLength(2)
  })

  test('deconfigured while stale: everything goes and no timer is left', () => {
    const { state, actions } = run(up(), lost(), { kind: 'deconfigured' })
    expect(state).toEqual(NOTHING_RETAINED)
    expect(actions).toEqual([
      { kind: 'cancelRestartTimer' },
      { kind: 'cancelStaleTimer' },
      { kind: 'clear', family: V4 },
      { kind: 'clear', family: V6 },
    ])
  })
})

describe('long-lived stale (RFC 9494 §4.2, §4.3)', () => {
  const longLived = { [V4]: 600 }

  test('the restart time is over: the family with a stale time goes on long-lived, the other goes [rule 157]', () => {
    const { state, actions } = run(up(), lost({ longLived }), { kind: 'restartTimerExpired' })
    expect(actions).toEqual([
      { kind: 'startLongLived', family: V4 },
      { kind: 'armLongLivedTimer', family: V4, seconds: 600 },
      { kind: 'clear', family: V6 },
    ])
    expect(state.retained).toEqual(new Map([[V4, 'longLived']]))
  })

  test('a restart time of zero goes straight to the long-lived period', () => {
    const { actions } = run(up(), lost({ longLived, restartTimeSeconds: 0 }))
    expect(actions).toContainEqual({ kind: 'startLongLived', family: V4 })
    expect(actions.some(({ kind }) => kind === 'armRestartTimer')).toBe(false)
  })

  test('its timer runs out: the routes go', () => {
    const { actions } = run(up(), lost({ longLived }), { kind: 'restartTimerExpired' }, { kind: 'longLivedTimerExpired', family: V4 })
    expect(actions).toContainEqual({ kind: 'clear', family: V4 })
  })

  test('back in the long-lived period with its F bit 0: the routes go [rule 148]', () => {
    const { actions } = run(up(), lost({ longLived }), { kind: 'restartTimerExpired' }, up({ longLived, longLivedPreserved: [] }))
    expect(actions).toContainEqual({ kind: 'cancelLongLivedTimer', family: V4 })
    expect(actions).toContainEqual({ kind: 'sweepStale', family: V4 })
  })

  test('back with it set: kept until End-of-RIB, whose timer then ends too', () => {
    const back = run(up(), lost({ longLived }), { kind: 'restartTimerExpired' }, up({ longLived }))
    expect([...back.state.retained.keys()]).toEqual([V4])
    const { actions } = helperStep(back.state, { kind: 'endOfRibReceived', family: V4 })
    expect(actions).toContainEqual({ kind: 'cancelLongLivedTimer', family: V4 })
    expect(actions).toContainEqual({ kind: 'sweepStale', family: V4 })
  })
})

describe('our own restart (RFC 4724 §4.1)', () => {
  test('waits for End-of-RIB of every family of every peer that was up before [rule 151]', () => {
    let deferral = startDeferral(['a', 'b'])
    deferral = deferralOnEstablished(deferral, 'a', negotiated())
    deferral = deferralOnEndOfRib(deferral, 'a', V4)
    expect([...deferral.waitingFor.keys()]).toEqual(['a', 'b'])
    deferral = deferralOnEndOfRib(deferral, 'a', V6)
    expect([...deferral.waitingFor.keys()]).toEqual(['b'])
  })

  test.each<[string, Options]>([
    ['restarts itself', { peerRestarting: true }],
    ['cannot do graceful restart', { capable: null }],
  ])('does not wait for a peer that %s [rule 151]', (_why, options) => {
    expect(deferralOnEstablished(startDeferral(['a']), 'a', negotiated(options)).waitingFor.size).toBe(0)
  })

  test('the sweep does wait for a peer that restarts itself, and not for one that cannot do graceful restart', () => {
    const wait = startDeferral(['a'])
    const restarting = deferralOnEstablished(wait, 'a', negotiated({ peerRestarting: true }), 'sweep')
    expect([...restarting.waitingFor.keys()]).toEqual(['a'])
    expect(deferralOnEndOfRib(deferralOnEndOfRib(restarting, 'a', V4), 'a', V6).waitingFor.size).toBe(0)
    expect(deferralOnEstablished(wait, 'a', negotiated({ capable: null }), 'sweep').waitingFor.size).toBe(0)
  })

  test('a peer that was not up before changes nothing', () => {
    const deferral = startDeferral(['a'])
    expect(deferralOnEstablished(deferral, 'new', negotiated()).waitingFor).toEqual(deferral.waitingFor)
  })
})
