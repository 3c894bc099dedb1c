// What the speaker shows to people and programs: plain JSON values, stable field names (`fibula bgp peers|routes -o json`).
import type { Family } from './family.ts'
import type { FsmStateName, MessageKind } from './peer.ts'

export type PeerStatus = {
  readonly name: string
  readonly description: string
  readonly address: string
  readonly interface: string | null
  readonly port: number
  readonly localAddress: string | null
  readonly type: 'eBGP' | 'iBGP'
  readonly asn: number
  readonly localAsn: number
  readonly state: FsmStateName
  readonly adminShutdown: boolean
  /** ISO 8601; when the session last came up or went down. */
  readonly since: string
  readonly uptimeSeconds: number | null
  readonly established: number
  readonly flaps: number
  readonly lastError: string | null
  readonly lastErrorAt: string | null
  readonly remoteRouterId: string | null
  readonly holdTimeSeconds: number | null
  readonly keepaliveTimeSeconds: number | null
  /** In words a network engineer knows, e.g. `multiprotocol IPv4Unicast`, `graceful restart 120 s`. */
  readonly capabilities: {
    readonly offered: readonly string[]
    readonly received: readonly string[]
    readonly negotiated: readonly string[]
  }
  readonly prefixes: Readonly<
    Partial<Record<Family, { readonly received: number; readonly accepted: number; readonly advertised: number; readonly stale: number }>>
  >
  readonly messages: {
    readonly sent: Readonly<Record<MessageKind, number>>
    readonly received: Readonly<Record<MessageKind, number>>
  }
  readonly malformedUpdates: number
  /**
   * Routes of an external peer dropped only because our own AS number is in their AS_PATH, where nothing else carries the prefix
   * plain; the example in words. null: none.
   */
  readonly ownAsRejected: { readonly count: number; readonly example: string } | null
  readonly gracefulRestart: 'none' | 'waiting for peer' | 'long-lived stale' | 'waiting for End-of-RIB'
  readonly endOfRib: { readonly received: readonly Family[]; readonly sent: readonly Family[] }
}

export type RouteStatus = {
  readonly prefix: string
  readonly paths: readonly PathStatus[]
}

export type PathStatus = {
  /** Peer name, or `local`. */
  readonly peer: string
  /** What a local path is for: `block`, `networks`, `Service/default/web`. Whoever runs the speaker knows. */
  readonly sources?: readonly string[]
  readonly pathId: number | null
  readonly best: boolean
  /** Part of the multipath set that goes to the kernel. */
  readonly multipath: boolean
  /** Why it won, lost or cannot be used, naming the deciding step: `lost: longer AS path (3 > 2)`. */
  readonly reason: string
  readonly usable: boolean
  /** Through a tunnel of ours (IP-in-IP). */
  readonly encapsulated: boolean
  readonly stale: boolean
  readonly origin: string
  readonly asPath: string
  readonly nextHop: string | null
  readonly med: number | null
  readonly localPref: number | null
  readonly communities: readonly string[]
  readonly largeCommunities: readonly string[]
  readonly extendedCommunities: readonly string[]
  readonly originatorId: string | null
  readonly clusterList: readonly string[]
  readonly onlyToCustomer: number | null
  readonly atomicAggregate: boolean
  readonly aggregator: string | null
  readonly unknownAttributes: readonly { readonly type: number; readonly flags: number; readonly valueHex: string }[]
}
