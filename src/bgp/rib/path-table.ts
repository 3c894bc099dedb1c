// Adj-RIB-In and Loc-RIB of one family in one table: a row for each path a peer told (or we originate), linked per prefix.
// The row keeps what was received as well as what import policy made of it, so that a change of policy needs no refresh
// from the peer (rule 138).
import { NONE, nextCapacity, regrown } from './columns.ts'

/** Peer number of a row not in use. */
export const NOBODY = 0xffff
/** Peer number of paths we originate. */
export const OURSELVES = 0

/** Low bits of `flags`: when the path was last announced, see `arrivals.ts`. */
export const EPOCH_MASK = 0x0f
/** Long-lived stale (RFC 9494): `imported` carries LLGR_STALE. */
export const LONG_LIVED = 0x10
/** In the multipath set of its prefix. */
export const MULTIPATH = 0x20
/** Refused because our own AS is in its AS_PATH, and among those counted for that: see `own-as.ts`. */
export const OWN_AS = 0x40
export const COUNTED_OWN_AS = 0x80

export class PathTable {
  prefix = new Int32Array(64)
  peer = new Uint16Array(64)
  /** Attribute set as received. */
  raw = new Int32Array(64)
  /** Attribute set after import policy; 0: not accepted. */
  imported = new Int32Array(64)
  next = new Int32Array(64)
  flags = new Uint8Array(64)
  /** Path identifiers as received (RFC 7911); allocated when the first one other than 0 is seen. */
  #pathId = new Uint32Array(0)
  end = 1
  count = 0
  #free = NONE

  add(prefixRow: number, peer: number, pathId: number): number {
    const row = this.#take()
    this.prefix[row] = prefixRow
    this.peer[row] = peer
    this.raw[row] = 0
    this.imported[row] = 0
    this.next[row] = NONE
    this.flags[row] = 0
    if (pathId !== 0 && this.#pathId.length === 0) this.#pathId = new Uint32Array(this.peer.length)
    if (this.#pathId.length !== 0) this.#pathId[row] = pathId
    this.count++
    return row
  }

  pathId(row: number): number {
    return this.#pathId[row] ?? 0
  }

  isUsed(row: number): boolean {
    return this.peer[row] !== NOBODY
  }

  remove(row: number): void {
    this.peer[row] = NOBODY
    this.imported[row] = NONE
    this.next[row] = this.#free
    this.#free = row
    this.count--
  }

  #take(): number {
    const reused = this.#free
    if (reused !== NONE) {
      this.#free = this.next[reused] ?? NONE
      return reused
    }
    if (this.end === this.peer.length) this.#grow(nextCapacity(this.end, this.end + 1))
    return this.end++
  }

  #grow(capacity: number): void {
    this.prefix = regrown(this.prefix, capacity)
    this.peer = regrown(this.peer, capacity)
    this.raw = regrown(this.raw, capacity)
    this.imported = regrown(this.imported, capacity)
    this.next = regrown(this.next, capacity)
    this.flags = regrown(this.flags, capacity)
    if (this.#pathId.length !== 0) this.#pathId = regrown(this.#pathId, capacity)
  }
}
