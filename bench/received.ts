// What one session has received: which prefixes it holds, from which origin AS, as a count and a fingerprint. The same class
// replays what the feeder is about to send, so "converged" means "holds exactly what was fed", not merely "as many".
import { EMPTY_VIEW, type UpdateView, viewUpdate } from './messages.ts'
import { type PrefixTable, routeHash } from './prefix-table.ts'

/** A table in two numbers; see `routeHash`. */
export type Holding = { readonly prefixes: number; readonly fingerprint: number }

export class ReceivedRoutes {
  readonly #table: PrefixTable
  /** By slot of the table: the hash of the held route; 0: not held. */
  readonly #held: Uint32Array
  readonly #routerId: number
  readonly #view: UpdateView = { ...EMPTY_VIEW }
  #prefixes = 0
  #fingerprint = 0
  updates = 0

  /** Several sessions may share one `table`. Routes whose ORIGINATOR_ID is `routerId` are ignored (RFC 4456 §8). */
  constructor(table: PrefixTable, routerId: number) {
    this.#table = table
    this.#held = new Uint32Array(table.slots)
    this.#routerId = routerId
  }

  get holding(): Holding {
    return { prefixes: this.#prefixes, fingerprint: this.#fingerprint >>> 0 }
  }

  holds(expected: Holding): boolean {
    return this.#prefixes === expected.prefixes && this.#fingerprint >>> 0 === expected.fingerprint
  }

  /** Applies the UPDATE in `bytes[start, end)`. Throws RangeError if it is malformed. */
  apply(bytes: Uint8Array, start: number, end: number): void {
    const view = this.#view
    viewUpdate(bytes, start, end, view)
    this.updates++
    if (view.family !== this.#table.family || view.originatorId === this.#routerId) return
    for (let at = view.withdrawnStart; at < view.withdrawnEnd; ) at = this.#set(bytes, at, view.withdrawnEnd, null)
    for (let at = view.announcedStart; at < view.announcedEnd; ) at = this.#set(bytes, at, view.announcedEnd, view.originAsn)
  }

  /** Notes one NLRI as held (or, with null, as not held) and returns where the next begins. */
  #set(bytes: Uint8Array, at: number, end: number, originAsn: number | null): number {
    const bits = bytes[at] ?? 0
    const next = at + 1 + ((bits + 7) >>> 3)
    if (next > end) throw new RangeError(`NLRI of ${bits} bits ends beyond its field`)
    const slot = this.#table.slotOf(bytes, at + 1, bits)
    const before = this.#held[slot] ?? 0
    const hash = originAsn === null ? 0 : routeHash(bytes, at + 1, bits, originAsn) || 1
    if (before === 0 && hash !== 0) this.#prefixes++
    else if (before !== 0 && hash === 0) this.#prefixes--
    this.#fingerprint = (this.#fingerprint + hash - before) | 0
    this.#held[slot] = hash
    return next
  }
}
