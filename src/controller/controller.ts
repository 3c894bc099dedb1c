// One replica of the controller: takes part in the election, and leads while it is elected.
import { type Clock, systemClock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import { createBlockStore, type Store } from '../store/index.ts'
import type { ElectionTimes } from './election/election.ts'
import { Elector, type ElectorView } from './election/elector.ts'
import { Leader, type LeaderView } from './leader.ts'
import type { ControllerOptions } from './options.ts'
import { LEASE_NAME } from './rights.ts'

export type ControllerDeps = Pick<ControllerOptions, 'namespace' | 'identity' | 'leakGraceMs' | 'statusIntervalMs'> & {
  readonly store: Store
  readonly log: Log
  readonly clock?: Clock
  readonly times?: ElectionTimes
  readonly random?: () => number
}

/** `leader` null: this replica does not lead. */
export type ControllerView = { readonly election: ElectorView; readonly leader: LeaderView | null }

/** A turn or look that takes longer is stuck: every request in it has a deadline far below. */
const STUCK_AFTER_MS = 300_000

export class Controller implements AsyncDisposable {
  readonly #deps: ControllerDeps
  readonly #elector: Elector
  readonly #clock: Clock
  #leader: Leader | null = null

  constructor(deps: ControllerDeps) {
    const { store, namespace, identity, log, clock = systemClock, times, random } = deps
    this.#deps = deps
    this.#clock = clock
    this.#elector = new Elector({
      store,
      namespace,
      name: LEASE_NAME,
      identity,
      log,
      clock,
      ...(times === undefined ? {} : { times }),
      ...(random === undefined ? {} : { random }),
      onElected: (signal) => this.#lead(signal),
      onLost: () => this.#follow(),
    })
  }

  start(): void {
    this.#elector.start()
  }

  view(): ControllerView {
    return { election: this.#elector.view(), leader: this.#leader?.view() ?? null }
  }

  /** Why this replica is of no use, in words; empty: it leads and knows the cluster, or stands by. */
  notReadyBecause(): readonly string[] {
    const { election, leader } = this.view()
    if (election.trouble !== null) return [`no Lease: ${election.trouble}`]
    if (leader === null || leader.hasSynced) return []
    return ['the objects of the cluster have not been listed yet', ...leader.problems.map(({ message }) => message)]
  }

  stuckLoops(): readonly string[] {
    return (this.#leader?.view().busyForMs ?? 0) > STUCK_AFTER_MS ? ['leader'] : []
  }

  /** Ends the term and gives the Lease back. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#elector[Symbol.asyncDispose]()
  }

  #lead(signal: AbortSignal): void {
    const { store, log, statusIntervalMs, leakGraceMs } = this.#deps
    const leader = new Leader({
      store,
      blocks: createBlockStore(store),
      clock: this.#clock,
      log,
      statusIntervalMs,
      leakGraceMs,
      mayAct: () => this.#elector.isLeading && !signal.aborted,
      signal,
    })
    this.#leader = leader
    leader.start()
  }

  #follow(): void {
    this.#leader?.[Symbol.dispose]()
    this.#leader = null
  }
}
