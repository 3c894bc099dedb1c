// What a peer still has to be told that does not take part in the common stream for the moment: because it reads slowly, has
// just come, or asked for a refresh. Kept as prefixes, never as messages: however slow the peer, this takes a bit or two a
// prefix, and what changes ten times meanwhile is told once (bgp.md 0.5).
import { Bits } from './columns.ts'

export class Backlog {
  readonly #dirty = new Bits()
  /** Of the dirty rows those for which the peer still holds an older route: if there is none now, it is owed a withdrawal. */
  readonly #held = new Bits()
  /** With add-path: under which path identifiers. */
  readonly #heldIds = new Map<number, readonly number[]>()
  /** Dirty only because the peer asked to hear it again: it holds exactly what the Adj-RIB-Out says. */
  readonly #repeated = new Bits()
  #cursor = 0

  get count(): number {
    return this.#dirty.count
  }

  /** The rows of a peer that has been told nothing yet. */
  markNew(row: number): void {
    this.#dirty.add(row)
  }

  /** Rows to be told again although the peer has them. */
  markRepeated(row: number): void {
    if (this.#dirty.add(row)) this.#repeated.add(row)
  }

  /** About to change. `held`: the identifiers under which the peer was told of this prefix until now. */
  mark(row: number, held: readonly number[]): void {
    if (this.#repeated.count > 0 && this.#repeated.delete(row)) this.#hold(row, held)
    else if (this.#dirty.add(row)) this.#hold(row, held)
  }

  /** True if a withdrawal may be owed for `row`; otherwise it is no longer of interest here, and may go to another prefix. */
  owes(row: number): boolean {
    if (!this.#dirty.has(row)) return false
    if (this.#held.has(row) || this.#heldIds.has(row) || this.#repeated.has(row)) return true
    this.#dirty.delete(row)
    return false
  }

  /** The next dirty row, which is dirty no longer, or -1. Goes round in a circle, so that no row waits for ever. */
  take(): number {
    let row = this.#dirty.next(this.#cursor)
    if (row < 0) row = this.#dirty.next(0)
    if (row < 0) return -1
    this.#dirty.delete(row)
    this.#cursor = row + 1
    return row
  }

  /** For a row just taken: what the peer holds of old. Null: exactly what the Adj-RIB-Out says. Forgets it. */
  takeHeld(row: number): readonly number[] | null {
    if (this.#repeated.count > 0 && this.#repeated.delete(row)) return null
    const ids = this.#heldIds.get(row)
    if (ids !== undefined) {
      this.#heldIds.delete(row)
      return ids
    }
    return this.#held.count > 0 && this.#held.delete(row) ? NO_ID : NOTHING
  }

  isDirty(row: number): boolean {
    return this.#dirty.has(row)
  }

  #hold(row: number, held: readonly number[]): void {
    if (held.length === 0) return
    if (held.length === 1 && held[0] === 0) this.#held.add(row)
    else this.#heldIds.set(row, held)
  }
}

/** Held under the only identifier there is without add-path. */
export const NO_ID: readonly number[] = [0]
export const NOTHING: readonly number[] = []
