// Adj-RIB-In, Loc-RIB and Adj-RIB-Out of a speaker (RFC 4271 §3.2), and the order in which they affect one another. Pure: no
// socket, no clock; the speaker says what happened and calls `flush` for a slice of the work that follows from it.
import { compareIp, formatPrefix, type HostNetwork, type Prefix } from '../../net/index.ts'
import type { OriginatedPrefix } from '../config.ts'
import { FAMILIES, type Family } from '../family.ts'
import type { PeerStatus } from '../status.ts'
import type { UpdateMessage } from '../wire/index.ts'
import type { PeerId, PrefixCounts, RibConfig, RibPeerConfig, RibSession, RibSink, RoutePage, RouteQuery, TableSizes } from './contract.ts'
import { Delivery } from './delivery.ts'
import { poolsConcerned } from './encapsulation.ts'
import { HostView } from './host-view.ts'
import { Imports } from './imports.ts'
import { LookingGlass } from './looking-glass.ts'
import { Membership } from './membership.ts'
import { Originated } from './originated.ts'
import type { PeerEntry } from './peer-entry.ts'
import { Recursion } from './recursion.ts'
import { RibState } from './state.ts'
import { TableWork } from './table-work.ts'

const DEFAULT_BUDGET = 16_384

export class Rib {
  readonly #sink: RibSink
  readonly #state: RibState
  readonly #work: TableWork
  readonly #imports: Imports
  readonly #membership: Membership
  readonly #originated: Originated
  readonly #recursion: Recursion
  readonly #delivery: Delivery
  readonly #glass: LookingGlass
  /** Removed peers some of whose paths are still there. */
  readonly #removed = new Set<PeerEntry>()
  /** The speaker has been told to call `flush`, and has not yet been told that all is done. */
  #isAwake = false

  constructor(config: RibConfig, sink: RibSink) {
    this.#sink = sink
    const state = new RibState(config)
    this.#state = state
    this.#work = new TableWork(state, () => this.#freeRemoved())
    this.#imports = new Imports(state, this.#work)
    this.#membership = new Membership(state, this.#work)
    this.#originated = new Originated(state)
    this.#recursion = new Recursion(state, this.#work)
    this.#delivery = new Delivery(state, sink)
    this.#glass = new LookingGlass(state)
    state.resolver.setSurroundings(state.surroundings)
    state.attributes.onFree.add((id) => {
      this.#imports.forget(id)
      for (const group of state.groups()) group.forget(id)
    })
  }

  // configuration and surroundings

  /** The whole truth; finds out for itself what changed. */
  configure(config: RibConfig): void {
    this.#happened()
    const state = this.#state
    const decides = (each: RibConfig): string => JSON.stringify([each.maximumPaths, each.multipathAsPathRelax, each.installRoutes])
    if (decides(state.config) !== decides(config)) this.#work.touchAll()
    this.#work.touchInside(poolsConcerned(state.config.encapsulation, config.encapsulation))
    this.#work.touchInside(servicesConcerned(state.config, config))
    state.takeConfig(config)
    this.#work.touchNextHops(state.resolver.setSurroundings(state.surroundings))
    for (const peer of state.peers()) {
      this.#imports.refresh(peer)
      this.#membership.unsettle(peer)
    }
  }

  /** The prefixes we originate: the whole truth. */
  setOriginated(originated: readonly OriginatedPrefix[]): void {
    this.#happened()
    this.#originated.set(originated)
  }

  /** Replaces what was known before. Until the first call no next hop resolves (unless `resolveAll`). */
  setHostNetwork(network: HostNetwork): void {
    this.#happened()
    const state = this.#state
    state.host = new HostView(network)
    this.#work.touchNextHops(state.resolver.setSurroundings(state.surroundings))
    for (const peer of state.peers()) this.#membership.unsettle(peer)
  }

  // peers

  addPeer(config: RibPeerConfig): PeerId {
    this.#happened()
    const peer = this.#state.addPeer(config)
    this.#imports.refresh(peer)
    this.#membership.refreshScope(peer)
    this.#countAddress(config, 1)
    return peer.id as PeerId
  }

  configurePeer(id: PeerId, config: RibPeerConfig): void {
    this.#happened()
    const peer = this.#state.peer(id)
    const before = peer.config
    peer.config = config
    if (compareIp(before.address, config.address) !== 0) {
      this.#countAddress(before, -1)
      this.#countAddress(config, 1)
    }
    this.#state.identify(peer)
    if (before.routeReflectorClient !== config.routeReflectorClient) this.#membership.clientsChanged()
    this.#imports.refresh(peer)
    this.#membership.unsettle(peer)
  }

  /** Forgets the peer and everything it sent. */
  removePeer(id: PeerId): void {
    const peer = this.#state.peer(id)
    this.sessionDown(id)
    for (const family of FAMILIES) this.clear(id, family)
    peer.isRemoved = true
    this.#membership.forget(peer)
    this.#removed.add(peer)
    this.#countAddress(peer.config, -1)
    this.#freeRemoved()
  }

  /** The session is established: starts sending to the peer. What is still there of it from before stays as it is. */
  sessionUp(id: PeerId, session: RibSession): void {
    this.#happened()
    const peer = this.#state.peer(id)
    this.sessionDown(id)
    peer.session = session
    this.#membership.setRouterId(peer, session.remoteRouterId)
    this.#imports.refresh(peer)
    this.#membership.refreshScope(peer)
    for (const family of session.families) {
      this.#membership.join(peer, session, family)
      this.#delivery.report(peer, family)
    }
  }

  /** Nothing more is sent. What the peer sent stays until `markStale` or `clear`. */
  sessionDown(id: PeerId): void {
    this.#happened()
    const peer = this.#state.peer(id)
    peer.session = null
    this.#delivery.forget(peer)
    for (const family of FAMILIES) this.#membership.leave(peer, family)
  }

  /** `deliver` may be called again for this peer. */
  writable(id: PeerId): void {
    this.#delivery.unblock(id)
    this.#wake()
  }

  // what a peer tells

  /** Applies withdrawals, then announcements (RFC 4271 §4.3). Look at `counts` afterwards for max-prefix. */
  applyUpdate(id: PeerId, update: UpdateMessage): void {
    this.#happened()
    const { attributes, tables } = this.#state
    const { families } = this.#state.peer(id)
    for (const run of update.withdrawn) tables[run.family].withdraw(id, families[run.family].arrivals, run)
    for (const { run, attributes: told } of update.announced) {
      const { arrivals, imports } = families[run.family]
      if (imports !== null)
        tables[run.family].announce({ peer: id, arrivals, imports: imports.cache, policy: imports.policy }, attributes.intern(told), run)
    }
  }

  /** Right at once, also while the tables are still being walked. */
  counts(id: PeerId, family: Family): PrefixCounts {
    const { arrivals, told } = this.#state.peer(id).families[family]
    const { received, stale } = arrivals
    return { received, accepted: Math.min(received, arrivals.accepted), advertised: told === null ? 0 : told.group.toldTo(id), stale }
  }

  /** What is there becomes stale; what was stale already goes (RFC 4724 §4.2). */
  markStale(id: PeerId, family: Family): void {
    this.#newEpoch(id, family, (arrivals) => arrivals.markStale())
  }

  /** What is stale becomes long-lived stale, or goes with NO_LLGR (RFC 9494 §4.2). */
  startLongLived(id: PeerId, family: Family): void {
    this.#happened()
    this.#state.peer(id).families[family].arrivals.longLived = true
    this.#work.makeLongLived(id, family)
  }

  /** What is still stale goes: End-of-RIB came, or a timer ran out. */
  sweepStale(id: PeerId, family: Family): void {
    this.#happened()
    this.#state.peer(id).families[family].arrivals.condemnStale()
    this.#work.sweep(id, family)
  }

  /** Everything the peer sent goes. */
  clear(id: PeerId, family: Family): void {
    this.#newEpoch(id, family, (arrivals) => arrivals.condemnAll())
  }

  /** BoRR came: what is not announced again before `endRefresh` goes then (RFC 7313 §4). */
  beginRefresh(id: PeerId, family: Family): void {
    this.#newEpoch(id, family, (arrivals) => arrivals.beginRefresh())
  }

  endRefresh(id: PeerId, family: Family): void {
    this.#happened()
    this.#state.peer(id).families[family].arrivals.endRefresh()
    this.#work.sweep(id, family)
  }

  /** The peer asks for our table again (RFC 2918 §4); `RibSink.tableSent` tells when it has been sent. */
  refresh(id: PeerId, family: Family): void {
    this.#happened()
    const peer = this.#state.peer(id)
    const { told } = peer.families[family]
    if (told === null) return
    told.group.repeat(told.member)
    this.#delivery.report(peer, family)
  }

  // work

  /** While paused, nothing is selected, installed or sent in that family (RFC 4724 §4.1). Changes are only collected. */
  setPaused(family: Family, paused: boolean): void {
    this.#wake()
    this.#delivery.setPaused(family, paused)
  }

  /** Does a slice of the outstanding work (about `budget` prefixes); true: call again soon. */
  flush(budget: number = DEFAULT_BUDGET): boolean {
    const { attributes, jobs, nextHopSets } = this.#state
    this.#membership.settle()
    const left = budget - jobs.run(budget)
    this.#delivery.flush(Math.max(left, budget >>> 2))
    this.#recursion.follow()
    this.#delivery.reportTables()
    attributes.reap()
    nextHopSets.reap()
    this.#isAwake = !jobs.isEmpty || this.#delivery.hasWork
    return this.#isAwake
  }

  // looking

  /** What the peer sent, as it sent it, with what became of it. */
  adjRibIn(id: PeerId, query: RouteQuery): RoutePage {
    return this.#glass.adjRibIn(this.#state.peer(id), query)
  }

  /** All paths after import policy, with the reason the best one won. */
  locRib(query: RouteQuery): RoutePage {
    return this.#glass.locRib(query)
  }

  /** What the peer was told, or is about to be. */
  adjRibOut(id: PeerId, query: RouteQuery): RoutePage {
    return this.#glass.adjRibOut(this.#state.peer(id), query)
  }

  /** Routes of the peer refused because our own AS is in their AS_PATH, where nothing else carries their prefix plain; see `PeerStatus`. */
  ownAsRejected(id: PeerId): PeerStatus['ownAsRejected'] {
    return this.#glass.ownAsRejected(id)
  }

  sizes(family: Family): TableSizes {
    const { attributes, tables } = this.#state
    const { prefixes, paths, fib, groups } = tables[family]
    return {
      prefixes: prefixes.count,
      paths: paths.count,
      fibRoutes: fib.routes,
      attributeSets: attributes.count,
      updateGroups: groups.size,
    }
  }

  // within

  #wake(): void {
    if (this.#isAwake) return
    this.#isAwake = true
    this.#sink.wake()
  }

  /** Something new from outside. */
  #happened(): void {
    this.#recursion.restart()
    this.#wake()
  }

  #newEpoch(id: number, family: Family, begin: (arrivals: PeerEntry['families'][Family]['arrivals']) => void): void {
    this.#happened()
    this.#work.makeRoomForEpoch(id, family)
    begin(this.#state.peer(id).families[family].arrivals)
    this.#work.sweep(id, family)
  }

  /** Whether a next hop may be passed on depends on which addresses belong to peers. */
  #countAddress({ address }: RibPeerConfig, by: 1 | -1): void {
    const before = this.#state.isPeerAddress(address)
    this.#state.countAddress(address, by)
    if (before !== this.#state.isPeerAddress(address) && this.#state.nextHops.hasAddress(address)) this.#membership.peerAddressesChanged()
  }

  #freeRemoved(): void {
    for (const peer of this.#removed) {
      if (FAMILIES.some((family) => !peer.families[family].arrivals.isEmpty)) continue
      this.#removed.delete(peer)
      for (const family of FAMILIES) this.#imports.drop(peer, family)
      this.#state.freePeer(peer)
      for (const group of this.#state.groups()) group.invalidate() // keyed by peers' numbers
    }
    this.#state.resolver.retain(this.#state.columns.scopesInUse())
  }
}

/** What may be in the FIB or not, now that ranges of services are others. */
function servicesConcerned(before: RibConfig, after: RibConfig): readonly Prefix[] {
  const isSame = before.mode === after.mode && rangesText(before.serviceRanges) === rangesText(after.serviceRanges)
  return isSame ? [] : [...before.serviceRanges, ...after.serviceRanges]
}

function rangesText(ranges: readonly Prefix[]): string {
  return ranges.map(formatPrefix).join(' ')
}
