// Who leads, by a Lease (coordination.k8s.io/v1), as a pure machine. Clocks of two machines are never compared: a replica takes a Lease
// over when it has not seen it change for the duration that its holder promised, counted by its own clock from its own first sight of
// that version. A leader counts from the moment it sent the request that renewed, which is before anybody could see it, and stops
// sooner (`renewDeadlineMs`) than any other may begin (`leaseDurationMs`).

export type ElectionTimes = {
  /** How long others wait for the holder to renew. */
  readonly leaseDurationMs: number
  /** A leader that has not renewed for this long leads no more. */
  readonly renewDeadlineMs: number
  /** Pause between attempts. */
  readonly retryPeriodMs: number
}

/** As in Kubernetes' own controllers. */
export const ELECTION_TIMES: ElectionTimes = { leaseDurationMs: 15_000, renewDeadlineMs: 10_000, retryPeriodMs: 2_000 }

/** The Lease as it was read; `version` changes with every write. */
export type SeenLease = {
  readonly version: string
  /** Empty: nobody, it was released. */
  readonly holder: string
  /** null: the holder did not say; then our own duration counts. */
  readonly durationMs: number | null
  readonly transitions: number
}

type Sighting = { readonly lease: SeenLease; readonly firstSeenMs: number }

/** `leading` until `leadsUntilMs`, unless it is renewed. */
export type ElectionState = {
  readonly identity: string
  readonly sighting: Sighting | null
  readonly leadsUntilMs: number | null
}

/** What to write; `transitions` as the Lease is to have it. */
export type Step =
  | { readonly kind: 'create'; readonly transitions: number }
  | { readonly kind: 'take'; readonly over: SeenLease; readonly transitions: number }
  | { readonly kind: 'renew'; readonly over: SeenLease; readonly transitions: number }
  | { readonly kind: 'wait'; readonly holder: string }

export function candidate(identity: string): ElectionState {
  return { identity, sighting: null, leadsUntilMs: null }
}

/** Whether this replica may act at this moment. */
export function isLeading({ leadsUntilMs }: ElectionState, nowMs: number): boolean {
  return leadsUntilMs !== null && nowMs < leadsUntilMs
}

/** The Lease has been read (null: there is none): what is known now, and what to do about it. */
export function onRead(
  state: ElectionState,
  lease: SeenLease | null,
  nowMs: number,
  times: ElectionTimes,
): { readonly state: ElectionState; readonly step: Step } {
  if (lease === null) return { state: { ...state, sighting: null }, step: { kind: 'create', transitions: 0 } }
  const isKnown = state.sighting !== null && state.sighting.lease.version === lease.version
  const sighting = isKnown ? state.sighting : { lease, firstSeenMs: nowMs }
  const next: ElectionState = { ...state, sighting }
  if (lease.holder === state.identity) {
    // It is ours, also when a write of unknown outcome made it so; or it was ours until we were late, and nobody else took it.
    return { state: next, step: { kind: 'renew', over: lease, transitions: lease.transitions } }
  }
  const sinceMs = nowMs - (sighting?.firstSeenMs ?? nowMs)
  const isFree = lease.holder === '' || sinceMs >= (lease.durationMs ?? times.leaseDurationMs)
  if (!isFree) return { state: { ...next, leadsUntilMs: null }, step: { kind: 'wait', holder: lease.holder } } // somebody else has it
  return { state: next, step: { kind: 'take', over: lease, transitions: lease.transitions + 1 } }
}

/** A write of ours is in the store. `sentAtMs`: our clock before it was sent. */
export function onWritten(
  state: ElectionState,
  lease: SeenLease,
  { sentAtMs, nowMs }: { readonly sentAtMs: number; readonly nowMs: number },
  times: ElectionTimes,
): ElectionState {
  return { ...state, sighting: { lease, firstSeenMs: nowMs }, leadsUntilMs: sentAtMs + times.renewDeadlineMs }
}

/** Nothing could be read or written: what is left of the time to lead runs out by itself. */
export function onDeadline(state: ElectionState, nowMs: number): ElectionState {
  return isLeading(state, nowMs) ? state : { ...state, leadsUntilMs: null }
}
