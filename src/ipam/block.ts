// One block in memory: which address has whom, and which free one has rested longest. Made from a `BlockRecord`, changed in place,
// and turned into a record again for the compare-and-swap; nothing here is remembered past that. Every operation on one address
// takes constant time: the free ones are a doubly linked list in typed arrays, those never used first, then in order of release.
import { bitsOf, containsAddress, familyOf, type IpAddress, ipv4, ipv6, isIpv4, type Prefix } from '../net/index.ts'
import type { BlockAllocation, BlockRecord, BlockReleased } from './block-record.ts'

/** Who gets an address. */
export type AllocationOwner = Pick<BlockAllocation, 'handle' | 'pod' | 'node' | 'time'>
/** An address and the sequence that names what was just done with it. */
export type Named = { readonly address: IpAddress; readonly sequence: number }
/** What there is at one address. */
export type BlockEntry =
  | { readonly kind: 'free' }
  | { readonly kind: 'allocated'; readonly sequence: number; readonly owner: AllocationOwner }
  | { readonly kind: 'reserved'; readonly sequence: number; readonly node: string }

export type BlockReading = {
  /** Addresses that are never handed out. */
  readonly reservations: readonly Prefix[]
  /** When, by the reader's own monotonic clock, a released address has rested enough. */
  readonly readyAtMs: (released: BlockReleased) => number
}

export type BlockCounts = { readonly allocated: number; readonly reserved: number; readonly free: number; readonly cooling: number }

const FREE = 0
const ALLOCATED = 1
const RESERVED = 2
const NONE = -1
const LARGEST = 2 ** 16

export class Block {
  readonly #record: BlockRecord
  readonly #size: number
  readonly #use: Uint8Array
  readonly #sequences: Float64Array
  readonly #owners: (AllocationOwner | null)[]
  readonly #reservers: (string | null)[]
  /** Of free addresses. */
  readonly #readyAtMs: Float64Array
  readonly #releasedAt: (string | null)[]
  readonly #wasUsed: Uint8Array
  readonly #excluded: Uint8Array
  readonly #next: Int32Array
  readonly #previous: Int32Array
  #head = NONE
  #tail = NONE
  #sequence: number
  #allocated = 0
  #reserved = 0
  #changes = 0

  /** Throws RangeError for a range of more than 65,536 addresses. */
  constructor(record: BlockRecord, { reservations, readyAtMs }: BlockReading) {
    this.#record = record
    this.#size = blockSizeOf(record.range)
    if (this.#size > LARGEST) throw new RangeError(`a block has at most ${LARGEST} addresses`)
    this.#sequence = record.sequence
    this.#use = new Uint8Array(this.#size)
    this.#sequences = new Float64Array(this.#size)
    this.#owners = Array.from({ length: this.#size }, (): AllocationOwner | null => null)
    this.#reservers = Array.from({ length: this.#size }, (): string | null => null)
    this.#readyAtMs = new Float64Array(this.#size)
    this.#releasedAt = Array.from({ length: this.#size }, (): string | null => null)
    this.#wasUsed = new Uint8Array(this.#size)
    this.#excluded = new Uint8Array(this.#size)
    this.#next = new Int32Array(this.#size).fill(NONE)
    this.#previous = new Int32Array(this.#size).fill(NONE)
    this.#exclude(reservations)
    this.#read(record, readyAtMs)
  }

  /** How many operations have changed something. */
  get changes(): number {
    return this.#changes
  }

  /** What there is at an address of the block. Throws RangeError for any other. */
  at(address: IpAddress): BlockEntry {
    const offset = this.#offsetOf(address)
    const owner = this.#owners[offset] ?? null
    if (owner !== null) return { kind: 'allocated', sequence: this.#sequences[offset] ?? 0, owner }
    const node = this.#reservers[offset] ?? null
    if (node !== null) return { kind: 'reserved', sequence: this.#sequences[offset] ?? 0, node }
    return { kind: 'free' }
  }

  /** Gives `owner` the address that has been free for longest; null if there is none that has rested enough. */
  assign(owner: AllocationOwner, nowMs: number): Named | null {
    const offset = this.#head
    if (offset === NONE || (this.#readyAtMs[offset] ?? 0) > nowMs) return null
    this.#allocate(offset, owner, ++this.#sequence)
    return { address: this.#addressOf(offset), sequence: this.#sequence }
  }

  /** Claims for `node` the address that has been free for longest; null as above. */
  reserve(node: string, nowMs: number): Named | null {
    const offset = this.#head
    if (offset === NONE || (this.#readyAtMs[offset] ?? 0) > nowMs) return null
    return this.#claim(offset, node)
  }

  /** Claims this very address, rested or not; null if it is not free. */
  reserveAt(address: IpAddress, node: string): Named | null {
    const offset = this.#offsetOf(address)
    return this.#use[offset] === FREE ? this.#claim(offset, node) : null
  }

  /** Writes down an allocation that was made before, under its own name. The address must be free or claimed ahead: check first. */
  record(address: IpAddress, owner: AllocationOwner, sequence: number): void {
    const offset = this.#offsetOf(address)
    if (this.#use[offset] === ALLOCATED) throw new RangeError('the address is allocated already')
    if (sequence > this.#sequence) this.#sequence = sequence
    this.#allocate(offset, owner, sequence)
  }

  /** Frees what `handle` has at this address under this sequence; false, and nothing changes, if that is not what is there. */
  release(
    address: IpAddress,
    handle: string,
    sequence: number,
    freed: { readonly time: string | null; readonly readyAtMs: number },
  ): boolean {
    const offset = this.#offsetOf(address)
    if (this.#use[offset] !== ALLOCATED || this.#sequences[offset] !== sequence || this.#owners[offset]?.handle !== handle) return false
    this.#free(offset, freed)
    return true
  }

  /** Frees an address claimed ahead that was handed out, although the block never showed it. False as above. */
  releaseReserved(
    address: IpAddress,
    node: string,
    sequence: number,
    freed: { readonly time: string | null; readonly readyAtMs: number },
  ): boolean {
    const offset = this.#offsetOf(address)
    if (this.#use[offset] !== RESERVED || this.#sequences[offset] !== sequence || this.#reservers[offset] !== node) return false
    this.#free(offset, freed)
    return true
  }

  /** Gives up an address claimed ahead and never handed out: it need not rest. False as above. */
  unreserve(address: IpAddress, node: string, sequence: number): boolean {
    const offset = this.#offsetOf(address)
    if (this.#use[offset] !== RESERVED || this.#sequences[offset] !== sequence || this.#reservers[offset] !== node) return false
    this.#vacate(offset)
    this.#readyAtMs[offset] = Number.NEGATIVE_INFINITY
    this.#wasUsed[offset] = 0
    if (this.#excluded[offset] === 0) this.#linkFirst(offset)
    return true
  }

  counts(nowMs: number): BlockCounts {
    let free = 0
    let cooling = 0
    for (let offset = this.#head; offset !== NONE; offset = this.#next[offset] ?? NONE) {
      if ((this.#readyAtMs[offset] ?? 0) > nowMs) cooling++
      else free++
    }
    return { allocated: this.#allocated, reserved: this.#reserved, free, cooling }
  }

  /** The block as it is to be kept. */
  toRecord(): BlockRecord {
    const allocations: BlockAllocation[] = []
    const reserves: { address: IpAddress; node: string; sequence: number }[] = []
    for (let offset = 0; offset < this.#size; offset++) {
      const use = this.#use[offset]
      if (use === FREE) continue
      const named = { address: this.#addressOf(offset), sequence: this.#sequences[offset] ?? 0 }
      const owner = this.#owners[offset] ?? null
      const reserver = this.#reservers[offset] ?? null
      if (owner !== null) allocations.push({ ...named, handle: owner.handle, pod: owner.pod, node: owner.node, time: owner.time })
      else if (reserver !== null) reserves.push({ ...named, node: reserver })
    }
    return { ...this.#record, sequence: this.#sequence, allocations, reserves, released: this.#released() }
  }

  #released(): readonly BlockReleased[] {
    const released: BlockReleased[] = []
    const push = (offset: number): void => {
      released.push({
        address: this.#addressOf(offset),
        sequence: this.#sequences[offset] ?? 0,
        time: this.#releasedAt[offset] ?? null,
      })
    }
    for (let offset = this.#head; offset !== NONE; offset = this.#next[offset] ?? NONE) if (this.#wasUsed[offset] === 1) push(offset)
    for (let offset = 0; offset < this.#size; offset++) {
      if (this.#excluded[offset] === 1 && this.#use[offset] === FREE && this.#wasUsed[offset] === 1) push(offset) // not in the list
    }
    return released
  }

  #exclude(reservations: readonly Prefix[]): void {
    const { range } = this.#record
    for (const reservation of reservations) {
      if (containsAddress(reservation, range.address) && reservation.length <= range.length) this.#excluded.fill(1)
      else if (containsAddress(range, reservation.address)) {
        const from = this.#offsetOf(reservation.address)
        this.#excluded.fill(1, from, from + blockSizeOf(reservation))
      }
    }
  }

  #read(record: BlockRecord, readyAtMs: (released: BlockReleased) => number): void {
    for (const { address, sequence, ...owner } of record.allocations) {
      if (!containsAddress(record.range, address)) continue
      const offset = this.#offsetOf(address)
      if (this.#use[offset] !== FREE) continue
      this.#use[offset] = ALLOCATED
      this.#sequences[offset] = sequence
      this.#owners[offset] = owner
      this.#allocated++
    }
    for (const { address, sequence, node } of record.reserves) {
      if (!containsAddress(record.range, address)) continue
      const offset = this.#offsetOf(address)
      if (this.#use[offset] !== FREE) continue
      this.#use[offset] = RESERVED
      this.#sequences[offset] = sequence
      this.#reservers[offset] = node
      this.#reserved++
    }
    const rested: number[] = []
    for (const released of record.released) {
      if (!containsAddress(record.range, released.address)) continue
      const offset = this.#offsetOf(released.address)
      if (this.#use[offset] !== FREE || this.#wasUsed[offset] === 1) continue
      this.#wasUsed[offset] = 1
      this.#sequences[offset] = released.sequence
      this.#releasedAt[offset] = released.time
      this.#readyAtMs[offset] = readyAtMs(released)
      rested.push(offset)
    }
    for (let offset = 0; offset < this.#size; offset++) {
      if (this.#use[offset] !== FREE || this.#wasUsed[offset] === 1) continue
      this.#readyAtMs[offset] = Number.NEGATIVE_INFINITY
      if (this.#excluded[offset] === 0) this.#linkLast(offset)
    }
    for (const offset of rested) if (this.#excluded[offset] === 0) this.#linkLast(offset)
  }

  #allocate(offset: number, owner: AllocationOwner, sequence: number): void {
    this.#vacate(offset)
    this.#use[offset] = ALLOCATED
    this.#sequences[offset] = sequence
    this.#owners[offset] = owner
    this.#allocated++
  }

  #claim(offset: number, node: string): Named {
    this.#vacate(offset)
    const sequence = ++this.#sequence
    this.#use[offset] = RESERVED
    this.#sequences[offset] = sequence
    this.#reservers[offset] = node
    this.#reserved++
    return { address: this.#addressOf(offset), sequence }
  }

  /** Takes an address out of whatever it is in: the list of free ones, or somebody's hands. Counts one change. */
  #vacate(offset: number): void {
    this.#changes++
    if (this.#use[offset] === ALLOCATED) this.#allocated--
    else if (this.#use[offset] === RESERVED) this.#reserved--
    else if (this.#excluded[offset] === 0) this.#unlink(offset)
    this.#use[offset] = FREE
    this.#owners[offset] = null
    this.#reservers[offset] = null
  }

  #free(offset: number, { time, readyAtMs }: { readonly time: string | null; readonly readyAtMs: number }): void {
    this.#vacate(offset)
    this.#sequences[offset] = ++this.#sequence
    this.#wasUsed[offset] = 1
    this.#releasedAt[offset] = time
    this.#readyAtMs[offset] = readyAtMs
    if (this.#excluded[offset] === 0) this.#linkLast(offset)
  }

  #linkLast(offset: number): void {
    this.#next[offset] = NONE
    this.#previous[offset] = this.#tail
    if (this.#tail === NONE) this.#head = offset
    else this.#next[this.#tail] = offset
    this.#tail = offset
  }

  #linkFirst(offset: number): void {
    this.#previous[offset] = NONE
    this.#next[offset] = this.#head
    if (this.#head === NONE) this.#tail = offset
    else this.#previous[this.#head] = offset
    this.#head = offset
  }

  #unlink(offset: number): void {
    const next = this.#next[offset] ?? NONE
    const previous = this.#previous[offset] ?? NONE
    if (previous === NONE) this.#head = next
    else this.#next[previous] = next
    if (next === NONE) this.#tail = previous
    else this.#previous[next] = previous
  }

  #offsetOf(address: IpAddress): number {
    const base = this.#record.range.address
    const offset = isIpv4(address) && isIpv4(base) ? address - base : Number(BigInt(address) - BigInt(base))
    if (offset < 0 || offset >= this.#size || isIpv4(address) !== isIpv4(base)) throw new RangeError('the address is not in the block')
    return offset
  }

  #addressOf(offset: number): IpAddress {
    const base = this.#record.range.address
    return isIpv4(base) ? ipv4(base + offset) : ipv6(base + BigInt(offset))
  }
}

/** Addresses of a prefix, as a number that is exact up to 2^53. */
export function blockSizeOf(range: Prefix): number {
  return 2 ** (bitsOf(familyOf(range.address)) - range.length)
}
