// When traffic may rely on this agent (`/readyz`): inputs listed, dataplane synced, the node able to give a pod a network if it is to,
// and the sessions that were up before this start are back, or had their restart time to come back.
import type { Clock } from '../lib/clock.ts'

/** How long a session of before may take to come back; peers keep our routes for 120 s by default. */
const COME_BACK_MS = 120_000

const NOT_LISTED = 'the store has not been listed yet'
const NOT_SYNCED = 'the kernel routes have not been synced yet'
const NO_PODS = 'no pod can be given a network yet (CNI)'

export class Readiness {
  readonly #clock: Clock
  readonly #startedAtMs: number
  readonly #missing: Set<string>
  #awaited: ReadonlySet<string>

  constructor(clock: Clock, peersUpBefore: readonly string[], servesPods = false) {
    this.#missing = new Set([NOT_LISTED, NOT_SYNCED, ...(servesPods ? [NO_PODS] : [])])
    this.#clock = clock
    this.#startedAtMs = clock.nowMs()
    this.#awaited = new Set(peersUpBefore)
  }

  storeListed(): void {
    this.#missing.delete(NOT_LISTED)
  }

  dataplaneSynced(): void {
    this.#missing.delete(NOT_SYNCED)
  }

  /** A pool that is exhausted later is no matter of readiness, but of CNI STATUS. */
  podsReady(): void {
    this.#missing.delete(NO_PODS)
  }

  /** Sessions that are up now, and the peers that are configured at all: nobody waits for one that was removed. */
  sessions(established: readonly string[], configured: readonly string[]): void {
    const up = new Set(established)
    const known = new Set(configured)
    this.#awaited = new Set([...this.#awaited].filter((peer) => known.has(peer) && !up.has(peer)))
  }

  /** In words; empty when ready. */
  reasons(): readonly string[] {
    const isWaiting = this.#clock.nowMs() - this.#startedAtMs < COME_BACK_MS
    const sessions = isWaiting
      ? [...this.#awaited].map((peer) => `the session with ${peer} was up before the restart and is not back yet`)
      : []
    return [...this.#missing, ...sessions]
  }
}
