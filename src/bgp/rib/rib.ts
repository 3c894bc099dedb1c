// Adj-RIB-In, Loc-RIB and Adj-RIB-Out of a speaker (RFC 4271 §3.2), and the order in which they affect one another. Pure: no
// socket, no clock; the speaker says what happened and calls `flush` for a slice of the work that follows from it.
import { formatPrefix, type HostNetwork, hostPrefix, type IpAddress, type PrefixKey, prefixFamily } from '../../net/index.ts'
import { ORIGINATED, type PathAttributes, type RouterId, WELL_KNOWN_COMMUNITY } from '../attributes.ts'
import type { OriginatedPrefix } from '../config.ts'
import { FAMILIES, type Family } from '../family.ts'
import type { UpdateMessage } from '../wire/index.ts'
import { Arrivals } from './arrivals.ts'
import { canonicalCommunities, canonicalLargeCommunities, withCommunity } from './attribute-edit.ts'
import { AttributeTable } from './attribute-table.ts'
import { NONE } from './columns.ts'
import type { PeerId, PrefixCounts, RibConfig, RibPeerConfig, RibSession, RibSink, RoutePage, RouteQuery, TableSizes } from './contract.ts'
import { coveringRoutes } from './covering-routes.ts'
import { ExportPolicy, type PathSource } from './export-policy.ts'
import { FamilyTables } from './family-tables.ts'
import { NextHopSets } from './fib-writer.ts'
import { HostView } from './host-view.ts'
import { ImportPolicy, importKey } from './import-policy.ts'
import { LookingGlass } from './looking-glass.ts'
import { NextHopResolver, type ResolutionScope } from './next-hop-resolver.ts'
import { NextHopTable } from './next-hop-table.ts'
import { OutcomeCache } from './outcome-cache.ts'
import { LONG_LIVED, OURSELVES } from './path-table.ts'
import { PeerColumns } from './peer-columns.ts'
import {
  addPathLimit,
  exportFacts,
  exportKey,
  importFacts,
  newPeerEntry,
  type PeerEntry,
  type PeerFamily,
  peerTypeOf,
  Serials,
  scopeFacts,
} from './peer-entry.ts'
import { PrefixSet, type PrefixWords, wordsOf } from './prefix-words.ts'
import { ScanJobs } from './scan-jobs.ts'
import { type GroupFacts, UpdateGroup } from './update-group.ts'

const DEFAULT_BUDGET = 16_384
/** Peers told more than this often that routes which carry next hops changed, without anything new from outside: they chase one another. */
const MAX_RECURSION_ROUNDS = 32

const SELF: PathSource = { kind: 'local', isClient: false, routerId: null, address: null }

type ImportProgram = { readonly cache: OutcomeCache; users: number }
type Originated = { readonly family: Family; readonly words: PrefixWords; readonly attributes: number }

export class Rib {
  readonly #sink: RibSink
  readonly #nextHops = new NextHopTable()
  readonly #attributes = new AttributeTable(this.#nextHops)
  readonly #columns = new PeerColumns()
  readonly #resolver: NextHopResolver
  readonly #tables: Readonly<Record<Family, FamilyTables>>
  readonly #nextHopSets = new NextHopSets()
  readonly #jobs = new ScanJobs()
  readonly #glass: LookingGlass
  readonly #imports = new Map<string, ImportProgram>()
  readonly #peers: (PeerEntry | null)[] = [null]
  readonly #freePeers: number[] = []
  readonly #peersByAddress = new Map<IpAddress, number>()
  readonly #blocked = new Set<number>()
  readonly #reporting = new Set<PeerEntry>()
  readonly #removed = new Set<PeerEntry>()
  readonly #paused = new Set<Family>()
  readonly #own: Readonly<Record<Family, Arrivals>> = { IPv4Unicast: new Arrivals(), IPv6Unicast: new Arrivals() }
  #originated = new Map<PrefixKey, Originated>()
  #config: RibConfig
  readonly #serials = new Serials()
  /** Peers whose next hop scope and group have to follow a change of configuration or surroundings. */
  readonly #unsettled = new Set<PeerEntry>()
  #filterKeys = new Map<string, number>()
  #rangesKey = 0
  #host: HostView | null = null
  #recursionRounds = 0
  /** The speaker has been told to call `flush`, and has not yet been told that all is done. */
  #isAwake = false

  constructor(config: RibConfig, sink: RibSink) {
    this.#sink = sink
    this.#config = config
    this.#resolver = new NextHopResolver(this.#nextHops, (address, longerThan) =>
      coveringRoutes(this.#tables, this.#shared, address, longerThan),
    )
    this.#tables = {
      IPv4Unicast: new FamilyTables('IPv4Unicast', this.#shared),
      IPv6Unicast: new FamilyTables('IPv6Unicast', this.#shared),
    }
    this.#glass = new LookingGlass({ ...this.#shared, tables: this.#tables, peer: (id) => this.#peers[id] ?? null })
    this.#attributes.onFree.add((id) => this.#forget(id))
    this.#takeOver(config)
  }

  get #shared() {
    return { attributes: this.#attributes, peers: this.#columns, resolver: this.#resolver, nextHopSets: this.#nextHopSets }
  }

  // configuration and surroundings

  /** The whole truth; finds out for itself what changed. */
  configure(config: RibConfig): void {
    this.#wake()
    const before = this.#config
    this.#config = config
    const decides = (each: RibConfig): string => JSON.stringify([each.maximumPaths, each.multipathAsPathRelax, each.installRoutes])
    this.#takeOver(config)
    if (decides(before) !== decides(config)) this.#touchAll()
    for (const peer of this.#all()) {
      this.#refreshPolicy(peer)
      this.#unsettled.add(peer)
    }
  }

  /** The prefixes we originate: the whole truth. */
  setOriginated(originated: readonly OriginatedPrefix[]): void {
    this.#wake()
    this.#recursionRounds = 0
    const wanted = new Map<PrefixKey, Originated>()
    for (const each of originated) {
      const attributes = this.#attributes.intern(originatedAttributes(each))
      const family: Family = prefixFamily(each.prefix) === 4 ? 'IPv4Unicast' : 'IPv6Unicast'
      wanted.set(formatPrefix(each.prefix), { family, words: wordsOf(each.prefix), attributes })
    }
    for (const [key, { family, words }] of this.#originated) if (!wanted.has(key)) this.#tables[family].revoke(words, this.#own[family])
    for (const { family, words, attributes } of wanted.values()) this.#tables[family].originate(words, attributes, this.#own[family])
    this.#originated = wanted
  }

  /** Replaces what was known before. Until the first call no next hop resolves (unless `resolveAll`). */
  setHostNetwork(network: HostNetwork): void {
    this.#wake()
    this.#recursionRounds = 0
    this.#host = new HostView(network)
    this.#touchNextHops(this.#resolver.setHost(this.#host, this.#config.resolveAll))
    for (const peer of this.#all()) this.#unsettled.add(peer)
  }

  // peers

  addPeer(config: RibPeerConfig): PeerId {
    const id = this.#freePeers.pop() ?? this.#peers.length
    const peer = newPeerEntry(id, config)
    this.#peers[id] = peer
    this.#columns.add(id, config.address, `${config.interface ?? ''} ${config.key}`)
    this.#refreshPolicy(peer)
    this.#columns.setScope(id, this.#resolver.scope(scopeFacts(this.#config, peer, this.#host)))
    this.#countAddress(config.address, 1)
    return id as PeerId
  }

  configurePeer(id: PeerId, config: RibPeerConfig): void {
    this.#wake()
    const peer = this.#peer(id)
    if (peer.config.address !== config.address) {
      this.#countAddress(peer.config.address, -1)
      this.#countAddress(config.address, 1)
    }
    const wasClient = peer.config.routeReflectorClient
    peer.config = config
    if (wasClient !== config.routeReflectorClient) this.#sourceChanged()
    this.#refreshPolicy(peer)
    this.#unsettled.add(peer)
  }

  /** Forgets the peer and everything it sent. */
  removePeer(id: PeerId): void {
    this.#wake()
    const peer = this.#peer(id)
    this.sessionDown(id)
    for (const family of FAMILIES) this.clear(id, family)
    peer.isRemoved = true
    this.#unsettled.delete(peer)
    this.#removed.add(peer)
    this.#countAddress(peer.config.address, -1)
    this.#freeRemoved()
  }

  /** The session is established: starts sending to the peer. What is still there of it from before stays as it is. */
  sessionUp(id: PeerId, session: RibSession): void {
    this.#wake()
    const peer = this.#peer(id)
    if (peer.session !== null) this.sessionDown(id)
    peer.session = session
    this.#setRouterId(peer, session.remoteRouterId)
    this.#refreshPolicy(peer)
    this.#refreshScope(peer)
    for (const family of session.families) this.#join(peer, session, family)
  }

  /** Nothing more is sent. What the peer sent stays until `markStale` or `clear`. */
  sessionDown(id: PeerId): void {
    this.#wake()
    const peer = this.#peer(id)
    peer.session = null
    this.#blocked.delete(id)
    this.#reporting.delete(peer)
    for (const family of FAMILIES) this.#leave(peer, family)
  }

  /** `deliver` may be called again for this peer. */
  writable(id: PeerId): void {
    this.#wake()
    this.#blocked.delete(id)
  }

  // what a peer tells

  /** Applies withdrawals, then announcements (RFC 4271 §4.3). Look at `counts` afterwards for max-prefix. */
  applyUpdate(id: PeerId, update: UpdateMessage): void {
    this.#wake()
    const peer = this.#peer(id)
    this.#recursionRounds = 0
    for (const run of update.withdrawn) this.#tables[run.family].withdraw(id, peer.families[run.family].arrivals, run)
    for (const { run, attributes } of update.announced) {
      const { arrivals, imports } = peer.families[run.family]
      if (imports === null) continue
      this.#tables[run.family].announce({ peer: id, arrivals, imports: imports.cache }, this.#attributes.intern(attributes), run)
    }
  }

  counts(id: PeerId, family: Family): PrefixCounts {
    const { arrivals, told } = this.#peer(id).families[family]
    const { received, stale } = arrivals
    return { received, accepted: Math.min(received, arrivals.accepted), advertised: told === null ? 0 : told.group.toldTo(id), stale }
  }

  /** What is there becomes stale; what was stale already goes (RFC 4724 §4.2). */
  markStale(id: PeerId, family: Family): void {
    this.#wake()
    const { arrivals } = this.#peer(id).families[family]
    this.#makeRoomForEpoch(id, family)
    arrivals.markStale()
    this.#sweep(id, family)
  }

  /** What is stale becomes long-lived stale, or goes with NO_LLGR (RFC 9494 §4.2). */
  startLongLived(id: PeerId, family: Family): void {
    this.#wake()
    const { arrivals } = this.#peer(id).families[family]
    arrivals.longLived = true
    this.#jobs.add(this.#tables[family], 'longLived', [id], (tables, path) => this.#makeLongLived(tables, path))
  }

  /** What is still stale goes: End-of-RIB came, or a timer ran out. */
  sweepStale(id: PeerId, family: Family): void {
    this.#wake()
    this.#peer(id).families[family].arrivals.condemnStale()
    this.#sweep(id, family)
  }

  clear(id: PeerId, family: Family): void {
    this.#wake()
    this.#makeRoomForEpoch(id, family)
    this.#peer(id).families[family].arrivals.condemnAll()
    this.#sweep(id, family)
  }

  /** BoRR came: what is not announced again before `endRefresh` goes then (RFC 7313 §4). */
  beginRefresh(id: PeerId, family: Family): void {
    this.#makeRoomForEpoch(id, family)
    this.#peer(id).families[family].arrivals.beginRefresh()
  }

  endRefresh(id: PeerId, family: Family): void {
    this.#wake()
    this.#peer(id).families[family].arrivals.endRefresh()
    this.#sweep(id, family)
  }

  /** The peer asks for our table again (RFC 2918 §4); `RibSink.tableSent` tells when it has been sent. */
  refresh(id: PeerId, family: Family): void {
    this.#wake()
    const peer = this.#peer(id)
    const { told } = peer.families[family]
    if (told === null) return
    told.group.repeat(told.member)
    this.#report(peer, family)
  }

  // work

  /** While paused, nothing is selected, installed or sent in that family (RFC 4724 §4.1). Changes are only collected. */
  setPaused(family: Family, paused: boolean): void {
    this.#wake()
    if (paused) this.#paused.add(family)
    else this.#paused.delete(family)
  }

  /** Does a slice of the outstanding work (about `budget` prefixes); true: call again soon. */
  flush(budget: number = DEFAULT_BUDGET): boolean {
    this.#settle()
    const left = budget - this.#jobs.run(budget)
    for (const family of FAMILIES) if (!this.#paused.has(family)) this.#flushFamily(this.#tables[family], Math.max(left, budget >>> 2))
    this.#followRecursion()
    this.#reportTables()
    this.#attributes.reap()
    this.#isAwake = this.#hasWork()
    return this.#isAwake
  }

  // looking

  adjRibIn(id: PeerId, query: RouteQuery): RoutePage {
    return this.#glass.adjRibIn(this.#peer(id), query)
  }

  locRib(query: RouteQuery): RoutePage {
    return this.#glass.locRib(query)
  }

  /** What the peer was told, or is about to be. */
  adjRibOut(id: PeerId, query: RouteQuery): RoutePage {
    return this.#glass.adjRibOut(this.#peer(id), query)
  }

  sizes(family: Family): TableSizes {
    const { prefixes, paths, fib, groups } = this.#tables[family]
    const attributeSets = this.#attributes.count
    return { prefixes: prefixes.count, paths: paths.count, fibRoutes: fib.routes, attributeSets, updateGroups: groups.size }
  }

  // configuration

  #takeOver(config: RibConfig): void {
    this.#recursionRounds = 0
    this.#filterKeys = new Map(Object.entries(config.filters).map(([name, filter]) => [name, this.#serials.of(filter)]))
    this.#rangesKey = this.#serials.of([config.importBounds, config.serviceRanges])
    for (const family of FAMILIES) {
      const tables = this.#tables[family]
      tables.decision.options = { maximumPaths: config.maximumPaths, asPathRelax: config.multipathAsPathRelax }
      tables.installRoutes = config.installRoutes
    }
    this.#touchNextHops(this.#resolver.setHost(this.#host, config.resolveAll))
  }

  #keysOf(names: readonly string[]): readonly number[] {
    return names.map((name) => this.#filterKeys.get(name) ?? 0)
  }

  /** Gives the peer the import policy that follows from configuration and session; judges again what it told before. */
  #refreshPolicy(peer: PeerEntry): void {
    this.#columns.external[peer.id] = peerTypeOf(this.#config, peer) === 'eBGP' ? 1 : 0
    for (const family of FAMILIES) {
      const own = peer.families[family]
      const facts = importFacts(this.#config, peer, family)
      const key = importKey(facts, this.#keysOf(peer.config.filters), this.#rangesKey)
      if (own.imports?.key === key) continue
      let program = this.#imports.get(key)
      if (program === undefined) {
        program = { cache: new OutcomeCache(this.#attributes, new ImportPolicy(facts)), users: 0 }
        this.#imports.set(key, program)
      }
      program.users++
      this.#dropImports(own)
      own.imports = { key, cache: program.cache }
      if (own.arrivals.isEmpty) continue
      this.#jobs.add(this.#tables[family], 'reimport', [peer.id], (tables, path) => this.#importAgain(tables, path))
    }
  }

  #dropImports(own: PeerFamily): void {
    const program = own.imports === null ? undefined : this.#imports.get(own.imports.key)
    if (own.imports === null || program === undefined) return
    program.users--
    if (program.users > 0) return
    program.cache.clear()
    this.#imports.delete(own.imports.key)
  }

  #refreshScope(peer: PeerEntry): void {
    const scope = this.#resolver.scope(scopeFacts(this.#config, peer, this.#host))
    if (this.#columns.scope(peer.id) === scope) return
    this.#columns.setScope(peer.id, scope)
    for (const family of FAMILIES) if (!peer.families[family].arrivals.isEmpty) this.#touchPeer(family, peer.id)
  }

  /** ORIGINATOR_ID and the tie-break follow the peer's identifier; what it told in an earlier session stays in the tables. */
  #setRouterId({ id, families }: PeerEntry, routerId: RouterId): void {
    const before = this.#columns.routerId[id] ?? NONE
    this.#columns.routerId[id] = routerId
    if (before === NONE || before === routerId) return
    for (const family of FAMILIES) {
      const isThere = !families[family].arrivals.isEmpty
      if (isThere) this.#touchPeer(family, id)
      for (const group of this.#tables[family].groups.values()) {
        if (isThere) group.restart()
        else group.invalidate()
      }
    }
  }

  /** Third-party next hops depend on which addresses belong to peers. */
  #countAddress(address: IpAddress, by: 1 | -1): void {
    const count = (this.#peersByAddress.get(address) ?? 0) + by
    if (count > 0) this.#peersByAddress.set(address, count)
    else this.#peersByAddress.delete(address)
    if (this.#nextHops.hasAddress(address)) this.#sourceChanged()
  }

  /** What policy worked out about paths depends on facts about their sources that have changed. */
  #sourceChanged(): void {
    for (const group of this.#groups()) group.restart()
  }

  // groups

  #groupFacts(peer: PeerEntry, session: RibSession, family: Family): GroupFacts {
    const facts = exportFacts(this.#config, peer, session, family, this.#host)
    const limit = addPathLimit(peer, session, family)
    const policy = new ExportPolicy(facts, {
      source: (id) => this.#source(id),
      isPeerAddress: (address) => this.#peersByAddress.has(address),
    })
    return { key: exportKey(facts, limit, this.#keysOf(peer.config.filters)), facts, policy, addPathLimit: limit }
  }

  #source(id: number): PathSource {
    const peer = this.#peers[id]
    if (id === OURSELVES || peer === null || peer === undefined) return SELF
    const routerId = this.#columns.routerId[id] ?? NONE
    return {
      kind: this.#columns.external[id] === 1 ? 'eBGP' : 'iBGP',
      isClient: peer.config.routeReflectorClient,
      routerId: routerId === NONE ? null : (routerId as RouterId),
      address: peer.config.address,
    }
  }

  #join(peer: PeerEntry, session: RibSession, family: Family): void {
    const tables = this.#tables[family]
    const facts = this.#groupFacts(peer, session, family)
    let group = tables.groups.get(facts.key)
    if (group === undefined) {
      group = new UpdateGroup(
        { prefixes: tables.prefixes, paths: tables.paths, attributes: this.#attributes, decision: tables.decision },
        facts,
      )
      tables.groups.set(facts.key, group)
    }
    peer.families[family].told = { group, member: group.joinNew(peer.id) }
    this.#report(peer, family)
  }

  #leave(peer: PeerEntry, family: Family): void {
    const own = peer.families[family]
    if (own.told === null) return
    const { group, member } = own.told
    own.told = null
    group.leave(peer.id)
    this.#disposeIfEmpty(this.#tables[family], group)
    // Rows kept only because this peer was owed a withdrawal.
    const { backlog } = member
    for (let row = backlog?.take() ?? -1; row >= 0; row = backlog?.take() ?? -1) this.#tables[family].freeIfDone(row)
  }

  #disposeIfEmpty(tables: FamilyTables, group: UpdateGroup): void {
    if (group.members.size > 0) return
    if (tables.groups.get(group.key) === group) tables.groups.delete(group.key)
    group.dispose()
  }

  /** Peers whose circumstances changed: all at once, so that a group whose members change alike stays a group. */
  #settle(): void {
    if (this.#unsettled.size === 0) return
    for (const peer of this.#unsettled) this.#refreshScope(peer)
    this.#resolver.retain(this.#columns.scopesInUse())
    this.#regroup(this.#unsettled)
    this.#unsettled.clear()
  }

  /** Puts established peers into the groups they belong to now. What they have been told stays; only differences are sent. */
  #regroup(peers: ReadonlySet<PeerEntry>): void {
    for (const family of FAMILIES) {
      const tables = this.#tables[family]
      const moves = new Map<UpdateGroup, { readonly peer: PeerEntry; readonly to: GroupFacts }[]>()
      for (const peer of peers) {
        const { told } = peer.families[family]
        if (told === null || peer.session === null) continue
        const to = this.#groupFacts(peer, peer.session, family)
        if (to.key === told.group.key) continue
        const others = moves.get(told.group)
        if (others === undefined) moves.set(told.group, [{ peer, to }])
        else others.push({ peer, to })
      }
      for (const [group, movers] of moves) this.#move(tables, group, movers)
    }
  }

  #move(tables: FamilyTables, group: UpdateGroup, movers: readonly { readonly peer: PeerEntry; readonly to: GroupFacts }[]): void {
    const [first] = movers
    const isWhole = movers.length === group.members.size && movers.every(({ to }) => to.key === first?.to.key)
    if (first !== undefined && isWhole && !tables.groups.has(first.to.key)) {
      tables.groups.delete(group.key)
      group.become(first.to)
      tables.groups.set(group.key, group)
      return
    }
    for (const { peer, to } of movers) {
      const member = group.leave(peer.id)
      if (member === null) continue
      let target = tables.groups.get(to.key)
      if (target === undefined) {
        target = group.split(to)
        tables.groups.set(to.key, target)
        target.join(member)
      } else target.joinFrom(member, group)
      peer.families[tables.family].told = { group: target, member }
    }
    this.#disposeIfEmpty(tables, group)
  }

  // jobs over whole tables

  #touchAll(): void {
    for (const family of FAMILIES) this.#jobs.add(this.#tables[family], 'touchAll', null, (tables, row) => tables.touch(row))
  }

  #touchPeer(family: Family, id: number): void {
    this.#jobs.add(this.#tables[family], 'touchPeers', [id], (tables, path) => tables.touch(tables.paths.prefix[path] ?? NONE))
  }

  #touchNextHops(changed: ReadonlyMap<ResolutionScope, ReadonlySet<number>>): void {
    if (changed.size === 0) return
    for (const family of FAMILIES) {
      this.#jobs.add(this.#tables[family], 'nextHops', null, (tables, path) => {
        const scope = this.#columns.scope(tables.paths.peer[path] ?? OURSELVES)
        const nextHop = this.#attributes.nextHop[tables.paths.imported[path] ?? NONE] ?? NONE
        if (scope !== null && changed.get(scope)?.has(nextHop) === true) tables.touch(tables.paths.prefix[path] ?? NONE)
      })
    }
  }

  #sweep(id: number, family: Family): void {
    if (!this.#peer(id).families[family].arrivals.hasCondemned) return
    this.#jobs.add(
      this.#tables[family],
      'sweep',
      [id],
      (tables, path) => {
        const arrivals = this.#peers[tables.paths.peer[path] ?? OURSELVES]?.families[tables.family].arrivals
        if (arrivals?.isCondemned(tables.paths.flags[path] ?? 0) === true) tables.removePath(path, arrivals)
      },
      () => this.#freeRemoved(),
    )
  }

  #freeRemoved(): void {
    for (const peer of this.#removed) {
      if (FAMILIES.some((family) => !peer.families[family].arrivals.isEmpty)) continue
      this.#removed.delete(peer)
      for (const family of FAMILIES) this.#dropImports(peer.families[family])
      this.#peers[peer.id] = null
      this.#columns.remove(peer.id)
      this.#freePeers.push(peer.id)
      for (const group of this.#groups()) group.invalidate() // keyed by peers' numbers
    }
    this.#resolver.retain(this.#columns.scopesInUse())
  }

  #importAgain(tables: FamilyTables, path: number): void {
    const own = this.#peers[tables.paths.peer[path] ?? OURSELVES]?.families[tables.family]
    if (own?.imports === null || own?.imports === undefined) return
    const { cache } = own.imports
    const outcome = cache.outcome(tables.paths.raw[path] ?? NONE, OURSELVES)
    const imported = outcome >= 0 ? outcome : cache.settle(outcome, ...rowWords(tables, tables.paths.prefix[path] ?? NONE))
    const isLongLived = ((tables.paths.flags[path] ?? 0) & LONG_LIVED) !== 0
    tables.setImported(path, isLongLived ? this.#longLived(imported) : imported, own.arrivals)
  }

  #makeLongLived(tables: FamilyTables, path: number): void {
    const { paths } = tables
    const arrivals = this.#peers[paths.peer[path] ?? OURSELVES]?.families[tables.family].arrivals
    const flags = paths.flags[path] ?? 0
    if (arrivals === undefined || !arrivals.longLived || !arrivals.isStale(flags) || arrivals.isCondemned(flags)) return
    if (this.#attributes.get(paths.raw[path] ?? NONE).communities.includes(WELL_KNOWN_COMMUNITY.NO_LLGR)) {
      tables.removePath(path, arrivals)
      return
    }
    paths.flags[path] = flags | LONG_LIVED
    tables.setImported(path, this.#longLived(paths.imported[path] ?? NONE), arrivals)
  }

  #longLived(imported: number): number {
    if (imported === NONE) return NONE
    return this.#attributes.intern(withCommunity(this.#attributes.get(imported), WELL_KNOWN_COMMUNITY.LLGR_STALE))
  }

  /** Before a new epoch begins: paths of the one whose number comes round join the next, or go if they are to go anyway. */
  #makeRoomForEpoch(id: number, family: Family): void {
    const { arrivals } = this.#peer(id).families[family]
    if (arrivals.expiringStamp === null) return
    const tables = this.#tables[family]
    const { paths } = tables
    for (let path = 1; path < paths.end; path++) {
      const flags = paths.flags[path] ?? 0
      if (paths.peer[path] !== id || (flags & 0x0f) !== arrivals.expiringStamp) continue
      if (arrivals.isCondemned(flags)) tables.removePath(path, arrivals)
      else paths.flags[path] = arrivals.restamped(flags)
    }
  }

  // work

  #flushFamily(tables: FamilyTables, budget: number): void {
    const walked = tables.walk(budget)
    tables.decide(Math.max(budget - walked, budget >>> 2))
    if (!tables.fib.isEmpty) {
      const fresh = this.#nextHopSets.fresh
      this.#nextHopSets.fresh = []
      this.#sink.fib(tables.fib.take(fresh))
    }
    const deliver = (peer: number, chunks: readonly Uint8Array[]): boolean => this.#deliver(peer, chunks)
    tables.emit(deliver)
    let left = budget
    for (const group of tables.groups.values()) {
      if (group.walk !== null) continue
      for (const member of group.members.values()) {
        if (member.backlog === null || this.#blocked.has(member.peer) || left <= 0) continue
        left -= group.catchUp(member, left, deliver, (row) => tables.freeIfDone(row))
      }
    }
  }

  #deliver(id: number, chunks: readonly Uint8Array[]): boolean {
    if (this.#sink.deliver(id as PeerId, chunks)) return true
    this.#blocked.add(id)
    const peer = this.#peers[id]
    for (const family of FAMILIES) {
      const told = peer?.families[family].told
      if (told !== null && told !== undefined) told.group.detach(told.member)
    }
    return false
  }

  /** Routes that carry next hops have changed: look at those next hops again. */
  #followRecursion(): void {
    const { IPv4Unicast: four, IPv6Unicast: six } = this.#tables
    const isNew = this.#resolver.takeNewDependence()
    if (isNew) {
      const addresses = [...this.#resolver.watched()].map(hostPrefix)
      for (const [tables, family] of [[four, 4] as const, [six, 6] as const]) {
        const set = new PrefixSet(addresses, family)
        tables.watched = set.isEmpty ? null : set
      }
    }
    const isTouched = four.touchedWatched || six.touchedWatched
    four.touchedWatched = false
    six.touchedWatched = false
    if (!(isNew || isTouched) || this.#recursionRounds >= MAX_RECURSION_ROUNDS) return
    this.#recursionRounds++
    this.#touchNextHops(this.#resolver.reexamineRecursive())
  }

  #report(peer: PeerEntry, family: Family): void {
    const { told } = peer.families[family]
    if (told === null) return
    told.member.reportAfter = this.#tables[family].queue.pushed
    this.#reporting.add(peer)
  }

  #reportTables(): void {
    for (const peer of this.#reporting) {
      let isWaiting = false
      for (const family of FAMILIES) {
        const { told } = peer.families[family]
        if (told === null || told.member.reportAfter === null) continue
        const { group, member } = told
        const isTold =
          !this.#paused.has(family) &&
          group.walk === null &&
          this.#tables[family].queue.shifted >= (member.reportAfter ?? 0) &&
          (member.backlog === null || member.backlog.count === 0)
        if (isTold) {
          member.reportAfter = null
          this.#sink.tableSent(peer.id as PeerId, family)
        } else isWaiting = true
      }
      if (!isWaiting) this.#reporting.delete(peer)
    }
  }

  #wake(): void {
    if (this.#isAwake) return
    this.#isAwake = true
    this.#sink.wake()
  }

  #hasWork(): boolean {
    if (!this.#jobs.isEmpty) return true
    for (const family of FAMILIES) {
      if (this.#paused.has(family)) continue
      const { queue, groups } = this.#tables[family]
      if (queue.length > 0) return true
      for (const group of groups.values()) {
        if (group.walk !== null) return true
        for (const { backlog, peer } of group.members.values()) if (backlog !== null && !this.#blocked.has(peer)) return true
      }
    }
    return false
  }

  #forget(attributes: number): void {
    for (const { cache } of this.#imports.values()) cache.forget(attributes)
    for (const group of this.#groups()) group.forget(attributes)
  }

  // look-ups

  #peer(id: number): PeerEntry {
    const peer = this.#peers[id]
    if (peer === null || peer === undefined) throw new RangeError(`no peer has the number ${id}`)
    return peer
  }

  *#all(): Generator<PeerEntry> {
    for (const peer of this.#peers) if (peer !== null && !peer.isRemoved) yield peer
  }

  *#groups(): Generator<UpdateGroup> {
    for (const family of FAMILIES) yield* this.#tables[family].groups.values()
  }
}

function originatedAttributes({ communities, largeCommunities }: OriginatedPrefix): PathAttributes {
  if (communities.length === 0 && largeCommunities.length === 0) return ORIGINATED
  return {
    ...ORIGINATED,
    communities: canonicalCommunities(communities),
    largeCommunities: canonicalLargeCommunities(largeCommunities),
  }
}

function rowWords({ prefixes }: FamilyTables, row: number): [w0: number, w1: number, w2: number, w3: number, length: number] {
  const { word0, word1, word2, word3, length } = prefixes
  return [word0[row] ?? 0, word1[row] ?? 0, word2[row] ?? 0, word3[row] ?? 0, length[row] ?? 0]
}
