// What a peer tells and is told: plain values, shared by the peer, its sessions, the speaker and the status.
import type { Asn, IpAddress } from '../net/index.ts'
import type { RouterId } from './attributes.ts'
import type { PeerConfig } from './config.ts'
import type { Family } from './family.ts'
import type { Capability, MessageError, RoleName, RouteRefreshMessage, UpdateMessage } from './wire/message.ts'

/** What both sides agreed on; fixed for the life of a session. */
export type Negotiated = {
  readonly peerType: 'eBGP' | 'iBGP'
  readonly remoteAsn: Asn
  readonly remoteRouterId: RouterId
  readonly localAddress: IpAddress
  /** null: no hold timer (RFC 4271 §4.4). */
  readonly holdTimeSeconds: number | null
  readonly keepaliveSeconds: number | null
  readonly families: readonly Family[]
  readonly fourOctetAs: boolean
  readonly extendedMessage: boolean
  readonly routeRefresh: boolean
  readonly enhancedRouteRefresh: boolean
  /** Families in whose NLRI we send, or receive, path identifiers (RFC 7911). */
  readonly addPathSend: readonly Family[]
  readonly addPathReceive: readonly Family[]
  /** IPv4 NLRI may have IPv6 next hops, both ways (RFC 8950). */
  readonly extendedNextHop: boolean
  /** Our role towards the peer (RFC 9234), when configured: it governs OTC whether or not the peer sent its own. */
  readonly role: RoleName | null
  /** The peer's graceful restart capability, when both sides offered it (RFC 4724). */
  readonly gracefulRestart: {
    readonly peerRestarting: boolean
    readonly restartTimeSeconds: number
    readonly notification: boolean
    readonly families: readonly { readonly family: Family; readonly forwardingPreserved: boolean }[]
  } | null
  readonly longLived: readonly { readonly family: Family; readonly forwardingPreserved: boolean; readonly staleTimeSeconds: number }[]
  readonly capabilities: { readonly offered: readonly Capability[]; readonly received: readonly Capability[] }
}

/** Why a session (or an attempt) ended. `retain`: RFC 4724/8538 lets us keep the peer's routes as stale. */
export type SessionEnd = {
  readonly reason: string
  readonly notification: { readonly direction: 'sent' | 'received'; readonly code: number; readonly subcode: number } | null
  readonly retain: boolean
}

export interface PeerObserver {
  /** Send what is to be sent only after this. */
  established(negotiated: Negotiated): void
  updateReceived(update: UpdateMessage): void
  routeRefreshReceived(message: RouteRefreshMessage): void
  /** Only after `established`, once for each. */
  ended(end: SessionEnd): void
  /** There is no session, for another reason than before: see `PeerSessionStatus.lastError`. */
  failing(): void
  /** The outgoing buffer has room again after `send` returned false. */
  writable(): void
}

export type FsmStateName = 'Idle' | 'Connect' | 'Active' | 'OpenSent' | 'OpenConfirm' | 'Established'

/** Counters and facts for people; plain values. */
export type PeerSessionStatus = {
  readonly state: FsmStateName
  /** Wall-clock milliseconds of the last change to or from Established. */
  readonly sinceMs: number
  readonly establishedCount: number
  readonly lastError: string | null
  readonly lastErrorAtMs: number | null
  readonly negotiated: Negotiated | null
  /** What we would offer now, when there is no session. */
  readonly offered: readonly Capability[]
  readonly messages: {
    readonly sent: { readonly [K in MessageKind]: number }
    readonly received: { readonly [K in MessageKind]: number }
  }
  readonly malformedUpdates: number
  readonly bufferedBytes: number
}
export type MessageKind = 'open' | 'update' | 'notification' | 'keepalive' | 'routeRefresh'

export type StopReason =
  | { readonly kind: 'shutdown'; readonly message: string } // Cease 6/2, RFC 9003
  | { readonly kind: 'reset'; readonly message: string } // Cease 6/4
  | { readonly kind: 'deconfigured' } // Cease 6/3
  | { readonly kind: 'configurationChanged' } // Cease 6/6
  | { readonly kind: 'maxPrefixes'; readonly family: Family; readonly bound: number } // Cease 6/1, RFC 4486 §4
  | { readonly kind: 'updateError'; readonly error: MessageError }
  | { readonly kind: 'outOfResources' } // Cease 6/8
  | { readonly kind: 'silent' } // close without NOTIFICATION, so that peers keep our routes (decision 11)
  | { readonly kind: 'hardReset'; readonly message: string } // Cease 6/9 around 6/2, RFC 8538

/** All a peer needs to know: its own configuration and what the speaker says about itself. */
export type PeerSettings = PeerConfig & {
  /** The speaker's ASN; `localAsn`, where set, stands in for it towards this peer. */
  readonly speakerAsn: Asn
  readonly routerId: RouterId
  /** The speaker has just come back: offer the R bit (RFC 4724 §3). Read when an OPEN is sent; a change never resets. */
  readonly restarting: boolean
  /**
   * Families whose forwarding state has survived since the last session: their F bit (RFC 4724 §3, RFC 9494 §3). Like
   * `restarting`, read when an OPEN is sent.
   */
  readonly forwardingPreserved: readonly Family[]
}

/** What `Peer.configure` did: nothing; took the settings over with every session untouched; or had to end a session or attempt. */
export type ConfigureOutcome = 'unchanged' | 'applied' | 'reset'
