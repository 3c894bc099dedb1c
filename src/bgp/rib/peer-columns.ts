// What route selection needs to know about peers, as columns by peer number (0: ourselves).
import { compareIp, type IpAddress } from '../../net/index.ts'
import { NONE, nextCapacity, regrown } from './columns.ts'
import type { ResolutionScope } from './next-hop-resolver.ts'
import { OURSELVES } from './path-table.ts'

export class PeerColumns {
  /** 1: external. Our own paths count as internal, but win before that is asked. */
  external = new Uint8Array(16)
  /** BGP Identifier of the last session. */
  routerId = new Uint32Array(16)
  /** Order of peer addresses, then of interface and key: no two peers share a rank. */
  #rank = new Int32Array(16)
  readonly #identities = new Map<number, { readonly address: IpAddress; readonly tieBreak: string }>()
  readonly #scopes: (ResolutionScope | null)[] = []
  #ranksAreStale = false

  add(peer: number): void {
    if (peer >= this.external.length) {
      const capacity = nextCapacity(this.external.length, peer + 1)
      this.external = regrown(this.external, capacity)
      this.routerId = regrown(this.routerId, capacity)
      this.#rank = regrown(this.#rank, capacity)
    }
    this.external[peer] = 0
    this.routerId[peer] = NONE
    this.#scopes[peer] = null
  }

  /** What orders peers: address, then a text that no two have in common. */
  identify(peer: number, address: IpAddress, tieBreak: string): void {
    const known = this.#identities.get(peer)
    if (known?.address === address && known.tieBreak === tieBreak) return
    this.#identities.set(peer, { address, tieBreak })
    this.#ranksAreStale = true
  }

  remove(peer: number): void {
    this.#identities.delete(peer)
    this.#scopes[peer] = null
  }

  /** Null for our own paths, which need no next hop. */
  scope(peer: number): ResolutionScope | null {
    return this.#scopes[peer] ?? null
  }

  setScope(peer: number, scope: ResolutionScope): void {
    this.#scopes[peer] = scope
  }

  scopesInUse(): Set<ResolutionScope> {
    return new Set(this.#scopes.filter((scope) => scope !== null && scope !== undefined))
  }

  rank(peer: number): number {
    if (this.#ranksAreStale) this.#sort()
    return peer === OURSELVES ? -1 : (this.#rank[peer] ?? 0)
  }

  #sort(): void {
    const order = [...this.#identities].sort(
      ([, a], [, b]) => compareIp(a.address, b.address) || (a.tieBreak < b.tieBreak ? -1 : a.tieBreak > b.tieBreak ? 1 : 0),
    )
    for (const [rank, [peer]] of order.entries()) this.#rank[peer] = rank
    this.#ranksAreStale = false
  }
}
