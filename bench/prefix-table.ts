// Prefixes to slot numbers, by open addressing over one typed array. The hash keeps neighbours together (consecutive /24s or
// /48s get consecutive slots), because that is how routes arrive: counting a run of eight then costs one or two cache lines.
import type { Family } from '../src/bgp/family.ts'

const KEY_WORDS = { IPv4Unicast: 2, IPv6Unicast: 5 } as const

export class PrefixTable {
  readonly family: Family
  /** Slot numbers are below this. */
  readonly slots: number
  readonly #mask: number
  readonly #keys: Uint32Array
  readonly #stride: number
  readonly #limit: number
  #size = 0

  /** Room for `capacity` prefixes; more throw RangeError. */
  constructor(family: Family, capacity: number) {
    this.family = family
    this.slots = 2 ** Math.ceil(Math.log2(Math.max(16, capacity * 1.5)))
    this.#mask = this.slots - 1
    this.#limit = Math.floor(this.slots * 0.9)
    this.#stride = KEY_WORDS[family]
    this.#keys = new Uint32Array(this.slots * this.#stride)
  }

  get size(): number {
    return this.#size
  }

  /** The slot of a prefix, which stays the same for the life of the table; `at` is the first octet after the length. */
  slotOf(bytes: Uint8Array, at: number, bits: number): number {
    const octets = (bits + 7) >>> 3
    const first = word(bytes, at, octets)
    return this.#stride === 2 ? this.#slotOf4(first, bits) : this.#slotOf6(first, bytes, at, octets, bits)
  }

  #slotOf4(first: number, bits: number): number {
    const keys = this.#keys
    const mask = this.#mask
    let slot = ((first >>> 8) + Math.imul(bits, 0x9e37_79b1) + Math.imul(first & 0xff, 0x85eb_ca6b)) & mask
    for (;;) {
      const at = slot << 1
      const length = keys[at + 1]
      if (length === bits + 1 && keys[at] === first) return slot
      if (length === 0) {
        this.#take()
        keys[at] = first
        keys[at + 1] = bits + 1
        return slot
      }
      slot = (slot + 1) & mask
    }
  }

  #slotOf6(first: number, bytes: Uint8Array, at: number, octets: number, bits: number): number {
    const keys = this.#keys
    const mask = this.#mask
    const second = word(bytes, at + 4, octets - 4)
    const third = word(bytes, at + 8, octets - 8)
    const fourth = word(bytes, at + 12, octets - 12)
    const spread = Math.imul(first, 0x1000_0) + Math.imul(third ^ fourth ^ (second & 0xffff), 0x85eb_ca6b) + Math.imul(bits, 0x9e37_79b1)
    let slot = ((second >>> 16) + spread) & mask
    for (;;) {
      const key = slot * 5
      const length = keys[key + 4]
      if (length === bits + 1 && keys[key] === first && keys[key + 1] === second && keys[key + 2] === third && keys[key + 3] === fourth)
        return slot
      if (length === 0) {
        this.#take()
        keys[key] = first
        keys[key + 1] = second
        keys[key + 2] = third
        keys[key + 3] = fourth
        keys[key + 4] = bits + 1
        return slot
      }
      slot = (slot + 1) & mask
    }
  }

  #take(): void {
    if (this.#size >= this.#limit) throw new RangeError(`more than ${this.#limit} distinct prefixes`)
    this.#size++
  }
}

function word(bytes: Uint8Array, at: number, octets: number): number {
  if (octets >= 4)
    return (((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)) >>> 0
  if (octets === 3) return (((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8)) >>> 0
  if (octets === 2) return (((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16)) >>> 0
  return octets === 1 ? ((bytes[at] ?? 0) << 24) >>> 0 : 0
}

/**
 * A 32-bit number that stands for "this prefix with this origin AS". Their sum modulo 2^32 is the fingerprint of a table:
 * independent of order, and changed by a missing, a wrong or a doubled route.
 */
export function routeHash(bytes: Uint8Array, at: number, bits: number, originAsn: number): number {
  let hash = Math.imul(originAsn ^ 0x27d4_eb2f, 0x9e37_79b1) ^ bits
  for (let octet = 0; octet < bits; octet += 8) hash = Math.imul(hash ^ (bytes[at + (octet >>> 3)] ?? 0), 0x0100_0193)
  hash ^= hash >>> 15
  hash = Math.imul(hash, 0x85eb_ca6b)
  return (hash ^ (hash >>> 13)) >>> 0
}
