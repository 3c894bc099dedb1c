// Reads back what the kernel holds: by plan, and as soon as there is doubt, but never for more than a fifth of the time, however much
// reason for doubt the kernel gives (shell).
import type { Clock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import { IP_FAMILIES } from '../net/index.ts'
import type { RouteBackend } from './backend.ts'
import type { RouteTables } from './tables.ts'

const GAP_MS = 250
const GAP_FACTOR = 4

export type ReadBackDeps = {
  readonly backend: RouteBackend
  readonly tables: RouteTables
  readonly clock: Clock
  readonly log: Log
  /** How often everything is read though nothing seems to have changed. */
  readonly intervalMs: number
}

export class ReadBack {
  readonly #deps: ReadBackDeps
  #lastMs = Number.NEGATIVE_INFINITY
  #tookMs = 0

  constructor(deps: ReadBackDeps) {
    this.#deps = deps
  }

  /** When everything is to be read by plan. */
  get dueMs(): number {
    return this.#lastMs + this.#deps.intervalMs
  }

  /** Not before this, though there is doubt. */
  get mayRunAtMs(): number {
    return this.#lastMs + Math.max(GAP_MS, GAP_FACTOR * this.#tookMs)
  }

  /** Somebody asked for it: it may run at once. */
  expedite(): void {
    this.#lastMs = Number.NEGATIVE_INFINITY
  }

  /** Reads what is in doubt. Throws `RouteBackendError` if the kernel does not answer. */
  run(): void {
    const { backend, tables, clock, log } = this.#deps
    const startedMs = clock.nowMs()
    if (tables.isHostInDoubt) {
      const { links, addresses } = backend.listLinks()
      tables.host.replaceAll(links, addresses)
      tables.isHostInDoubt = false
      tables.pods.linksRead()
    }
    for (const family of IP_FAMILIES) {
      const fib = tables.fibs[family]
      if (!fib.isInDoubt) continue
      const wasBlind = fib.isBlind
      const outcome = backend.listRoutes(family, {
        restart: () => fib.startReadBack(),
        route: (view) => {
          if (!tables.isOfPodLink(view)) fib.readRoute(view)
        },
      })
      const missing = fib.finishReadBack(outcome)
      if (missing > 0 && !wasBlind) log.warn('routes.drift.found', { family, missing })
    }
    this.#lastMs = clock.nowMs()
    this.#tookMs = this.#lastMs - startedMs
  }
}
