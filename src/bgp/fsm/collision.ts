// Which of two connections to one peer survives (RFC 4271 §6.8, RFC 6286 §2.3, RFC 4724 §5). Asked when a good OPEN has
// arrived on one of them; both sides then come to the same answer, whichever OPEN is seen first.
import { unreachable } from '../../lib/result.ts'

export type Direction = 'outgoing' | 'incoming'

/** A speaker as its OPEN shows it. */
export type Identity = { readonly asn: number; readonly routerId: number }

/** The connection on which no OPEN has just arrived; until it is Established it is the one begun by the other side. */
export type OtherConnection =
  | { readonly kind: 'Connect' | 'Active' | 'OpenSent' | 'OpenConfirm' }
  | {
      readonly kind: 'Established'
      /** Graceful restart was negotiated on it. */
      readonly graceful: boolean
      /** How long it had been Established when the arriving connection came up, milliseconds; negative: it was not yet. */
      readonly establishedBeforeMs: number
    }

/**
 * `keepBoth`: nothing to settle yet. `peerRestarted`: the Established session is lost without its TCP connection having
 * noticed; go on with the arriving one (RFC 4724 §5).
 */
export type Verdict = 'keepBoth' | 'closeArriving' | 'closeOther' | 'peerRestarted'

/**
 * A connection that came up this soon after the session was Established is the late half of a simultaneous open, not a peer that
 * has restarted: no speaker fails, starts and dials within it. Milliseconds.
 */
export const RESTART_GRACE_MS = 5_000

/** `local` and `remote` are the two speakers, `arriving` is who began the connection that brought the OPEN. */
export function resolveCollision(local: Identity, remote: Identity, arriving: Direction, other: OtherConnection): Verdict {
  switch (other.kind) {
    case 'Connect':
    case 'Active':
    case 'OpenSent': // its OPEN, should it come, finds the arriving one in OpenConfirm and settles it then
      return 'keepBoth'
    case 'OpenConfirm':
      return survivor(local, remote) === arriving ? 'closeOther' : 'closeArriving'
    case 'Established':
      return other.graceful && other.establishedBeforeMs > RESTART_GRACE_MS ? 'peerRestarted' : 'closeArriving'
    default:
      return unreachable(other)
  }
}

/**
 * The connection begun by the speaker with the higher BGP Identifier, as unsigned numbers; if they are equal, by the one with
 * the higher AS number (RFC 6286 §2.3).
 */
function survivor(local: Identity, remote: Identity): Direction {
  if (local.routerId !== remote.routerId) return local.routerId > remote.routerId ? 'outgoing' : 'incoming'
  return local.asn > remote.asn ? 'outgoing' : 'incoming'
}
