// Best paths on their way to the FIB: sets of next hops become numbers that never change their meaning, and changes are
// gathered into columns that can be handed to another thread without being copied.
import type { FibBatch, FibNextHop } from '../../net/index.ts'
import { ipFamilyOf } from '../family.ts'
import { nextCapacity } from './columns.ts'
import { nextHopKey, type Resolution, sortedNextHops } from './next-hop-resolver.ts'
import type { PrefixTable } from './prefix-table.ts'

/** Numbers of next hop sets, shared by both families. 0 is no route. */
export class NextHopSets {
  readonly #ids = new Map<string, number>()
  readonly #ofOne = new WeakMap<Resolution, number>()
  #lastMany: readonly Resolution[] = []
  #lastManyId = 0
  #fresh: { readonly id: number; readonly nextHops: readonly FibNextHop[] }[] = []

  /** Sets never handed over before. */
  takeFresh(): FibBatch['newSets'] {
    const fresh = this.#fresh
    this.#fresh = []
    return fresh
  }

  idOf(resolution: Resolution): number {
    const known = this.#ofOne.get(resolution)
    if (known !== undefined) return known
    const id = this.#intern(resolution.nextHops)
    this.#ofOne.set(resolution, id)
    return id
  }

  /** Neighbouring prefixes most often have the same set. */
  idOfMany(resolutions: readonly Resolution[]): number {
    const last = this.#lastMany
    if (last.length === resolutions.length && resolutions.every((resolution, at) => resolution === last[at])) return this.#lastManyId
    this.#lastMany = resolutions
    this.#lastManyId = this.#intern(sortedNextHops(resolutions.flatMap(({ nextHops }) => nextHops)))
    return this.#lastManyId
  }

  #intern(nextHops: readonly FibNextHop[]): number {
    if (nextHops.length === 0) return 0
    const key = nextHops.map(nextHopKey).join(' ')
    const known = this.#ids.get(key)
    if (known !== undefined) return known
    const id = this.#ids.size + 1
    this.#ids.set(key, id)
    this.#fresh.push({ id, nextHops })
    return id
  }
}

/** Changes of one family since the last `take`. */
export class FibWriter {
  readonly #prefixes: PrefixTable
  readonly #octets: 4 | 16
  #addresses = new Uint8Array(0)
  #lengths = new Uint8Array(0)
  #sets = new Uint32Array(0)
  #count = 0
  /** Prefixes that have a route. */
  routes = 0

  constructor(prefixes: PrefixTable) {
    this.#prefixes = prefixes
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
