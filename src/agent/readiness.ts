// When traffic may rely on this agent (`/readyz`): inputs listed, dataplane synced, and the sessions that were up before this
// start are back, or had their restart time to come back.
import type { Clock } from '../lib/clock.ts'

/** How long a session of before may take to come back; peers keep our routes for 120 s by default. */
const COME_BACK_MS = 120_000

export class Readiness {
  readonly #clock: Clock
  readonly #startedAtMs: number
  readonly #missing = new Set<string>(['the store has not been listed yet', 'the kernel routes have not been synced yet'])
  #awaited: ReadonlySet<string>

  constructor(clock: Clock, peersUpBefore: readonly string[]) {
    this.#clock = clock
    this.#startedAtMs = clock.nowMs()
    this.#awaited = new Set(peersUpBefore)
  }

  storeListed(): void {
    this.#missing.delete('the store has not been listed yet')
  }

  dataplaneSynced(): void {
    this.#missing.delete('the kernel routes have not been synced yet')
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
