// What a peer still has to be told that does not take part in the common stream for the moment: because it reads slowly, has
// just come, or asked for a refresh. Kept as prefixes, never as messages: however slow the peer, this takes a bit or two a
// prefix, and what changes ten times meanwhile is told once (bgp.md 0.5). Telling a whole table begins as a range of rows, so
// that a new peer costs nothing at once.
import { Bits } from './columns.ts'

/** Rows still to be visited. `repeated`: the peer holds what the Adj-RIB-Out says; otherwise it holds nothing of them. */
type Range = { cursor: number; readonly end: number; readonly repeated: boolean }

export class Backlog {
  readonly #dirty = new Bits()
  /** Of the dirty rows those for which the peer still holds an older route: if there is none now, it is owed a withdrawal. */
  readonly #held = new Bits()
  /** With add-path: under which path identifiers. */
  readonly #heldIds = new Map<number, readonly number[]>()
  readonly #ranges: Range[] = []
  #cursor = 0
  #lastTaken: { readonly row: number; readonly isRepeated: boolean } = { row: -1, isRepeated: false }

  get isEmpty(): boolean {
    return this.#dirty.count === 0 && this.#ranges.length === 0
  }

  /** All rows below `end`, for a peer that has been told nothing yet. */
  addAll(end: number): void {
    if (end > 1) this.#ranges.push({ cursor: 1, end, repeated: false })
  }

  /** All rows below `end`, whether the peer has them or not. */
  repeatAll(end: number): void {
    const covered = this.#ranges.toSorted((a, b) => a.cursor - b.cursor)
    let from = 1
    for (const { cursor, end: until } of covered) {
      if (cursor > from) this.#ranges.push({ cursor: from, end: cursor, repeated: true })
      from = Math.max(from, until)
    }
    if (from < end) this.#ranges.push({ cursor: from, end, repeated: true })
  }

  isDirty(row: number): boolean {
    return this.#dirty.has(row) || this.#rangeOf(row) !== undefined
  }

  /** About to change. `held`: the identifiers under which the peer was told of this prefix until now. */
  mark(row: number, held: readonly number[]): void {
    const range = this.#rangeOf(row)
    if (range !== undefined && !range.repeated) return // it holds nothing, and will be told when its turn comes
    if (this.#dirty.add(row)) this.#hold(row, held)
  }

  /** True if a withdrawal may be owed for `row`; otherwise it is no longer of interest here, and may go to another prefix. */
  owes(row: number): boolean {
    if (!this.#dirty.has(row)) return false
    if (this.#held.has(row) || this.#heldIds.has(row)) return true
    this.#dirty.delete(row)
    return false
  }

  /** All rows for which a withdrawal may be owed. */
  *owed(): Generator<number> {
    for (let row = this.#held.next(0); row >= 0; row = this.#held.next(row + 1)) yield row
    yield* this.#heldIds.keys()
  }

  /** The next row, which is in the backlog no longer, or -1. */
  take(): number {
    const range = this.#ranges[0]
    return range === undefined ? this.#takeDirty() : this.#takeFrom(range)
  }

  /** For the row just taken: what the peer holds of old. Null: exactly what the Adj-RIB-Out says. Forgets it. */
  takeHeld(row: number): readonly number[] | null {
    if (this.#lastTaken.row === row && this.#lastTaken.isRepeated) return null
    const ids = this.#heldIds.get(row)
    if (ids !== undefined) {
      this.#heldIds.delete(row)
      return ids
    }
    return this.#held.count > 0 && this.#held.delete(row) ? NO_ID : NOTHING
  }

  /** In a circle, so that no row waits for ever. */
  #takeDirty(): number {
    let row = this.#dirty.next(this.#cursor)
    if (row < 0) row = this.#dirty.next(0)
    if (row < 0) return -1
    this.#dirty.delete(row)
    this.#cursor = row + 1
    this.#lastTaken = NOT_REPEATED
    return row
  }

  #takeFrom(range: Range): number {
    const row = range.cursor++
    if (range.cursor >= range.end) this.#ranges.shift()
    const isRepeated = !this.#dirty.delete(row) && range.repeated
    this.#lastTaken = isRepeated ? { row, isRepeated } : NOT_REPEATED
    return row
  }

  #rangeOf(row: number): Range | undefined {
    return this.#ranges.length === 0 ? undefined : this.#ranges.find(({ cursor, end }) => row >= cursor && row < end)
  }

  #hold(row: number, held: readonly number[]): void {
    if (held.length === 0) return
    if (held.length === 1 && held[0] === 0) this.#held.add(row)
    else this.#heldIds.set(row, held)
  }
}

const NOT_REPEATED = { row: -1, isRepeated: false }

/** Held under the only identifier there is without add-path. */
export const NO_ID: readonly number[] = [0]
export const NOTHING: readonly number[] = []
