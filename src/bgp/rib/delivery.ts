// What a flush hands on, a slice at a time: changes of the FIB, UPDATEs to update groups, what is owed to peers in arrears, and the
// word that a peer has been told its whole table. Peers over their high-water mark are left out until they can take more.
import { FAMILIES, type Family } from '../family.ts'
import type { PeerId, RibSink } from './contract.ts'
import type { FamilyTables } from './family-tables.ts'
import type { PeerEntry, PeerFamily } from './peer-entry.ts'
import type { RibState } from './state.ts'

export class Delivery {
  readonly #state: RibState
  readonly #sink: RibSink
  /** Peers over their high-water mark. */
  readonly #blocked = new Set<number>()
  /** Peers for which `tableSent` is due. */
  readonly #reporting = new Set<PeerEntry>()
  readonly #paused = new Set<Family>()
  readonly #deliver = (peer: number, chunks: readonly Uint8Array[]): boolean => this.#deliverTo(peer, chunks)

  constructor(state: RibState, sink: RibSink) {
    this.#state = state
    this.#sink = sink
  }

  /** While paused, nothing is selected, installed or sent in that family. */
  setPaused(family: Family, paused: boolean): void {
    if (paused) this.#paused.add(family)
    else this.#paused.delete(family)
  }

  /** The peer can take more. */
  unblock(id: number): void {
    this.#blocked.delete(id)
  }

  /** The peer's session is gone. */
  forget(peer: PeerEntry): void {
    this.#blocked.delete(peer.id)
    this.#reporting.delete(peer)
  }

  /** `tableSent` is to be said once the peer has been told everything there is now. */
  report(peer: PeerEntry, family: Family): void {
    const { told } = peer.families[family]
    if (told === null) return
    told.member.reportAfter = this.#state.tables[family].queue.pushed
    this.#reporting.add(peer)
  }

  /** Decides about `budget` prefixes of each family, and hands on what follows. */
  flush(budget: number): void {
    for (const family of FAMILIES) if (!this.#paused.has(family)) this.#flushFamily(this.#state.tables[family], budget)
  }

  /** Says `tableSent` where it has become due. */
  reportTables(): void {
    for (const peer of this.#reporting) {
      let isWaiting = false
      for (const family of FAMILIES) {
        const { told } = peer.families[family]
        if (told === null || told.member.reportAfter === null) continue
        if (this.#isTold(told, told.member.reportAfter, family)) {
          told.member.reportAfter = null
          this.#sink.tableSent(peer.id as PeerId, family)
        } else isWaiting = true
      }
      if (!isWaiting) this.#reporting.delete(peer)
    }
  }

  /** Something can be decided or sent now. */
  get hasWork(): boolean {
    for (const family of FAMILIES) {
      if (this.#paused.has(family)) continue
      const { queue, groups } = this.#state.tables[family]
      if (queue.length > 0) return true
      for (const group of groups.values()) {
        if (group.walk !== null) return true
        for (const { backlog, peer } of group.members.values()) if (backlog !== null && !this.#blocked.has(peer)) return true
      }
    }
    return false
  }

  #flushFamily(tables: FamilyTables, budget: number): void {
    const walked = tables.walk(budget)
    tables.decide(Math.max(budget - walked, budget >>> 2))
    if (!tables.fib.isEmpty) this.#sink.fib(tables.fib.take(this.#state.nextHopSets.takeFresh()))
    tables.emit(this.#deliver)
    let left = budget
    for (const group of tables.groups.values()) {
      if (group.walk !== null) continue
      for (const member of group.members.values()) {
        if (member.backlog === null || this.#blocked.has(member.peer) || left <= 0) continue
        left -= group.catchUp(member, left, this.#deliver, (row) => tables.freeIfDone(row))
      }
    }
  }

  #deliverTo(id: number, chunks: readonly Uint8Array[]): boolean {
    if (this.#sink.deliver(id as PeerId, chunks)) return true
    this.#blocked.add(id)
    const peer = this.#state.findPeer(id)
    for (const family of FAMILIES) {
      const told = peer?.families[family].told
      if (told !== null && told !== undefined) told.group.detach(told.member)
    }
    return false
  }

  #isTold({ group, member }: NonNullable<PeerFamily['told']>, after: number, family: Family): boolean {
    if (this.#paused.has(family) || group.walk !== null || this.#state.tables[family].queue.shifted < after) return false
    return member.backlog === null || member.backlog.isEmpty
  }
}
