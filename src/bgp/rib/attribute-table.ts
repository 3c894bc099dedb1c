// Attribute sets as small numbers: each distinct set is kept once, counted by whoever holds its number, with the fields that
// route selection compares laid out as columns. A number whose count has come to zero is given back by `reap`, so that a set
// withdrawn and told again within one turn keeps its number.
import { type PathAttributes, WELL_KNOWN_COMMUNITY } from '../attributes.ts'
import { hashAttributes, sameAttributes } from './attribute-equality.ts'
import { NONE, nextCapacity, regrown } from './columns.ts'
import type { NextHopTable } from './next-hop-table.ts'

/** Applied where LOCAL_PREF is absent (RFC 4271 §9.1.1 leaves the value to us; 100 is what everybody uses). */
export const DEFAULT_LOCAL_PREF = 100

const ORIGIN_RANK = { igp: 0, egp: 1, incomplete: 2 } as const

export class AttributeTable {
  readonly #nextHops: NextHopTable
  readonly #values: (PathAttributes | null)[] = [null]
  readonly #byIdentity = new Map<PathAttributes, number>()
  #refs = new Int32Array(64)
  #hashes = new Int32Array(64)
  #nextInBucket = new Int32Array(64)
  #buckets = new Int32Array(64)
  #free = NONE
  #end = 1
  #count = 0
  #idle: number[] = []
  /** Called before a number is given back: caches keyed by it forget it. */
  readonly onFree = new Set<(id: number) => void>()

  /** Columns of what is compared in route selection (RFC 4271 §9.1.2). */
  localPref = new Uint32Array(64)
  asPathLength = new Uint16Array(64)
  origin = new Uint8Array(64)
  /** Missing counts as 0, the best (RFC 4271 §9.1.2.2 c). */
  med = new Uint32Array(64)
  /** First AS of the path outside a confederation; 0 if the path is empty. */
  neighbourAs = new Uint32Array(64)
  /** 0: absent. */
  originatorId = new Uint32Array(64)
  clusterLength = new Uint16Array(64)
  /** Number in the table of next hops. */
  nextHop = new Int32Array(64)
  /** 1: carries LLGR_STALE (RFC 9494 §4.3). */
  longLivedStale = new Uint8Array(64)

  constructor(nextHops: NextHopTable) {
    this.#nextHops = nextHops
  }

  get count(): number {
    return this.#count
  }

  /**
   * The number of a set. It is not held: `hold` it before the next `reap`. `comesAgain`: the very same object will be asked for
   * again and again, as the codec gives one object for equal octets; then it is worth being known by identity.
   */
  intern(value: PathAttributes, comesAgain = true): number {
    const known = comesAgain ? this.#byIdentity.get(value) : undefined
    if (known !== undefined) return known
    const hash = hashAttributes(value)
    for (let id = this.#buckets[hash & (this.#buckets.length - 1)] ?? NONE; id !== NONE; id = this.#nextInBucket[id] ?? NONE) {
      if (this.#hashes[id] === hash && sameAttributes(this.get(id), value)) return id
    }
    const id = this.#add(value, hash)
    if (comesAgain) this.#byIdentity.set(value, id)
    return id
  }

  /** Throws RangeError for a number not in use: that is a bug. */
  get(id: number): PathAttributes {
    const value = this.#values[id]
    if (value === null || value === undefined) throw new RangeError(`no attribute set has the number ${id}`)
    return value
  }

  hold(id: number): void {
    this.#refs[id] = (this.#refs[id] ?? 0) + 1
  }

  release(id: number): void {
    const left = (this.#refs[id] ?? 0) - 1
    this.#refs[id] = left
    if (left === 0) this.#idle.push(id)
  }

  /** Gives back the numbers nobody holds. */
  reap(): void {
    // What a freed set alone kept alive becomes idle meanwhile: go on until nothing does.
    for (let idle = this.#idle; idle.length > 0; idle = this.#idle) {
      this.#idle = []
      for (const id of idle) if (this.#refs[id] === 0 && this.#values[id] !== null) this.#remove(id)
    }
  }

  #add(value: PathAttributes, hash: number): number {
    if (this.#count * 4 >= this.#buckets.length * 3) this.#rehash(this.#buckets.length * 2)
    const id = this.#take()
    this.#values[id] = value
    this.#refs[id] = 0
    this.#hashes[id] = hash
    const bucket = hash & (this.#buckets.length - 1)
    this.#nextInBucket[id] = this.#buckets[bucket] ?? NONE
    this.#buckets[bucket] = id
    this.#count++
    this.#idle.push(id)
    this.#describe(id, value)
    return id
  }

  #describe(id: number, value: PathAttributes): void {
    this.localPref[id] = value.localPref ?? DEFAULT_LOCAL_PREF
    this.asPathLength[id] = Math.min(asPathLength(value), 0xffff)
    this.origin[id] = ORIGIN_RANK[value.origin]
    this.med[id] = value.med ?? 0
    this.neighbourAs[id] = neighbourAs(value)
    this.originatorId[id] = value.originatorId ?? 0
    this.clusterLength[id] = Math.min(value.clusterList.length, 0xffff)
    this.nextHop[id] = value.nextHop === null ? NONE : this.#nextHops.hold(value.nextHop)
    this.longLivedStale[id] = value.communities.includes(WELL_KNOWN_COMMUNITY.LLGR_STALE) ? 1 : 0
  }

  #remove(id: number): void {
    for (const forget of this.onFree) forget(id)
    const value = this.get(id)
    this.#byIdentity.delete(value)
    this.#nextHops.release(this.nextHop[id] ?? NONE)
    const bucket = (this.#hashes[id] ?? 0) & (this.#buckets.length - 1)
    const following = this.#nextInBucket[id] ?? NONE
    let before = this.#buckets[bucket] ?? NONE
    if (before === id) this.#buckets[bucket] = following
    else {
      while (this.#nextInBucket[before] !== id) before = this.#nextInBucket[before] ?? NONE
      this.#nextInBucket[before] = following
    }
    this.#values[id] = null
    this.#nextInBucket[id] = this.#free
    this.#free = id
    this.#count--
  }

  #take(): number {
    const reused = this.#free
    if (reused !== NONE) {
      this.#free = this.#nextInBucket[reused] ?? NONE
      return reused
    }
    if (this.#end === this.#refs.length) this.#grow(nextCapacity(this.#end, this.#end + 1))
    return this.#end++
  }

  #grow(capacity: number): void {
    this.#refs = regrown(this.#refs, capacity)
    this.#hashes = regrown(this.#hashes, capacity)
    this.#nextInBucket = regrown(this.#nextInBucket, capacity)
    this.localPref = regrown(this.localPref, capacity)
    this.asPathLength = regrown(this.asPathLength, capacity)
    this.origin = regrown(this.origin, capacity)
    this.med = regrown(this.med, capacity)
    this.neighbourAs = regrown(this.neighbourAs, capacity)
    this.originatorId = regrown(this.originatorId, capacity)
    this.clusterLength = regrown(this.clusterLength, capacity)
    this.nextHop = regrown(this.nextHop, capacity)
    this.longLivedStale = regrown(this.longLivedStale, capacity)
  }

  #rehash(buckets: number): void {
    this.#buckets = new Int32Array(buckets)
    for (let id = 1; id < this.#end; id++) {
      if (this.#values[id] === null) continue
      const bucket = (this.#hashes[id] ?? 0) & (buckets - 1)
      this.#nextInBucket[id] = this.#buckets[bucket] ?? NONE
      this.#buckets[bucket] = id
    }
  }
}

/** A set counts one, confederation segments none (RFC 4271 §9.1.2.2 a, RFC 5065 §5.3). */
export function asPathLength(value: PathAttributes): number {
  let length = 0
  for (const { type, asns } of value.asPath) length += type === 'sequence' ? asns.length : type === 'set' ? 1 : 0
  return length
}

function neighbourAs(value: PathAttributes): number {
  for (const { type, asns } of value.asPath) if (type === 'sequence' || type === 'set') return type === 'sequence' ? (asns[0] ?? 0) : 0
  return 0
}
