// What the routing tables are told and what they tell: the types between `Rib` and the speaker.
import type { Brand } from '../../lib/brand.ts'
import type { FibBatch, Prefix } from '../../net/index.ts'
import type { PeerConfig, SpeakerConfig } from '../config.ts'
import type { Family } from '../family.ts'
import type { Negotiated } from '../peer.ts'
import type { RouteStatus } from '../status.ts'

/** Handle of a configured peer; given back (and later reused) by `removePeer`. 0 stands for ourselves. */
export type PeerId = Brand<number, 'PeerId'>

/** What holds for all peers. A change re-evaluates what it affects and resets nothing. */
export type RibConfig = Pick<
  SpeakerConfig,
  | 'asn'
  | 'routerId'
  | 'mode'
  | 'clusterId'
  | 'maximumPaths'
  | 'multipathAsPathRelax'
  | 'filters'
  | 'importBounds'
  | 'serviceRanges'
  | 'encapsulation'
> & {
  /** Report best paths of peers through `RibSink.fib`. */
  readonly installRoutes: boolean
  /** Take every next hop as usable at metric 0 without knowing the host's network (a reflector that forwards nothing). */
  readonly resolveAll: boolean
  /** We are about to go: everything is told with GRACEFUL_SHUTDOWN, and LOCAL_PREF 0 to internal peers (RFC 8326 §4). */
  readonly draining: boolean
}

/** What holds for one peer, session or not. A change re-evaluates what it affects and resets nothing. */
export type RibPeerConfig = Pick<
  PeerConfig,
  | 'key'
  | 'address'
  | 'interface'
  | 'asn'
  | 'localAsn'
  | 'addPath'
  | 'role'
  | 'ttlSecurity'
  | 'ebgpMultihop'
  | 'filters'
  | 'allowLocalAs'
  | 'nextHopMode'
  | 'routeReflectorClient'
  | 'clusterNode'
>

/** What a session agreed on: a `Negotiated` will do. */
export type RibSession = Pick<
  Negotiated,
  | 'peerType'
  | 'remoteAsn'
  | 'remoteRouterId'
  | 'localAddress'
  | 'families'
  | 'fourOctetAs'
  | 'extendedMessage'
  | 'addPathSend'
  | 'extendedNextHop'
  | 'role'
  | 'longLived'
  | 'addPathReceive'
>

/** Paths of one peer and family. `received` counts before import policy (it is what max-prefix is about), stale ones included. */
export type PrefixCounts = { readonly received: number; readonly accepted: number; readonly advertised: number; readonly stale: number }

/** For metrics. */
export type TableSizes = {
  readonly prefixes: number
  readonly paths: number
  readonly fibRoutes: number
  /** Distinct sets of path attributes, of both families together. */
  readonly attributeSets: number
  /** Groups of peers that are told the same. */
  readonly updateGroups: number
}

/** Where the tables put what they decided. Called only from within `flush`, except `wake`. */
export interface RibSink {
  /**
   * Sends whole UPDATE messages to an established peer. The chunks are shared between peers and never change, so holding
   * some megabytes of them per peer costs little. False: the peer is over its high-water mark; nothing more is delivered to it
   * until `writable(peer)` is called, and what changes meanwhile is remembered as prefixes, not as messages.
   */
  deliver(peer: PeerId, chunks: readonly Uint8Array[]): boolean
  /** Everything that was to be told when `sessionUp` or `refresh` was called has been delivered: send End-of-RIB, or EoRR. */
  tableSent(peer: PeerId, family: Family): void
  fib(batch: FibBatch): void
  /** There is work: call `flush` soon, and again as long as it returns true. At most once between two calls of `flush`. */
  wake(): void
}

/** A page of a table: at most `limit` prefixes, continued from `after` (the `next` of the page before; 0 to begin). */
export type RouteQuery = {
  readonly family: Family
  /** Only this prefix; null: all. */
  readonly prefix: Prefix | null
  readonly after: number
  readonly limit: number
  /** Loc-RIB only: leave out the paths that are neither best nor in the multipath set. */
  readonly bestOnly?: boolean
}
/** `next` null: that was all. Tables may change between pages. */
export type RoutePage = { readonly routes: readonly RouteStatus[]; readonly next: number | null }
