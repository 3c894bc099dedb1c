// Attribute sets by their octets: what one session has decoded it does not decode again. Bounded in memory and in time: when it
// is full, or when hashes collide more than chance explains (a hostile peer), everything is forgotten and learned anew.
import type { AttributeVerdict } from './attribute-verdict.ts'

const MAX_ENTRIES = 16_384
const MAX_KEY_OCTETS = 2 * 1024 * 1024
const MAX_PROBES = 64

/** The octets that identify an attribute set, as ranges of a message: `[start, end)` pairs. Reused. */
export class KeyRanges {
  readonly bounds = new Int32Array(8)
  count = 0
  /** What the message offers to apply the attributes to, and the length of the next hop in the last range. */
  shape = 0

  clear(): void {
    this.count = 0
    this.shape = 0
  }

  add(start: number, end: number): void {
    if (end <= start) return
    this.bounds[this.count] = start
    this.bounds[this.count + 1] = end
    this.count += 2
  }
}

export class AttributeCache {
  readonly #maxEntries: number
  readonly #maxKeyOctets: number
  /** Open addressing, linear probing: entry number + 1, or 0. Always at least twice as many slots as entries. */
  #slots = new Int32Array(32)
  #hashes = new Int32Array(16)
  #shapes = new Int32Array(16)
  #offsets = new Int32Array(16)
  #lengths = new Int32Array(16)
  #verdicts: AttributeVerdict[] = []
  #keys = new Uint8Array(1024)
  #keysLength = 0
  #lastHash = 0
  #isCrowded = false

  constructor(limits: { readonly maxEntries?: number; readonly maxKeyOctets?: number } = {}) {
    this.#maxEntries = limits.maxEntries ?? MAX_ENTRIES
    this.#maxKeyOctets = limits.maxKeyOctets ?? MAX_KEY_OCTETS
  }

  /** Attribute sets remembered now. */
  get size(): number {
    return this.#verdicts.length
  }

  find(bytes: Uint8Array, key: KeyRanges): AttributeVerdict | undefined {
    const { bounds, count, shape } = key
    let hash = shape | 0
    let length = 0
    for (let range = 0; range < count; range += 2) {
      const end = bounds[range + 1] ?? 0
      const start = bounds[range] ?? 0
      length += end - start
      for (let at = start; at < end; at++) hash = Math.imul(hash ^ (bytes[at] ?? 0), 0x0100_0193) // FNV-1a
    }
    hash ^= hash >>> 15
    this.#lastHash = hash
    const mask = this.#slots.length - 1
    for (let probe = 0; probe < MAX_PROBES; probe++) {
      const entry = (this.#slots[(hash + probe) & mask] ?? 0) - 1
      if (entry < 0) return undefined
      if (this.#hashes[entry] === hash && this.#shapes[entry] === shape && this.#lengths[entry] === length && this.#same(bytes, key, entry))
        return this.#verdicts[entry]
    }
    this.#isCrowded = true
    return undefined
  }

  /** Remembers the verdict on the set `find` has just not found. */
  add(bytes: Uint8Array, key: KeyRanges, verdict: AttributeVerdict): void {
    let length = 0
    for (let range = 0; range < key.count; range += 2) length += (key.bounds[range + 1] ?? 0) - (key.bounds[range] ?? 0)
    if (length > this.#maxKeyOctets) return
    if (this.#isCrowded || this.#verdicts.length >= this.#maxEntries || this.#keysLength + length > this.#maxKeyOctets) this.clear()
    this.#grow(length)
    const entry = this.#verdicts.length
    this.#verdicts.push(verdict)
    this.#hashes[entry] = this.#lastHash
    this.#shapes[entry] = key.shape
    this.#offsets[entry] = this.#keysLength
    this.#lengths[entry] = length
    for (let range = 0; range < key.count; range += 2) {
      const start = key.bounds[range] ?? 0
      const end = key.bounds[range + 1] ?? 0
      this.#keys.set(bytes.subarray(start, end), this.#keysLength)
      this.#keysLength += end - start
    }
    this.#link(entry)
  }

  clear(): void {
    this.#slots.fill(0)
    this.#verdicts = []
    this.#keysLength = 0
    this.#isCrowded = false
  }

  #same(bytes: Uint8Array, key: KeyRanges, entry: number): boolean {
    const keys = this.#keys
    let keyAt = this.#offsets[entry] ?? 0
    for (let range = 0; range < key.count; range += 2) {
      const end = key.bounds[range + 1] ?? 0
      for (let at = key.bounds[range] ?? 0; at < end; at++) if (bytes[at] !== keys[keyAt++]) return false
    }
    return true
  }

  #link(entry: number): void {
    const mask = this.#slots.length - 1
    let slot = (this.#hashes[entry] ?? 0) & mask
    while (this.#slots[slot] !== 0) slot = (slot + 1) & mask
    this.#slots[slot] = entry + 1
  }

  #grow(keyOctets: number): void {
    if (this.#keysLength + keyOctets > this.#keys.length) {
      const grown = new Uint8Array(Math.max(this.#keysLength + keyOctets, this.#keys.length * 2))
      grown.set(this.#keys.subarray(0, this.#keysLength))
      this.#keys = grown
    }
    const entries = this.#verdicts.length
    if (entries < this.#hashes.length) return
    this.#hashes = doubled(this.#hashes)
    this.#shapes = doubled(this.#shapes)
    this.#offsets = doubled(this.#offsets)
    this.#lengths = doubled(this.#lengths)
    this.#slots = new Int32Array(this.#slots.length * 2)
    for (let entry = 0; entry < entries; entry++) this.#link(entry)
  }
}

function doubled(column: Int32Array): Int32Array<ArrayBuffer> {
  const grown = new Int32Array(column.length * 2)
  grown.set(column)
  return grown
}
