// The five BGP messages as values (RFC 4271 §4, RFC 2918, RFC 7313).
import type { PathAttributes } from '../attributes.ts'
import type { Family } from '../family.ts'

export type Capability =
  | { readonly kind: 'multiprotocol'; readonly afi: number; readonly safi: number } // 1, RFC 4760
  | { readonly kind: 'routeRefresh' } // 2, RFC 2918
  | {
      readonly kind: 'extendedNextHop'
      readonly entries: readonly { readonly afi: number; readonly safi: number; readonly nextHopAfi: number }[]
    } // 5, RFC 8950
  | { readonly kind: 'extendedMessage' } // 6, RFC 8654
  | { readonly kind: 'role'; readonly role: RoleName } // 9, RFC 9234
  | {
      readonly kind: 'gracefulRestart' // 64, RFC 4724; notification is the N bit of RFC 8538
      readonly restarting: boolean
      readonly notification: boolean
      readonly restartTimeSeconds: number
      readonly families: readonly { readonly afi: number; readonly safi: number; readonly forwardingPreserved: boolean }[]
    }
  | { readonly kind: 'fourOctetAs'; readonly asn: number } // 65, RFC 6793
  | {
      readonly kind: 'addPath' // 69, RFC 7911
      readonly families: readonly { readonly afi: number; readonly safi: number; readonly send: boolean; readonly receive: boolean }[]
    }
  | { readonly kind: 'enhancedRouteRefresh' } // 70, RFC 7313
  | {
      readonly kind: 'longLivedGracefulRestart' // 71, RFC 9494
      readonly families: readonly {
        readonly afi: number
        readonly safi: number
        readonly forwardingPreserved: boolean
        readonly staleTimeSeconds: number
      }[]
    }
  | { readonly kind: 'unknown'; readonly code: number; readonly value: Uint8Array }

/** BGP roles (RFC 9234 §4), by the names of the BGPPeer resource. */
export type RoleName = 'Provider' | 'RouteServer' | 'RouteServerClient' | 'Customer' | 'Peer'

export type OpenMessage = {
  readonly kind: 'open'
  /** The two-octet My Autonomous System field as it stands on the wire; the capability may carry the real ASN. */
  readonly myAs: number
  readonly holdTimeSeconds: number
  readonly routerId: number
  readonly capabilities: readonly Capability[]
}

/**
 * A run of NLRI of one family, already checked: walking it with `NlriReader` cannot fail. `bytes` is a view into the received
 * message, valid only until the handler it was passed to returns.
 */
export type NlriRun = { readonly family: Family; readonly addPath: boolean; readonly bytes: Uint8Array; readonly count: number }

/** One attribute (or attribute list) that was not as it should be, and what RFC 7606 made of it. */
export type Malformation = {
  readonly attributeType: number | null
  readonly action: 'treatAsWithdraw' | 'attributeDiscard' | 'ignorePrefix'
  readonly reason: string
  /** Hex of the offending octets, cut to a printable length. */
  readonly hex: string
}

/**
 * UPDATE after RFC 7606 has been applied: discarded attributes are gone, treat-as-withdraw has moved announced runs to
 * `withdrawn`. Apply `withdrawn` first, then `announced`. Equal attribute octets on one session yield the identical
 * `PathAttributes` object as long as it stays cached, so identity is a cheap (not a complete) test of equality.
 */
export type UpdateMessage = {
  readonly kind: 'update'
  readonly withdrawn: readonly NlriRun[]
  readonly announced: readonly { readonly run: NlriRun; readonly attributes: PathAttributes }[]
  readonly endOfRib: Family | null
  readonly malformations: readonly Malformation[]
}

export type NotificationMessage = {
  readonly kind: 'notification'
  readonly code: number
  readonly subcode: number
  readonly data: Uint8Array
}
export type KeepaliveMessage = { readonly kind: 'keepalive' }

/** ROUTE-REFRESH; subtype 0 request, 1 BoRR, 2 EoRR (RFC 7313 §4). `family` null: not one of ours, to be ignored. */
export type RouteRefreshMessage = { readonly kind: 'routeRefresh'; readonly family: Family | null; readonly subtype: number }

export type Message = OpenMessage | UpdateMessage | NotificationMessage | KeepaliveMessage | RouteRefreshMessage

/** Why a message could not be accepted: the NOTIFICATION to send, and the reason in plain words for people. */
export type MessageError = { readonly code: number; readonly subcode: number; readonly data: Uint8Array; readonly reason: string }
