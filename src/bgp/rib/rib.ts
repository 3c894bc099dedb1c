// Surface first, so that the speaker can be written against it; the body follows.
import type { HostNetwork } from '../../net/index.ts'
import type { OriginatedPrefix } from '../config.ts'
import type { Family } from '../family.ts'
import type { UpdateMessage } from '../wire/message.ts'
import type { PeerId, PrefixCounts, RibConfig, RibPeerConfig, RibSession, RibSink, RoutePage, RouteQuery, TableSizes } from './contract.ts'

/**
 * Adj-RIB-In, Loc-RIB and Adj-RIB-Out of a speaker (RFC 4271 §3.2). Every method but `flush` is cheap and only records what
 * changed; `flush` decides, tells the FIB and encodes UPDATEs, in slices of bounded work.
 */
export declare class Rib {
  constructor(config: RibConfig, sink: RibSink)

  /** The whole truth; finds out for itself what changed. */
  configure(config: RibConfig): void
  setOriginated(originated: readonly OriginatedPrefix[]): void
  /** Replaces what was known before. Until the first call no next hop resolves (unless `resolveAll`). */
  setHostNetwork(network: HostNetwork): void

  addPeer(config: RibPeerConfig): PeerId
  configurePeer(peer: PeerId, config: RibPeerConfig): void
  /** Forgets the peer and everything it sent. */
  removePeer(peer: PeerId): void

  /** The session is established: starts sending to the peer. What is still there of it from before stays as it is. */
  sessionUp(peer: PeerId, session: RibSession): void
  /** Nothing more is sent. What the peer sent stays until `markStale` or `clear`. */
  sessionDown(peer: PeerId): void
  /** `deliver` may be called again for this peer. */
  writable(peer: PeerId): void

  /** Applies withdrawals, then announcements (RFC 4271 §4.3). Look at `counts` afterwards for max-prefix. */
  applyUpdate(peer: PeerId, update: UpdateMessage): void
  counts(peer: PeerId, family: Family): PrefixCounts

  /** What is there becomes stale; what was stale already goes (RFC 4724 §4.2). */
  markStale(peer: PeerId, family: Family): void
  /** What is stale becomes long-lived stale, or goes with NO_LLGR (RFC 9494 §4.2). */
  startLongLived(peer: PeerId, family: Family): void
  /** What is still stale goes: End-of-RIB came, or a timer ran out. */
  sweepStale(peer: PeerId, family: Family): void
  clear(peer: PeerId, family: Family): void

  /** BoRR came: what is not announced again before `endRefresh` goes then (RFC 7313 §4). */
  beginRefresh(peer: PeerId, family: Family): void
  endRefresh(peer: PeerId, family: Family): void
  /** The peer asks for our table again (RFC 2918 §4); `RibSink.tableSent` tells when it has been sent. */
  refresh(peer: PeerId, family: Family): void

  /** While paused, nothing is selected, installed or sent in that family (RFC 4724 §4.1). Changes are only collected. */
  setPaused(family: Family, paused: boolean): void
  /** Does a slice of the outstanding work (about `budget` prefixes); true: call again soon. */
  flush(budget?: number): boolean

  adjRibIn(peer: PeerId, query: RouteQuery): RoutePage
  locRib(query: RouteQuery): RoutePage
  adjRibOut(peer: PeerId, query: RouteQuery): RoutePage
  sizes(family: Family): TableSizes
}
