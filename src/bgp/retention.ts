// Whether the routes of a peer may be kept, as stale ones, when its session ends (RFC 4724 §4.2, RFC 8538 §4). Pure.
import { CEASE, ERROR } from './iana.ts'
import type { Negotiated, SessionEnd } from './peer-types.ts'

/**
 * A session lost without a word: kept if the peer can restart gracefully. After a NOTIFICATION, whoever sent it and whatever for
 * (an expired hold timer is one): only if both sides offered the N bit, and never after a hard reset.
 */
export function retains({ gracefulRestart }: Pick<Negotiated, 'gracefulRestart'>, notification: SessionEnd['notification']): boolean {
  if (gracefulRestart === null || gracefulRestart.families.length === 0) return false
  if (notification === null) return true
  const isHardReset = notification.code === ERROR.CEASE && notification.subcode === CEASE.HARD_RESET
  return gracefulRestart.notification && !isHardReset
}
