// Routes of ours that are not where ours belong: of another metric or TOS, or a second one of the same key. They go once routes may be
// swept. No I/O.
import { REMOVE, type RouteView, type RouteWrites } from './backend.ts'
import type { FibTable } from './fib-table.ts'
import { OUR_METRIC } from './route.ts'

/** True if a route of ours belongs there. */
export function isInPlace({ metric, tos }: RouteView): boolean {
  return metric === OUR_METRIC && tos === 0
}

export class MisplacedRoutes {
  readonly #table: FibTable
  #removals: RouteWrites[] = []

  constructor(table: FibTable) {
    this.#table = table
  }

  get isEmpty(): boolean {
    return this.#removals.length === 0
  }

  /** A read-back begins, or begins again. */
  forget(): void {
    this.#removals = []
  }

  add({ address, length, metric, tos }: RouteView): void {
    const { family, octets } = this.#table
    this.#removals.push({
      family,
      count: 1,
      metric,
      tos,
      operations: Uint8Array.of(REMOVE),
      addresses: address.slice(0, octets),
      lengths: Uint8Array.of(length),
      bodyOf: new Uint32Array(1),
      bodies: [],
    })
  }

  /** The writes that remove them, each once. */
  take(): readonly RouteWrites[] {
    return this.#removals.splice(0)
  }
}
