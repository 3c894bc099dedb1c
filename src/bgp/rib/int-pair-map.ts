// A hash map from two 32-bit integers, the first not negative, to a third, in three typed arrays. Caches keyed by (attribute set, peer)
// are looked into once per prefix: this costs no allocation and no boxed number.

const FREE = -1

export class IntPairMap {
  #first = new Int32Array(0)
  #second = new Int32Array(0)
  #values = new Int32Array(0)
  #mask = -1
  size = 0

  /** `missing` if there is none. */
  get(first: number, second: number, missing: number): number {
    if (this.size === 0) return missing
    const mask = this.#mask
    for (let slot = mix(first) & mask; ; slot = (slot + 1) & mask) {
      const key = this.#first[slot] ?? FREE
      if (key === FREE) return missing
      if (key === first && this.#second[slot] === second) return this.#values[slot] ?? missing
    }
  }

  set(first: number, second: number, value: number): void {
    if ((this.size + 1) * 4 > (this.#mask + 1) * 3) this.#rehash(Math.max(16, (this.#mask + 1) * 2))
    const mask = this.#mask
    let slot = mix(first) & mask
    for (; ; slot = (slot + 1) & mask) {
      const key = this.#first[slot] ?? FREE
      if (key === FREE) break
      if (key === first && this.#second[slot] === second) {
        this.#values[slot] = value
        return
      }
    }
    this.#first[slot] = first
    this.#second[slot] = second
    this.#values[slot] = value
    this.size++
  }

  /** Removes every entry whose first key is `first`, handing over its value. */
  deleteAll(first: number, removed: (value: number) => void): void {
    if (this.size === 0) return
    const mask = this.#mask
    for (let slot = mix(first) & mask; this.#first[slot] !== FREE; ) {
      if (this.#first[slot] !== first) {
        slot = (slot + 1) & mask
        continue
      }
      const value = this.#values[slot] ?? 0
      this.#removeAt(slot)
      removed(value) // the slot now holds whatever was moved up: look at it again
    }
  }

  /** Empties it, and keeps the room. */
  reset(): void {
    if (this.size === 0) return
    this.#first.fill(FREE)
    this.size = 0
  }

  clear(): void {
    this.#first = new Int32Array(0)
    this.#second = new Int32Array(0)
    this.#values = new Int32Array(0)
    this.#mask = -1
    this.size = 0
  }

  /** Closes the gap by moving up later entries of the same probe sequence. */
  #removeAt(gapAt: number): void {
    const mask = this.#mask
    let gap = gapAt
    for (let slot = (gap + 1) & mask; ; slot = (slot + 1) & mask) {
      const key = this.#first[slot] ?? FREE
      if (key === FREE) break
      const home = mix(key) & mask
      if (((slot - home) & mask) < ((slot - gap) & mask)) continue
      this.#first[gap] = key
      this.#second[gap] = this.#second[slot] ?? 0
      this.#values[gap] = this.#values[slot] ?? 0
      gap = slot
    }
    this.#first[gap] = FREE
    this.size--
  }

  #rehash(slots: number): void {
    const first = this.#first
    const second = this.#second
    const values = this.#values
    this.#first = new Int32Array(slots).fill(FREE)
    this.#second = new Int32Array(slots)
    this.#values = new Int32Array(slots)
    this.#mask = slots - 1
    for (let from = 0; from < first.length; from++) {
      const key = first[from] ?? FREE
      if (key === FREE) continue
      let slot = mix(key) & this.#mask
      while (this.#first[slot] !== FREE) slot = (slot + 1) & this.#mask
      this.#first[slot] = key
      this.#second[slot] = second[from] ?? 0
      this.#values[slot] = values[from] ?? 0
    }
  }
}

/** Only the first key is hashed, so that all entries of one lie in one probe sequence and can be removed together. */
function mix(value: number): number {
  const hash = Math.imul(value, 0x9e37_79b1)
  return hash ^ (hash >>> 15)
}
