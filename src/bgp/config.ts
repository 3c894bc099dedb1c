// What a speaker is told: plain, frozen values, free of Kubernetes. The agent derives them from resources; `Speaker.configure`
// takes the whole truth and finds out for itself what changed.
import type { Asn, IpAddress, Prefix } from '../net/index.ts'
import type { Community, LargeCommunity, RouterId } from './attributes.ts'
import type { Family } from './family.ts'
import type { Filter } from './filter.ts'
import type { RoleName } from './wire/message.ts'

export type GracefulRestartConfig = {
  readonly enabled: boolean
  /** How long peers keep our routes, and the most we ask for (RFC 4724; 0..4095). */
  readonly restartTimeSeconds: number
  /** 0: no long-lived graceful restart (RFC 9494; up to 16777215). */
  readonly longLivedStaleTimeSeconds: number
  /** Offer the N bit (RFC 8538); off by default (decision 11). */
  readonly notification: boolean
}

export type MaxPrefixes = {
  /** null: no limit for that family. Counts paths received from the peer before import policy. */
  readonly ipv4: number | null
  readonly ipv6: number | null
  readonly warnAtPercent: number
  /** null: stays down until the configuration changes. */
  readonly restartAfterSeconds: number | null
}

export type PeerConfig = {
  /** Unique and stable over configuration changes: `NAME` of the BGPPeer, `NAME/NODE/ipv4` where one yields several, `mesh/NODE/ipv4`. */
  readonly key: string
  readonly description: string
  readonly address: IpAddress
  /** Interface of a link-local peer (`fe80::1%eth0`), else null. */
  readonly interface: string | null
  readonly port: number
  readonly asn: Asn
  /** What we call ourselves towards this peer (`localASNumber`), or null for the speaker's own. */
  readonly localAsn: Asn | null
  readonly sourceAddress: IpAddress | null
  readonly password: string | null
  readonly families: readonly Family[]
  readonly addPath: { readonly receive: boolean; readonly send: number }
  readonly role: RoleName | null
  readonly maxPrefixes: MaxPrefixes | null
  /** Hops allowed by GTSM (RFC 5082), or null. Excludes `ebgpMultihop`. */
  readonly ttlSecurity: number | null
  /** TTL of a multihop eBGP session, or null for a directly connected peer. iBGP is always multihop. */
  readonly ebgpMultihop: number | null
  /** 0: no hold timer and no KEEPALIVEs. */
  readonly holdTimeSeconds: number
  readonly keepaliveTimeSeconds: number
  readonly connectRetrySeconds: number
  /** Send hold timer (`sendHoldTime`); null: the default of RFC 9687 §3.1, the greater of eight minutes and twice the hold time. */
  readonly sendHoldTimeSeconds: number | null
  readonly passive: boolean
  /** Names of filters in `SpeakerConfig.filters`, tried in order. */
  readonly filters: readonly string[]
  /** How many times our own ASN may appear in a received AS_PATH. */
  readonly allowLocalAs: number
  readonly enforceFirstAs: boolean
  readonly nextHopMode: 'Auto' | 'Self' | 'Keep'
  readonly gracefulRestart: GracefulRestartConfig
  /** iBGP only: we reflect this peer's routes to others and others' to it (RFC 4456). */
  readonly routeReflectorClient: boolean
  /** A node of this cluster (mesh or `peerSelector`): its routes are not bounded by `importBounds`. */
  readonly clusterNode: boolean
  /** Administrative shutdown with its message (RFC 9003), or null. */
  readonly shutdown: { readonly message: string } | null
  /** Offer the extended next hop capability for IPv4 (RFC 8950). */
  readonly extendedNextHop: boolean
}

/** A prefix this speaker originates. */
export type OriginatedPrefix = {
  readonly prefix: Prefix
  readonly communities: readonly Community[]
  readonly largeCommunities: readonly LargeCommunity[]
}

/**
 * Which paths the host carries in IP-in-IP (RFC 2003, RFC 2473): those for a prefix inside one of `pools`, with the same family of next
 * hop, whose next hop is one of `nodes`. Such a path goes through the device of its family, onlink to the address of that node.
 */
export type EncapsulationConfig = {
  /** `CrossSubnet`: only where the node is not on-link for us. Where pools overlap, the most specific one counts. */
  readonly pools: readonly { readonly prefix: Prefix; readonly mode: 'CrossSubnet' | 'Always' }[]
  /** Addresses of the other cluster nodes. */
  readonly nodes: readonly IpAddress[]
  /** Names of the tunnel devices. */
  readonly device: { readonly ipv4: string; readonly ipv6: string }
}

export type SpeakerConfig = {
  readonly asn: Asn
  readonly routerId: RouterId
  readonly mode: 'Host' | 'Router'
  /** Route reflector cluster, or null when we reflect for nobody (RFC 4456 §7 would default it to the router ID). */
  readonly clusterId: RouterId | null
  /** null: no listener (every peer is dialled). `address` null: all addresses of both families. */
  readonly listen: { readonly addresses: readonly IpAddress[]; readonly port: number } | null
  readonly maximumPaths: number
  /** False: best paths stay in the RIB (a pure route reflector), and next hops need not resolve on this host. */
  readonly installRoutes: boolean
  /** Multipath may join paths whose AS_PATHs differ but are equally long. */
  readonly multipathAsPathRelax: boolean
  readonly peers: readonly PeerConfig[]
  readonly filters: Readonly<Record<string, Filter>>
  readonly originated: readonly OriginatedPrefix[]
  /** In `Host` mode, prefixes within which routes from peers outside the cluster are accepted without a filter. */
  readonly importBounds: readonly Prefix[]
  /** The cluster's own service ranges: in `Host` mode never installed; accepted by a reflector alone, of internal peers, to pass on (DESIGN §7). */
  readonly serviceRanges: readonly Prefix[]
  /** null: everything goes plain. */
  readonly encapsulation: EncapsulationConfig | null
}

export type { HostNetwork, ResolvingRoute } from '../net/index.ts'
