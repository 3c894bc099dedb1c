// Best paths on their way to the FIB: sets of next hops become numbers that never change their meaning, and changes are
// gathered into columns that can be handed to another thread without being copied.
import type { FibBatch, FibNextHop } from '../../net/index.ts'
import { ipFamilyOf } from '../family.ts'
import { nextCapacity, regrown } from './columns.ts'
import { nextHopKey, type Resolution, sortedNextHops } from './next-hop-resolver.ts'
import type { PrefixTable } from './prefix-table.ts'

/** Numbers of next hop sets, shared by both families. 0 is no route. A set that no prefix has any more is forgotten; its number never returns. */
export class NextHopSets {
  readonly #ids = new Map<string, number>()
  readonly #keys = new Map<number, string>()
  readonly #ofOne = new WeakMap<Resolution, number>()
  #lastMany: readonly Resolution[] = []
  #lastManyId = 0
  /** Prefixes by set. */
  #refs = new Int32Array(64)
  #last = 0
  #idle: number[] = []
  #fresh: { readonly id: number; readonly nextHops: readonly FibNextHop[] }[] = []

  /** Sets never handed over before. */
  takeFresh(): FibBatch['newSets'] {
    const fresh = this.#fresh
    this.#fresh = []
    return fresh
  }

  idOf(resolution: Resolution): number {
    const known = this.#ofOne.get(resolution)
    if (known !== undefined && (this.#refs[known] ?? 0) > 0) return known
    const id = this.#intern(resolution.nextHops)
    this.#ofOne.set(resolution, id)
    return id
  }

  /** Neighbouring prefixes most often have the same set. */
  idOfMany(resolutions: readonly Resolution[]): number {
    const last = this.#lastMany
    const isSame = last.length === resolutions.length && resolutions.every((resolution, at) => resolution === last[at])
    if (isSame && (this.#refs[this.#lastManyId] ?? 0) > 0) return this.#lastManyId
    this.#lastMany = resolutions
    this.#lastManyId = this.#intern(sortedNextHops(resolutions.flatMap(({ nextHops }) => nextHops)))
    return this.#lastManyId
  }

  /** A prefix goes from one set to another. */
  moved(before: number, after: number): void {
    if (after !== 0) this.#refs[after] = (this.#refs[after] ?? 0) + 1
    if (before === 0) return
    const left = (this.#refs[before] ?? 0) - 1
    this.#refs[before] = left
    if (left === 0) this.#idle.push(before)
  }

  /** Forgets sets that no prefix has. */
  reap(): void {
    for (const id of this.#idle) {
      const key = this.#keys.get(id)
      if (key === undefined || (this.#refs[id] ?? 0) > 0) continue
      this.#keys.delete(id)
      this.#ids.delete(key)
    }
    this.#idle.length = 0
  }

  #intern(nextHops: readonly FibNextHop[]): number {
    if (nextHops.length === 0) return 0
    const key = nextHops.map(nextHopKey).join(' ')
    const known = this.#ids.get(key)
    if (known !== undefined) return known
    const id = ++this.#last
    if (id >= this.#refs.length) this.#refs = regrown(this.#refs, nextCapacity(this.#refs.length, id + 1))
    this.#ids.set(key, id)
    this.#keys.set(id, key)
    this.#fresh.push({ id, nextHops })
    return id
  }
}

/** Changes of one family since the last `take`. */
export class FibWriter {
  readonly #prefixes: PrefixTable
  readonly #nextHopSets: NextHopSets
  readonly #octets: 4 | 16
  #addresses = new Uint8Array(0)
  #lengths = new Uint8Array(0)
  #sets = new Uint32Array(0)
  #count = 0
  /** Prefixes that have a route. */
  routes = 0

  constructor(prefixes: PrefixTable, nextHopSets: NextHopSets) {
    this.#prefixes = prefixes
    this.#nextHopSets = nextHopSets
    this.#octets = prefixes.wide ? 16 : 4
  }

  get isEmpty(): boolean {
    return this.#count === 0
  }

  /** Notes that the route of `row` is now by way of `set`, if that is news. */
  update(row: number, set: number): void {
    const before = this.#prefixes.fibSet[row] ?? 0
    if (before === set) return
    this.#prefixes.fibSet[row] = set
    this.#nextHopSets.moved(before, set)
    if (before === 0) this.routes++
    else if (set === 0) this.routes--
    const at = this.#count
    if (at === this.#sets.length) this.#grow()
    this.#count = at + 1
    this.#prefixes.writeAddress(row, this.#addresses, at * this.#octets)
    this.#lengths[at] = this.#prefixes.length[row] ?? 0
    this.#sets[at] = set
  }

  /** What was gathered, with `newSets` first shown here; starts anew. */
  take(newSets: FibBatch['newSets']): FibBatch {
    const count = this.#count
    this.#count = 0
    return {
      family: ipFamilyOf(this.#prefixes.family),
      count,
      addresses: this.#addresses.slice(0, count * this.#octets),
      lengths: this.#lengths.slice(0, count),
      nextHopSets: this.#sets.slice(0, count),
      newSets,
    }
  }

  #grow(): void {
    const capacity = nextCapacity(this.#sets.length, this.#count + 1)
    const addresses = new Uint8Array(capacity * this.#octets)
    addresses.set(this.#addresses)
    this.#addresses = addresses
    const lengths = new Uint8Array(capacity)
    lengths.set(this.#lengths)
    this.#lengths = lengths
    const sets = new Uint32Array(capacity)
    sets.set(this.#sets)
    this.#sets = sets
  }
}
