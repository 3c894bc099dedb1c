// The prefixes of one family: a row each, found by an open-addressed hash (linear probing, no tombstones). Columns of other
// owners (Adj-RIB-Out) run in step with it through `onGrow`.
import { type IpAddress, ipFromBytes, type Prefix } from '../../net/index.ts'
import type { Family } from '../family.ts'
import { NONE, nextCapacity, regrown } from './columns.ts'

/** The row waits in the queue of rows to be decided. */
export const DIRTY = 1
/** Some path of the row may be marked `OWN_AS`. */
export const HAS_OWN_AS = 2

const FREE_LENGTH = 255
/** Mask of the bits of a prefix that do not scatter it. */
const SISTERS = 7

export class PrefixTable {
  readonly family: Family
  readonly wide: boolean
  /** Address words in network order, as signed 32-bit patterns; IPv4 uses `word0` only. */
  word0 = new Int32Array(64)
  word1 = new Int32Array(0)
  word2 = new Int32Array(0)
  word3 = new Int32Array(0)
  length = new Uint8Array(64)
  flags = new Uint8Array(64)
  /** Head of the list of paths. */
  firstPath = new Int32Array(64)
  /** The path selected last, or none. */
  bestPath = new Int32Array(64)
  /** Next hop set the FIB was told last; 0: no route. */
  fibSet = new Int32Array(64)
  /** Rows below this number may be in use. */
  end = 1
  count = 0
  /** How many prefixes there are of each length: a longest match probes only these. */
  readonly perLength = new Int32Array(129)
  readonly onGrow = new Set<(capacity: number) => void>()
  #slots = new Int32Array(128)
  #mask = 127
  #free = NONE

  constructor(family: Family) {
    this.family = family
    this.wide = family === 'IPv6Unicast'
    if (this.wide) {
      this.word1 = new Int32Array(64)
      this.word2 = new Int32Array(64)
      this.word3 = new Int32Array(64)
    }
  }

  get capacity(): number {
    return this.word0.length
  }

  /** Words are signed bit patterns. */
  find(w0: number, w1: number, w2: number, w3: number, length: number): number {
    const mask = this.#mask
    for (let slot = hashPrefix(w0, w1, w2, w3, length) & mask; ; slot = (slot + 1) & mask) {
      const row = this.#slots[slot] ?? NONE
      if (row === NONE || this.#is(row, w0, w1, w2, w3, length)) return row
    }
  }

  findOrAdd(w0: number, w1: number, w2: number, w3: number, length: number): number {
    const mask = this.#mask
    const hash = hashPrefix(w0, w1, w2, w3, length)
    let slot = hash & mask
    for (; ; slot = (slot + 1) & mask) {
      const row = this.#slots[slot] ?? NONE
      if (row === NONE) break
      if (this.#is(row, w0, w1, w2, w3, length)) return row
    }
    if ((this.count + 1) * 4 > this.#slots.length * 3) {
      this.#rehash(this.#slots.length * 4) // each time finds every row a place anew: seldom, then
      slot = this.#emptySlot(hash)
    }
    const row = this.#take()
    this.#slots[slot] = row
    this.word0[row] = w0
    if (this.wide) {
      this.word1[row] = w1
      this.word2[row] = w2
      this.word3[row] = w3
    }
    this.length[row] = length
    this.perLength[length] = (this.perLength[length] ?? 0) + 1
    this.count++
    return row
  }

  isUsed(row: number): boolean {
    return this.length[row] !== FREE_LENGTH
  }

  /** The row may be given to another prefix afterwards. */
  remove(row: number): void {
    const length = this.length[row] ?? 0
    this.#unlink(row)
    this.perLength[length] = (this.perLength[length] ?? 0) - 1
    this.length[row] = FREE_LENGTH
    this.flags[row] = 0
    this.bestPath[row] = NONE
    this.fibSet[row] = 0
    this.firstPath[row] = this.#free
    this.#free = row
    this.count--
  }

  /** The prefix of a row as a value, for people. */
  prefixOf(row: number): Prefix {
    return { address: this.addressOf(row), length: this.length[row] ?? 0 }
  }

  wordsAt(row: number): [w0: number, w1: number, w2: number, w3: number, length: number] {
    return [this.word0[row] ?? 0, this.word1[row] ?? 0, this.word2[row] ?? 0, this.word3[row] ?? 0, this.length[row] ?? 0]
  }

  addressOf(row: number): IpAddress {
    const octets = new Uint8Array(16)
    this.writeAddress(row, octets, 0)
    return ipFromBytes(this.wide ? 6 : 4, octets)
  }

  /** Writes 4 or 16 octets in network order. */
  writeAddress(row: number, out: Uint8Array, at: number): void {
    writeWord(out, at, this.word0[row] ?? 0)
    if (!this.wide) return
    writeWord(out, at + 4, this.word1[row] ?? 0)
    writeWord(out, at + 8, this.word2[row] ?? 0)
    writeWord(out, at + 12, this.word3[row] ?? 0)
  }

  #is(row: number, w0: number, w1: number, w2: number, w3: number, length: number): boolean {
    return (
      this.word0[row] === w0 &&
      this.length[row] === length &&
      (!this.wide || (this.word1[row] === w1 && this.word2[row] === w2 && this.word3[row] === w3))
    )
  }

  #hashOf(row: number): number {
    const w0 = this.word0[row] ?? 0
    const length = this.length[row] ?? 0
    return this.wide
      ? hashPrefix(w0, this.word1[row] ?? 0, this.word2[row] ?? 0, this.word3[row] ?? 0, length)
      : hashPrefix(w0, 0, 0, 0, length)
  }

  #emptySlot(hashed: number): number {
    const mask = this.#mask
    let slot = hashed & mask
    while (this.#slots[slot] !== NONE) slot = (slot + 1) & mask
    return slot
  }

  /** A row whose columns are all zero, as fresh memory is: what is never written to never becomes resident. */
  #take(): number {
    const reused = this.#free
    if (reused !== NONE) {
      this.#free = this.firstPath[reused] ?? NONE
      this.firstPath[reused] = NONE
      return reused
    }
    if (this.end === this.capacity) this.#grow(nextCapacity(this.capacity, this.end + 1))
    return this.end++
  }

  #grow(capacity: number): void {
    this.word0 = regrown(this.word0, capacity)
    if (this.wide) {
      this.word1 = regrown(this.word1, capacity)
      this.word2 = regrown(this.word2, capacity)
      this.word3 = regrown(this.word3, capacity)
    }
    this.length = regrown(this.length, capacity)
    this.flags = regrown(this.flags, capacity)
    this.firstPath = regrown(this.firstPath, capacity)
    this.bestPath = regrown(this.bestPath, capacity)
    this.fibSet = regrown(this.fibSet, capacity)
    for (const grow of this.onGrow) grow(capacity)
  }

  #rehash(slots: number): void {
    this.#slots = new Int32Array(slots)
    this.#mask = slots - 1
    for (let row = 1; row < this.end; row++) if (this.isUsed(row)) this.#slots[this.#emptySlot(this.#hashOf(row))] = row
  }

  /** Takes a row out of the hash and moves up what follows in its probe sequence. */
  #unlink(row: number): void {
    const mask = this.#mask
    let gap = this.#hashOf(row) & mask
    while (this.#slots[gap] !== row) gap = (gap + 1) & mask
    for (let slot = (gap + 1) & mask; ; slot = (slot + 1) & mask) {
      const other = this.#slots[slot] ?? NONE
      if (other === NONE) break
      const home = this.#hashOf(other) & mask
      if (((slot - home) & mask) < ((slot - gap) & mask)) continue
      this.#slots[gap] = other
      gap = slot
    }
    this.#slots[gap] = NONE
  }
}

/**
 * Of a prefix as words; the table uses as many low bits as it needs. Prefixes that differ in their last bits only are neighbours in
 * the table, because that is how they arrive: eight sisters cost one wait for memory, not eight.
 */
function hashPrefix(w0: number, w1: number, w2: number, w3: number, length: number): number {
  const last = length - 1
  const shift = 31 - (last & 31)
  const sisters = SISTERS << shift
  if (last < 32)
    return (mix(Math.imul(w0 & ~sisters, 0x85eb_ca6b) ^ Math.imul(length, 0x9e37_79b1)) & ~SISTERS) | ((w0 >>> shift) & SISTERS)
  let h = Math.imul(w0, 0x85eb_ca6b) ^ Math.imul(length, 0x9e37_79b1)
  const word = last < 64 ? w1 : last < 96 ? w2 : w3
  h = mix(h ^ (last < 64 ? w1 & ~sisters : w1))
  if (last >= 64) h = mix(Math.imul(h, 0x27d4_eb2f) ^ (last < 96 ? w2 & ~sisters : w2))
  if (last >= 96) h = mix(Math.imul(h, 0x1656_67b1) ^ (w3 & ~sisters))
  return (h & ~SISTERS) | ((word >>> shift) & SISTERS)
}

function mix(value: number): number {
  let h = value ^ (value >>> 15)
  h = Math.imul(h, 0xc2b2_ae35)
  h ^= h >>> 13
  h = Math.imul(h, 0x27d4_eb2f)
  return h ^ (h >>> 16)
}

function writeWord(out: Uint8Array, at: number, word: number): void {
  out[at] = word >>> 24
  out[at + 1] = word >>> 16
  out[at + 2] = word >>> 8
  out[at + 3] = word
}
