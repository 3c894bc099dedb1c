// Which peer is told from which update group, and how peers move between groups when configuration or surroundings change:
// with all they have been told, so that only differences are sent.

import type { RouterId } from '../attributes.ts'
import { FAMILIES, type Family } from '../family.ts'
import { NONE } from './columns.ts'
import type { RibSession } from './contract.ts'
import { ExportPolicy, type PathSource } from './export-policy.ts'
import type { FamilyTables } from './family-tables.ts'
import { OURSELVES } from './path-table.ts'
import { addPathLimit, exportFacts, exportKey, type PeerEntry, scopeFacts } from './peer-entry.ts'
import type { RibState } from './state.ts'
import type { TableWork } from './table-work.ts'
import { type GroupFacts, UpdateGroup } from './update-group.ts'

const SELF: PathSource = { kind: 'local', isClient: false, routerId: null, address: null }

type Move = { readonly peer: PeerEntry; readonly to: GroupFacts }

export class Membership {
  readonly #state: RibState
  readonly #work: TableWork
  /** Peers whose next hop scope and group have to follow a change of configuration or surroundings. */
  readonly #unsettled = new Set<PeerEntry>()

  constructor(state: RibState, work: TableWork) {
    this.#state = state
    this.#work = work
  }

  join(peer: PeerEntry, session: RibSession, family: Family): void {
    const { attributes, tables } = this.#state
    const { prefixes, paths, decision, groups } = tables[family]
    const facts = this.#groupFacts(peer, session, family)
    let group = groups.get(facts.key)
    if (group === undefined) {
      group = new UpdateGroup({ prefixes, paths, attributes, decision }, facts)
      groups.set(facts.key, group)
    }
    peer.families[family].told = { group, member: group.joinNew(peer.id) }
  }

  leave(peer: PeerEntry, family: Family): void {
    const own = peer.families[family]
    const tables = this.#state.tables[family]
    if (own.told === null) return
    const { group, member } = own.told
    own.told = null
    group.leave(peer.id)
    disposeIfEmpty(tables, group)
    for (const row of member.backlog?.owed() ?? []) tables.freeLater(row) // kept only because this peer was owed a withdrawal
  }

  /** Something that the peer's scope or group follows from has changed. */
  unsettle(peer: PeerEntry): void {
    this.#unsettled.add(peer)
  }

  /** The peer is no more. */
  forget(peer: PeerEntry): void {
    this.#unsettled.delete(peer)
  }

  /** Peers whose circumstances changed: all at once, so that a group whose members change alike stays a group. */
  settle(): void {
    if (this.#unsettled.size === 0) return
    for (const peer of this.#unsettled) this.refreshScope(peer)
    this.#state.resolver.retain(this.#state.columns.scopesInUse())
    for (const family of FAMILIES) this.#regroup(family)
    this.#unsettled.clear()
  }

  /** What its next hops are resolved against. */
  refreshScope(peer: PeerEntry): void {
    const { columns, config, host, resolver } = this.#state
    const scope = resolver.scope(scopeFacts(config, peer, host))
    if (columns.scope(peer.id) === scope) return
    columns.setScope(peer.id, scope)
    for (const family of FAMILIES) this.#work.touchPeer(family, peer.id)
  }

  /** ORIGINATOR_ID and the tie-break follow the peer's identifier; what it told in an earlier session is still in the tables. */
  setRouterId({ id, families }: PeerEntry, routerId: RouterId): void {
    const { columns, tables } = this.#state
    const before = columns.routerId[id] ?? NONE
    columns.routerId[id] = routerId
    if (before === NONE || before === routerId) return
    for (const family of FAMILIES) {
      this.#work.touchPeer(family, id)
      for (const group of tables[family].groups.values()) {
        if (families[family].arrivals.isEmpty) group.invalidate()
        else group.restart()
      }
    }
  }

  /** Who is a client decides to which internal peers its paths go (RFC 4456 §6). */
  clientsChanged(): void {
    for (const group of this.#state.groups()) if (group.facts.peerType === 'iBGP') group.restart()
  }

  /** An address that is some path's next hop became, or ceased to be, that of a peer: it must not be told that peer. */
  peerAddressesChanged(): void {
    for (const group of this.#state.groups()) if (group.facts.peerType === 'eBGP' && group.facts.nextHopMode !== 'Self') group.restart()
  }

  #regroup(family: Family): void {
    const moves = new Map<UpdateGroup, Move[]>()
    for (const peer of this.#unsettled) {
      const { told } = peer.families[family]
      if (told === null || peer.session === null) continue
      const to = this.#groupFacts(peer, peer.session, family)
      if (to.key === told.group.key) continue
      const others = moves.get(told.group)
      if (others === undefined) moves.set(told.group, [{ peer, to }])
      else others.push({ peer, to })
    }
    for (const [group, movers] of moves) this.#move(this.#state.tables[family], group, movers)
  }

  #move(tables: FamilyTables, group: UpdateGroup, movers: readonly Move[]): void {
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
    disposeIfEmpty(tables, group)
  }

  #groupFacts(peer: PeerEntry, session: RibSession, family: Family): GroupFacts {
    const { config, host } = this.#state
    const facts = exportFacts(config, peer, session, family, host)
    const limit = addPathLimit(peer, session, family)
    const policy = new ExportPolicy(facts, {
      source: (id) => this.#source(id),
      isPeerAddress: (address) => this.#state.isPeerAddress(address),
    })
    return { key: exportKey(facts, limit, this.#state.filterKeys(peer.config.filters)), facts, policy, addPathLimit: limit }
  }

  #source(id: number): PathSource {
    const { columns } = this.#state
    const peer = id === OURSELVES ? null : this.#state.findPeer(id)
    if (peer === null) return SELF
    const routerId = columns.routerId[id] ?? NONE
    return {
      kind: columns.external[id] === 1 ? 'eBGP' : 'iBGP',
      isClient: peer.config.routeReflectorClient,
      routerId: routerId === NONE ? null : (routerId as RouterId),
      address: peer.config.address,
    }
  }
}

function disposeIfEmpty(tables: FamilyTables, group: UpdateGroup): void {
  if (group.members.size > 0) return
  if (tables.groups.get(group.key) === group) tables.groups.delete(group.key)
  group.dispose()
}
