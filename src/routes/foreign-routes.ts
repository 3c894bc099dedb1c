// Routes of others, for every prefix where there is one: they may shadow ours, or hold the place ours would take. Pure.
import type { RouteChangeKind, RouteView } from './backend.ts'
import { type FibTable, FOREIGN } from './fib-table.ts'
import { bodyKey, isConnected, type KernelRoute, OUR_METRIC, winsOverOurs } from './route.ts'

export class ForeignRoutes {
  /** Counts changes. */
  version = 0
  readonly #table: FibTable
  readonly #onChanged: (row: number) => void
  readonly #byRow = new Map<number, readonly KernelRoute[]>()
  #read = new Map<number, readonly KernelRoute[]>()

  /** `onChanged` hears of every row whose foreign routes are not what they were. */
  constructor(table: FibTable, onChanged: (row: number) => void) {
    this.#table = table
    this.#onChanged = onChanged
  }

  *all(): Generator<KernelRoute> {
    for (const routes of this.#byRow.values()) yield* routes
  }

  rows(): Iterable<number> {
    return this.#byRow.keys()
  }

  /** The route that packets take instead of ours, if any. */
  shadowOf(row: number): KernelRoute | null {
    return this.#byRow.get(row)?.find(winsOverOurs) ?? null
  }

  /** How routes of others bear on writing ours: see `Row` in plan.ts. */
  claimOn(row: number): 'none' | 'taken' | 'connected' {
    const routes = this.#byRow.get(row) ?? []
    if (this.#table.family === 6 && routes.some(isConnected)) return 'connected'
    return routes.some(({ metric, tos }) => metric === OUR_METRIC && tos === 0) ? 'taken' : 'none'
  }

  startReadBack(): void {
    this.#read = new Map()
  }

  readRoute(row: number, view: RouteView): void {
    this.#read.set(row, [...(this.#read.get(row) ?? []), this.#routeOf(row, view)])
  }

  finishReadBack(): void {
    for (const row of new Set([...this.#byRow.keys(), ...this.#read.keys()])) this.#set(row, this.#read.get(row) ?? [])
    this.#read = new Map()
  }

  /** Takes in an event. `unsure`: it does not fit what we knew, so the kernel must be read to know. */
  change(row: number, view: RouteView, change: RouteChangeKind): 'known' | 'unsure' {
    const route = this.#routeOf(row, view)
    const known = this.#byRow.get(row) ?? []
    const first = known.findIndex((other) => sameKey(other, route))
    if (change === 'removed') {
      const gone = known.findIndex((other) => sameRoute(other, route))
      if (gone < 0) return first < 0 ? 'known' : 'unsure' // one next hop of several, say
      this.#set(row, known.toSpliced(gone, 1))
      return 'known'
    }
    if (change === 'replaced' && first >= 0) this.#set(row, known.with(first, route))
    else if (!known.some((other) => sameRoute(other, route))) this.#set(row, [...known, route])
    return change === 'appended' ? 'unsure' : 'known'
  }

  /** Forgets routes that the kernel drops without a word. */
  forget(isGone: (route: KernelRoute) => boolean): void {
    for (const [row, routes] of Array.from(this.#byRow)) {
      const left = routes.filter((route) => !isGone(route))
      if (left.length !== routes.length) this.#set(row, left)
    }
  }

  #set(row: number, routes: readonly KernelRoute[]): void {
    const before = this.#byRow.get(row) ?? []
    if (routes.length === before.length && routes.every((route, at) => sameRoute(route, before[at]))) return
    this.version++
    const flags = this.#table.flags[row] ?? 0
    if (routes.length === 0) this.#byRow.delete(row)
    else this.#byRow.set(row, routes)
    this.#table.flags[row] = routes.length === 0 ? flags & ~FOREIGN : flags | FOREIGN
    this.#onChanged(row)
  }

  #routeOf(row: number, { body, protocol, metric, tos }: RouteView): KernelRoute {
    return { prefix: this.#table.prefixOf(row), body, protocol, metric, tos }
  }
}

function sameKey(a: KernelRoute, b: KernelRoute): boolean {
  return a.metric === b.metric && a.tos === b.tos
}

function sameRoute(a: KernelRoute, b: KernelRoute | undefined): boolean {
  return b !== undefined && sameKey(a, b) && a.protocol === b.protocol && (a.body === b.body || bodyKey(a.body) === bodyKey(b.body))
}
