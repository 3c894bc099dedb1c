// How long a peer rests in Idle after a failure, so that it does not oscillate (RFC 4271 §8.1.1, DampPeerOscillations; the method
// is left to us): exponential, jittered, capped, forgotten after a stable session.
import { backoffMs } from '../../lib/backoff.ts'

export type Damping = {
  /** Failures of connections that had come up, since the last stable session. */
  readonly connectRetryCounter: number
  /** Attempts in a row that found nobody. */
  readonly failedDials: number
}
export const UNDAMPED: Damping = { connectRetryCounter: 0, failedDials: 0 }

export type IdleCause =
  /** TCP never came up: the peer is absent, not oscillating. */
  | { readonly kind: 'dialFailed' }
  /** The connection is gone but graceful restart holds its routes, or a person asked: the peer is expected back. */
  | { readonly kind: 'expectedBack' }
  | { readonly kind: 'failed' /** null: never Established. */; readonly establishedForMs: number | null }

export type IdleHold = {
  readonly damping: Damping
  readonly delayMs: number
  /** The peer may connect meanwhile. RFC 4271 refuses it in Idle; we do so only with a peer that keeps failing. */
  readonly admitsIncoming: boolean
}

const BASE_MS = 1_000
const CAP_MS = 60_000
export const STABLE_AFTER_MS = 300_000

/** The rest after `cause`; `random` is in [0, 1). Absent peers are dialled at least every `connectRetrySeconds`. */
export function idleHold(damping: Damping, cause: IdleCause, connectRetrySeconds: number, random: number): IdleHold {
  switch (cause.kind) {
    case 'dialFailed': {
      const capMs = Math.max(BASE_MS, connectRetrySeconds * 1_000)
      const delayMs = backoffMs(damping.failedDials, { baseMs: BASE_MS, capMs }, random)
      return { damping: { ...damping, failedDials: damping.failedDials + 1 }, delayMs, admitsIncoming: true }
    }
    case 'expectedBack':
      return {
        damping: { ...damping, failedDials: 0 },
        delayMs: backoffMs(0, { baseMs: BASE_MS, capMs: CAP_MS }, random),
        admitsIncoming: true,
      }
    case 'failed': {
      const wasStable = cause.establishedForMs !== null && cause.establishedForMs >= STABLE_AFTER_MS
      const before = wasStable ? 0 : damping.connectRetryCounter
      return {
        damping: { connectRetryCounter: before + 1, failedDials: 0 },
        delayMs: backoffMs(before, { baseMs: BASE_MS, capMs: CAP_MS }, random),
        admitsIncoming: before === 0,
      }
    }
  }
}
