// The receiving side of graceful restart for one peer, as a pure machine: RFC 4724 §4.2, RFC 8538 §4, RFC 9494 §4.2-4.3.
// It says which routes become stale, long-lived stale, or go, and when; the peering performs it on the RIB and the clock.
import type { Family } from './family.ts'
import type { Negotiated } from './peer.ts'

/** What is kept of one family: nothing stale, stale until the peer is back, or stale far beyond that. */
type Retention = 'stale' | 'longLived'

export type HelperState = {
  readonly connected: boolean
  readonly retained: ReadonlyMap<Family, Retention>
  /** Stale times of RFC 9494 the peer named in its last OPEN. */
  readonly staleTimeSeconds: ReadonlyMap<Family, number>
}

export const NOTHING_RETAINED: HelperState = { connected: false, retained: new Map(), staleTimeSeconds: new Map() }

export type HelperEvent =
  | { readonly kind: 'established'; readonly negotiated: Negotiated }
  | { readonly kind: 'ended'; readonly negotiated: Negotiated; readonly retain: boolean }
  | { readonly kind: 'restartTimerExpired' | 'staleTimerExpired' }
  | { readonly kind: 'longLivedTimerExpired'; readonly family: Family }
  | { readonly kind: 'endOfRibReceived'; readonly family: Family }
  | { readonly kind: 'deconfigured' }

/** `markStale` first deletes what was stale already (RFC 4724 §4.2: consecutive restarts). */
export type HelperAction =
  | { readonly kind: 'markStale' | 'startLongLived' | 'sweepStale' | 'clear'; readonly family: Family }
  | { readonly kind: 'armRestartTimer' | 'armStaleTimer'; readonly seconds: number }
  | { readonly kind: 'cancelRestartTimer' | 'cancelStaleTimer' }
  | { readonly kind: 'armLongLivedTimer'; readonly family: Family; readonly seconds: number }
  | { readonly kind: 'cancelLongLivedTimer'; readonly family: Family }

export type HelperStep = { readonly state: HelperState; readonly actions: readonly HelperAction[] }

/**
 * How long a peer that is back may take to finish its table before what it has not confirmed goes (the upper bound that
 * RFC 4724 §4.2 asks for). Longer than any selection deferral a peer may use.
 */
export const STALE_PATH_SECONDS = 360

export function helperStep(state: HelperState, event: HelperEvent): HelperStep {
  switch (event.kind) {
    case 'ended':
      return event.retain ? retain(state, event.negotiated) : discardAll(state, event.negotiated.families)
    case 'established':
      return reconnect(state, event.negotiated)
    case 'restartTimerExpired':
      return longLivedOrGone(state)
    case 'staleTimerExpired':
      return confirmed(state, [...state.retained.keys()])
    case 'longLivedTimerExpired':
      return gone(state, [event.family])
    case 'endOfRibReceived':
      return confirmed(state, state.retained.has(event.family) ? [event.family] : [])
    case 'deconfigured':
      return discardAll(state, [...state.retained.keys()])
  }
}

function retain(state: HelperState, negotiated: Negotiated): HelperStep {
  const graceful = negotiated.gracefulRestart
  const capable = new Set(graceful?.families.map(({ family }) => family) ?? [])
  const kept = negotiated.families.filter((family) => capable.has(family))
  if (graceful === null || kept.length === 0) return discardAll(state, negotiated.families)
  const staleTimeSeconds = new Map(negotiated.longLived.map((entry) => [entry.family, entry.staleTimeSeconds]))
  const actions: HelperAction[] = [{ kind: 'cancelStaleTimer' }]
  for (const family of state.retained.keys()) if (!kept.includes(family)) actions.push(...release(state, family))
  for (const family of negotiated.families) {
    if (!kept.includes(family)) {
      actions.push({ kind: 'clear', family })
      continue
    }
    if (state.retained.get(family) === 'longLived') actions.push({ kind: 'cancelLongLivedTimer', family })
    actions.push({ kind: 'markStale', family })
  }
  const next: HelperState = { connected: false, retained: new Map(kept.map((family) => [family, 'stale'])), staleTimeSeconds }
  if (graceful.restartTimeSeconds > 0)
    return { state: next, actions: [...actions, { kind: 'armRestartTimer', seconds: graceful.restartTimeSeconds }] }
  const expired = longLivedOrGone(next) // RFC 9494 §4.2: a restart time of zero goes straight to the long-lived period
  return { state: expired.state, actions: [...actions, ...expired.actions] }
}

function reconnect(state: HelperState, negotiated: Negotiated): HelperStep {
  const preserved = new Set<Family>()
  for (const { family, forwardingPreserved } of negotiated.gracefulRestart?.families ?? []) if (forwardingPreserved) preserved.add(family)
  for (const { family, forwardingPreserved } of negotiated.longLived) {
    if (state.retained.get(family) !== 'longLived') continue
    if (forwardingPreserved) preserved.add(family)
    else preserved.delete(family) // RFC 9494 §4.3: its own F bit rules in the long-lived period
  }
  const lost = [...state.retained.keys()].filter((family) => !preserved.has(family) || !negotiated.families.includes(family))
  const { state: rest, actions } = gone({ ...state, connected: true }, lost)
  const waits: readonly HelperAction[] = rest.retained.size > 0 ? [{ kind: 'armStaleTimer', seconds: STALE_PATH_SECONDS }] : []
  return { state: rest, actions: [{ kind: 'cancelRestartTimer' }, ...actions, ...waits] }
}

function longLivedOrGone(state: HelperState): HelperStep {
  const retained = new Map(state.retained)
  const actions: HelperAction[] = []
  for (const [family, retention] of state.retained) {
    if (retention === 'longLived') continue
    const seconds = state.staleTimeSeconds.get(family) ?? 0
    if (seconds > 0) {
      retained.set(family, 'longLived')
      actions.push({ kind: 'startLongLived', family }, { kind: 'armLongLivedTimer', family, seconds })
    } else {
      retained.delete(family)
      actions.push({ kind: 'clear', family })
    }
  }
  return { state: { ...state, retained }, actions }
}

/** The peer has told all it knows of these families: what is still stale goes, the rest is fresh. */
function confirmed(state: HelperState, families: readonly Family[]): HelperStep {
  const retained = new Map(state.retained)
  const actions: HelperAction[] = []
  for (const family of families) {
    if (retained.get(family) === 'longLived') actions.push({ kind: 'cancelLongLivedTimer', family })
    retained.delete(family)
    actions.push({ kind: 'sweepStale', family })
  }
  if (families.length > 0 && retained.size === 0) actions.push({ kind: 'cancelStaleTimer' })
  return { state: { ...state, retained }, actions }
}

/** These families are lost: while disconnected all of them, while connected only what is stale (fresh routes may have come). */
function gone(state: HelperState, families: readonly Family[]): HelperStep {
  const retained = new Map(state.retained)
  const actions: HelperAction[] = []
  for (const family of families) {
    if (retained.get(family) === 'longLived') actions.push({ kind: 'cancelLongLivedTimer', family })
    retained.delete(family)
    actions.push({ kind: state.connected ? 'sweepStale' : 'clear', family })
  }
  return { state: { ...state, retained }, actions }
}

function discardAll(state: HelperState, families: readonly Family[]): HelperStep {
  const all = new Set([...families, ...state.retained.keys()])
  const actions: HelperAction[] = [{ kind: 'cancelRestartTimer' }, { kind: 'cancelStaleTimer' }]
  for (const family of all) actions.push(...release(state, family))
  return { state: NOTHING_RETAINED, actions }
}

function release(state: HelperState, family: Family): readonly HelperAction[] {
  const clear: HelperAction = { kind: 'clear', family }
  return state.retained.get(family) === 'longLived' ? [{ kind: 'cancelLongLivedTimer', family }, clear] : [clear]
}

/**
 * The restarting side (RFC 4724 §4.1): after our own restart nothing is selected or advertised until every peer that was up
 * before has sent End-of-RIB for each family, or the deferral timer ends the wait. Peers that restart themselves, or cannot
 * do graceful restart, are not waited for. Pure: each method returns the wait that is left.
 */
export type SelectionDeferral = { readonly waitingFor: ReadonlyMap<string, ReadonlySet<Family> | 'session'> }

export function startDeferral(peersUpBefore: readonly string[]): SelectionDeferral {
  return { waitingFor: new Map(peersUpBefore.map((peer) => [peer, 'session'])) }
}

/**
 * `sweep`: the same wait, before what our predecessor left in the kernel may go. It does include peers that say they restart:
 * nobody waits for our sweep, so there is no deadlock to fear, and FRR says so for two minutes after every start.
 */
export function deferralOnEstablished(
  { waitingFor }: SelectionDeferral,
  peer: string,
  negotiated: Negotiated,
  until: 'selection' | 'sweep' = 'selection',
): SelectionDeferral {
  if (!waitingFor.has(peer)) return { waitingFor }
  const rest = new Map(waitingFor)
  const { gracefulRestart } = negotiated
  if (gracefulRestart === null || (gracefulRestart.peerRestarting && until === 'selection')) rest.delete(peer)
  else rest.set(peer, new Set(negotiated.families))
  return { waitingFor: rest }
}

export function deferralOnEndOfRib({ waitingFor }: SelectionDeferral, peer: string, family: Family): SelectionDeferral {
  const families = waitingFor.get(peer)
  if (families === undefined || families === 'session') return { waitingFor }
  const left = new Set([...families].filter((other) => other !== family))
  const rest = new Map(waitingFor)
  if (left.size === 0) rest.delete(peer)
  else rest.set(peer, left)
  return { waitingFor: rest }
}
