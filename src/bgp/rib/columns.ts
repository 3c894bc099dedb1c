// The storage everything else in this folder is made of: typed-array columns that grow, bitmaps and a queue of row numbers.
// A table of a million rows is a dozen arrays and nothing for the garbage collector to trace.

/** Rows are numbered from 1, so that 0 can say "none". */
export const NONE = 0

type Column = Int32Array<ArrayBuffer> | Uint32Array<ArrayBuffer> | Uint16Array<ArrayBuffer> | Uint8Array<ArrayBuffer>

/** A copy of `column` with room for `capacity` rows. The old one is emptied at once, so that no two copies wait for a collection. */
export function regrown<C extends Column>(column: C, capacity: number): C {
  const next = new (column.constructor as new (length: number) => C)(capacity)
  next.set(column)
  column.buffer.transfer(0)
  return next
}

/** Three times as much, or at least `wanted`: what is allocated but not yet touched costs no memory, and each growth copies everything. */
export function nextCapacity(capacity: number, wanted: number): number {
  return Math.max(wanted, capacity * 3, 64)
}

/** A growing set of small numbers. */
export class Bits {
  #words = new Uint32Array(0)
  count = 0

  has(index: number): boolean {
    return (((this.#words[index >>> 5] ?? 0) >>> (index & 31)) & 1) === 1
  }

  /** False if it was in already. */
  add(index: number): boolean {
    const at = index >>> 5
    if (at >= this.#words.length) this.#words = regrown(this.#words, nextCapacity(this.#words.length, at + 1))
    const word = this.#words[at] ?? 0
    const bit = 1 << (index & 31)
    if ((word & bit) !== 0) return false
    this.#words[at] = word | bit
    this.count++
    return true
  }

  /** False if it was not in. */
  delete(index: number): boolean {
    const at = index >>> 5
    const word = this.#words[at] ?? 0
    const bit = 1 << (index & 31)
    if ((word & bit) === 0) return false
    this.#words[at] = word & ~bit
    this.count--
    return true
  }

  /** The first member at or after `from`, or -1. */
  next(from: number): number {
    let at = from >>> 5
    if (at >= this.#words.length) return -1
    let word = (this.#words[at] ?? 0) & (-1 << (from & 31))
    while (word === 0) {
      at++
      if (at >= this.#words.length) return -1
      word = this.#words[at] ?? 0
    }
    return (at << 5) + 31 - Math.clz32(word & -word)
  }

  clear(): void {
    this.#words = new Uint32Array(0)
    this.count = 0
  }
}

const BLOCK_ROWS = 8192

/** First in, first out, in blocks that are given back as they empty. */
export class RowQueue {
  readonly #blocks: Int32Array[] = []
  #spare: Int32Array | null = null
  #head = 0
  #tail = 0
  /** How many rows were ever put in, and taken out: positions in the stream of rows. */
  pushed = 0
  shifted = 0

  get length(): number {
    return this.pushed - this.shifted
  }

  push(row: number): void {
    let block = this.#blocks[this.#blocks.length - 1]
    if (block === undefined || this.#tail === BLOCK_ROWS) {
      block = this.#spare ?? new Int32Array(BLOCK_ROWS)
      this.#spare = null
      this.#blocks.push(block)
      this.#tail = 0
    }
    block[this.#tail++] = row
    this.pushed++
  }

  /** The oldest row, or 0 when empty. */
  shift(): number {
    const block = this.#blocks[0]
    if (block === undefined || this.shifted === this.pushed) return NONE
    const row = block[this.#head++] ?? NONE
    this.shifted++
    if (this.#head === BLOCK_ROWS || this.shifted === this.pushed) {
      this.#blocks.shift()
      this.#spare = block
      this.#head = 0
    }
    return row
  }
}
