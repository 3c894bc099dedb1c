// Rows of a forwarding table in typed-array columns, found by prefix through an open-addressed hash: a hundred thousand routes
// cost a few megabytes and nothing for the collector to trace. Column arrays are replaced when the table grows, so they are read
// through the table each time. Pure.
import { bitsOf, type IpFamily, ipFromBytes, ipToBytes, type Prefix } from '../net/index.ts'

/** Bits of the `flags` column. */
export const IN_USE = 1
export const QUEUED = 2
/** In the kernel from before our time, and nobody has asked for it since. */
export const STALE = 4
export const FOREIGN = 8
export const FAILED = 16

const FIRST_CAPACITY = 1024

export class FibTable {
  readonly family: IpFamily
  readonly octets: 4 | 16
  /** Next hop set from BGP; 0: none. */
  bgpSet = new Uint32Array(FIRST_CAPACITY)
  /** Shape asked for by this node itself; 0: none. It wins over BGP's. */
  local = new Uint32Array(FIRST_CAPACITY)
  /** Shape for a pod of this node; 0: none. It wins over both. */
  pod = new Uint32Array(FIRST_CAPACITY)
  /** Shape the row should have in the kernel; 0: none. */
  desired = new Uint32Array(FIRST_CAPACITY)
  /** Shape our route has in the kernel as far as we know; 0: none. */
  installed = new Uint32Array(FIRST_CAPACITY)
  flags = new Uint8Array(FIRST_CAPACITY)
  /** Number of the read-back that saw our route last. */
  seen = new Uint32Array(FIRST_CAPACITY)
  readonly #words: 1 | 4
  #keys: Uint32Array<ArrayBuffer>
  #lengths = new Uint8Array(FIRST_CAPACITY)
  #slots = new Int32Array(2 * FIRST_CAPACITY) // row + 1; 0: empty
  #free: number[] = []
  #high = 0
  /** The key being looked up, so that no look-up allocates. */
  readonly #key = new Uint32Array(4)

  constructor(family: IpFamily) {
    this.family = family
    this.octets = family === 4 ? 4 : 16
    this.#words = family === 4 ? 1 : 4
    this.#keys = new Uint32Array(FIRST_CAPACITY * this.#words)
  }

  /** One more than the highest row in use: rows below it may be free (no IN_USE flag). */
  get high(): number {
    return this.#high
  }

  /** Row of a prefix given as octets at `at`, or -1. */
  find(bytes: Uint8Array, at: number, length: number): number {
    this.#loadKey(bytes, at)
    return (this.#slots[this.#slotOf(length)] ?? 0) - 1
  }

  findPrefix({ address, length }: Prefix): number {
    return this.find(ipToBytes(address), 0, length)
  }

  /** Row of a prefix, made if there is none. */
  insert(bytes: Uint8Array, at: number, length: number): number {
    this.#loadKey(bytes, at)
    let slot = this.#slotOf(length)
    const existing = this.#slots[slot] ?? 0
    if (existing !== 0) return existing - 1
    const free = this.#free.pop()
    const row = free ?? this.#high++
    if (row >= this.#lengths.length) {
      this.#grow()
      slot = this.#slotOf(length)
    }
    this.#slots[slot] = row + 1
    for (let word = 0; word < this.#words; word++) this.#keys[row * this.#words + word] = this.#key[word] ?? 0
    this.#lengths[row] = length
    this.flags[row] = IN_USE
    return row
  }

  /** Gives a row back; its columns must be zero, its flags are cleared. */
  release(row: number): void {
    this.#loadRow(row)
    this.#closeGap(this.#slotOf(this.#lengths[row] ?? 0))
    this.flags[row] = 0
    this.seen[row] = 0
    this.#free.push(row)
  }

  lengthOf(row: number): number {
    return this.#lengths[row] ?? 0
  }

  /** Writes the 4 or 16 octets of a row's address in network order. */
  putAddress(row: number, into: Uint8Array, at: number): void {
    for (let word = 0; word < this.#words; word++) {
      const value = this.#keys[row * this.#words + word] ?? 0
      const to = at + word * 4
      into[to] = value >>> 24
      into[to + 1] = value >>> 16
      into[to + 2] = value >>> 8
      into[to + 3] = value
    }
  }

  prefixOf(row: number): Prefix {
    const bytes = new Uint8Array(this.octets)
    this.putAddress(row, bytes, 0)
    return { address: ipFromBytes(this.family, bytes), length: Math.min(this.lengthOf(row), bitsOf(this.family)) }
  }

  #loadKey(bytes: Uint8Array, at: number): void {
    for (let word = 0; word < this.#words; word++) {
      const from = at + word * 4
      this.#key[word] = ((bytes[from] ?? 0) << 24) | ((bytes[from + 1] ?? 0) << 16) | ((bytes[from + 2] ?? 0) << 8) | (bytes[from + 3] ?? 0)
    }
  }

  #loadRow(row: number): void {
    for (let word = 0; word < this.#words; word++) this.#key[word] = this.#keys[row * this.#words + word] ?? 0
  }

  /** Slot that holds the loaded key with this length, or the empty one where it belongs. */
  #slotOf(length: number): number {
    const mask = this.#slots.length - 1
    let slot = this.#hash(length) & mask
    for (;;) {
      const row = (this.#slots[slot] ?? 0) - 1
      if (row < 0 || (this.#lengths[row] === length && this.#keyIs(row))) return slot
      slot = (slot + 1) & mask
    }
  }

  #keyIs(row: number): boolean {
    const at = row * this.#words
    if (this.#keys[at] !== this.#key[0]) return false
    return (
      this.#words === 1 ||
      (this.#keys[at + 1] === this.#key[1] && this.#keys[at + 2] === this.#key[2] && this.#keys[at + 3] === this.#key[3])
    )
  }

  #hash(length: number): number {
    let hash = length * 0x9e37_79b1
    for (let word = 0; word < this.#words; word++) {
      hash = Math.imul(hash ^ (this.#key[word] ?? 0), 0x85eb_ca6b)
      hash ^= hash >>> 13
    }
    hash = Math.imul(hash, 0xc2b2_ae35)
    return (hash ^ (hash >>> 16)) >>> 0
  }

  /** Empties a slot and moves later ones up, so that no search is cut short. */
  #closeGap(empty: number): void {
    const mask = this.#slots.length - 1
    let gap = empty
    this.#slots[gap] = 0
    for (let slot = (gap + 1) & mask; this.#slots[slot] !== 0; slot = (slot + 1) & mask) {
      const row = (this.#slots[slot] ?? 0) - 1
      this.#loadRow(row)
      const home = this.#hash(this.#lengths[row] ?? 0) & mask
      if (((slot - home) & mask) < ((slot - gap) & mask)) continue // it is at home between the gap and here
      this.#slots[gap] = row + 1
      this.#slots[slot] = 0
      gap = slot
    }
  }

  #grow(): void {
    const capacity = this.#lengths.length * 2
    this.bgpSet = grown(this.bgpSet, capacity)
    this.local = grown(this.local, capacity)
    this.pod = grown(this.pod, capacity)
    this.desired = grown(this.desired, capacity)
    this.installed = grown(this.installed, capacity)
    this.seen = grown(this.seen, capacity)
    this.#keys = grown(this.#keys, capacity * this.#words)
    const lengths = new Uint8Array(capacity)
    lengths.set(this.#lengths)
    this.#lengths = lengths
    const flags = new Uint8Array(capacity)
    flags.set(this.flags)
    this.flags = flags
    const key = this.#key.slice()
    this.#slots = new Int32Array(capacity * 2)
    for (let row = 0; row < this.#high; row++) {
      if (((this.flags[row] ?? 0) & IN_USE) === 0) continue
      this.#loadRow(row)
      this.#slots[this.#slotOf(this.#lengths[row] ?? 0)] = row + 1
    }
    this.#key.set(key)
  }
}

function grown(column: Uint32Array<ArrayBuffer>, capacity: number): Uint32Array<ArrayBuffer> {
  const larger = new Uint32Array(capacity)
  larger.set(column)
  return larger
}

/** Rows waiting for something, first come first served. A row is in it at most once: the caller keeps a flag. */
export class RowQueue {
  #rows = new Uint32Array(1024)
  #from = 0
  #to = 0

  get length(): number {
    return this.#to - this.#from
  }

  push(row: number): void {
    if (this.#to === this.#rows.length) this.#makeRoom()
    this.#rows[this.#to++] = row
  }

  /** The next row, or -1. */
  shift(): number {
    if (this.#from === this.#to) return -1
    const row = this.#rows[this.#from++] ?? -1
    if (this.#from === this.#to) {
      this.#from = 0
      this.#to = 0
    }
    return row
  }

  #makeRoom(): void {
    const waiting = this.#rows.subarray(this.#from, this.#to)
    const room = waiting.length * 2 > this.#rows.length ? new Uint32Array(this.#rows.length * 2) : this.#rows
    room.set(waiting)
    this.#rows = room
    this.#to = waiting.length
    this.#from = 0
  }
}
