// Brings statuses up to date: shell around statuses.ts. A status is written only where it differs from the stored one, an object at
// most once in an interval, and six times less often where only counts or words differ, so that a flapping session or a busy pool is
// no storm of writes. Every agent watches these objects, so both intervals grow with the number of nodes. What could not be written is
// tried again with the next turn.
import { isDeepStrictEqual } from 'node:util'
import type { Clock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import { type Store, StoreError } from '../../store/index.ts'
import type { ClusterSnapshot } from '../cluster.ts'
import { essence, type StatusObject } from './statuses.ts'

export type StatusWriterDeps = {
  readonly store: Pick<Store, 'updateStatus'>
  readonly clock: Clock
  readonly log: Log
  readonly intervalMs: number
  /** How many nodes there are: each of them is sent what is written. */
  readonly nodes: () => number
  /** Asked before every write: whether this replica still leads. */
  readonly mayAct: () => boolean
}

export type StatusFigures = { readonly written: number; readonly failed: number }

const COUNTS_EVERY = 6
const INTERVAL_MS_PER_NODE = 4
const COUNTS_MS_PER_NODE = 100

export class StatusWriter {
  readonly #deps: StatusWriterDeps
  readonly #writtenMs = new Map<string, number>()
  #figures: StatusFigures = { written: 0, failed: 0 }
  #isFailing = false

  constructor(deps: StatusWriterDeps) {
    this.#deps = deps
  }

  get figures(): StatusFigures {
    return this.#figures
  }

  /** Writes what is due. True: something is left for later. Rejects only when `signal` aborts. */
  async write(snapshot: ClusterSnapshot, wanted: readonly StatusObject[], signal: AbortSignal): Promise<boolean> {
    let isLeft = false
    let hasFailed = false
    const present = new Set<string>()
    for (const next of wanted) {
      const { kind, metadata } = next
      const name = `${kind}/${metadata.name}`
      present.add(name)
      const stored: StatusObject | undefined = snapshot[kind].get(metadata.name)
      if (stored === undefined || isSame(stored, next)) continue
      if (!this.#isDue(name, stored, next)) {
        isLeft = true
        continue
      }
      if (!this.#deps.mayAct()) return true
      const outcome = await this.#writeOne(name, next, signal)
      if (outcome !== 'written') isLeft = true
      if (outcome === 'failed') hasFailed = true
    }
    for (const name of this.#writtenMs.keys()) if (!present.has(name)) this.#writtenMs.delete(name)
    this.#isFailing = hasFailed
    return isLeft
  }

  #isDue(name: string, stored: StatusObject, next: StatusObject): boolean {
    const lastMs = this.#writtenMs.get(name)
    if (lastMs === undefined) return true
    const { clock, intervalMs, nodes } = this.#deps
    const everyMs = isDeepStrictEqual(essence(stored), essence(next))
      ? Math.max(intervalMs * COUNTS_EVERY, nodes() * COUNTS_MS_PER_NODE)
      : Math.max(intervalMs, nodes() * INTERVAL_MS_PER_NODE)
    return clock.nowMs() - lastMs >= everyMs
  }

  async #writeOne(name: string, next: StatusObject, signal: AbortSignal): Promise<'written' | 'overtaken' | 'failed'> {
    const { store, clock, log } = this.#deps
    this.#writtenMs.set(name, clock.nowMs())
    try {
      await store.updateStatus(next, signal)
      this.#figures = { ...this.#figures, written: this.#figures.written + 1 }
      return 'written'
    } catch (error) {
      signal.throwIfAborted()
      if (error instanceof StoreError && (error.code === 'CONFLICT' || error.code === 'NOT_FOUND')) {
        this.#writtenMs.delete(name) // somebody else was faster: the watch will show what it is now
        return 'overtaken'
      }
      this.#figures = { ...this.#figures, failed: this.#figures.failed + 1 }
      if (!this.#isFailing) log.warn('controller.status.notWritten', { object: name, err: error })
      this.#isFailing = true
      return 'failed'
    }
  }
}

function isSame(stored: StatusObject, next: StatusObject): boolean {
  return isDeepStrictEqual(stored.status, next.status)
}
