// Keeps this node's NodeNetwork true. Level-triggered: what is stored is followed, what should be there is put together when there is
// reason to look, and written only where the two differ. What somebody may wait for is written within seconds; counts that change all
// the time within a minute or more, because 5,000 nodes do the same.
import { isDeepStrictEqual } from 'node:util'
import { type BackoffLimits, backoffMs } from '../../lib/backoff.ts'
import type { Clock } from '../../lib/clock.ts'
import { Coalescer } from '../../lib/coalesce.ts'
import type { Log } from '../../lib/log.ts'
import { GROUP_VERSION, type NodeNetwork, type Store, StoreError } from '../../store/index.ts'
import { isSame, isSameInEssence, type NodeStatus, type ReportFacts, reportOf } from './report.ts'

export type ReporterDeps = {
  readonly node: string
  readonly store: Pick<Store, 'watch' | 'get' | 'create' | 'update' | 'updateStatus'>
  readonly clock: Clock
  readonly log: Log
  /** In [0, 1). */
  readonly random: () => number
  /** null: not known yet. Rejects if a thread does not answer. */
  readonly facts: () => Promise<ReportFacts | null>
  /** Our Node object, which owns the report: without one there is nothing to report to. */
  readonly owner: () => { readonly name: string; readonly uid?: string } | null
  /** How many nodes there are: each of them writes. */
  readonly nodes: () => number
  /** In words; null: it can be written. */
  readonly onFault: (message: string | null) => void
}

export type ReportFigures = { readonly written: number; readonly failed: number }

/** Changes come in bursts: one report when the burst is over. */
const SETTLE_MS = 500
/** Between two writes for what matters. */
const WRITE_EVERY_MS = 5_000
const WRITE_EVERY_MS_PER_NODE = 4
/** Between two writes for counts. */
const COUNT_EVERY_MS = 60_000
const COUNT_EVERY_MS_PER_NODE = 100
const BACKOFF: BackoffLimits = { baseMs: 5_000, capMs: 60_000 }
/** A request that takes longer has failed. */
const WRITE_WITHIN_MS = 30_000

export class Reporter implements Disposable {
  readonly #deps: ReporterDeps
  readonly #turns: Coalescer
  readonly #watch: Disposable
  /** As stored; undefined: not known yet. */
  #stored: NodeNetwork | null | undefined = undefined
  #ownVersion: string | undefined
  #soon: Disposable | null = null
  #counts: Disposable | null = null
  #areCountsDue = false
  #mayWriteAtMs = Number.NEGATIVE_INFINITY
  #failures = 0
  #isDisposed = false
  #figures: ReportFigures = { written: 0, failed: 0 }

  constructor(deps: ReporterDeps) {
    const { store, node } = deps
    this.#deps = deps
    this.#turns = new Coalescer(() => this.#turn())
    this.#watch = store.watch([{ kind: 'NodeNetwork', name: node }], {
      changed: (changes) => {
        for (const { type, object } of changes) {
          if (object.kind !== 'NodeNetwork' || object.metadata.name !== node) continue
          this.#stored = type === 'put' ? object : null
          if (type === 'gone' || object.metadata.resourceVersion !== this.#ownVersion) this.changed()
        }
      },
      synced: () => {
        this.#stored ??= null
        this.changed()
      },
      problems: (problems) => {
        const own = problems.find(({ subject }) => subject.startsWith('NodeNetwork'))
        if (this.#stored === undefined) deps.onFault(own?.message ?? null)
      },
    })
    this.#countLater()
  }

  get figures(): ReportFigures {
    return this.#figures
  }

  /** Something of what is reported may be another. */
  changed(): void {
    if (this.#soon !== null || this.#isDisposed) return
    const { clock } = this.#deps
    this.#soon = clock.after(Math.max(SETTLE_MS, this.#mayWriteAtMs - clock.nowMs()), () => {
      this.#soon = null
      void this.#turns.request()
    })
  }

  [Symbol.dispose](): void {
    this.#isDisposed = true
    this.#watch[Symbol.dispose]()
    this.#soon?.[Symbol.dispose]()
    this.#counts?.[Symbol.dispose]()
  }

  #countLater(): void {
    const { clock, nodes, random } = this.#deps
    const every = Math.max(COUNT_EVERY_MS, nodes() * COUNT_EVERY_MS_PER_NODE)
    this.#counts = clock.after(every * (0.75 + 0.5 * random()), () => {
      this.#areCountsDue = true
      this.changed()
      this.#countLater()
    })
  }

  async #turn(): Promise<void> {
    const { log, onFault, clock } = this.#deps
    if (this.#isDisposed) return
    if (clock.nowMs() < this.#mayWriteAtMs) return this.changed() // asked for while the last write was under way
    try {
      const isWritten = await this.#reconcile()
      if (isWritten) this.#figures = { ...this.#figures, written: this.#figures.written + 1 }
      if (this.#failures > 0) log.info('agent.report.written', { node: this.#deps.node })
      this.#failures = 0
      onFault(null)
    } catch (error) {
      this.#failed(error)
    }
  }

  #failed(error: unknown): void {
    const { log, onFault, clock, random, node } = this.#deps
    this.#figures = { ...this.#figures, failed: this.#figures.failed + 1 }
    this.#mayWriteAtMs = clock.nowMs() + backoffMs(this.#failures, BACKOFF, random())
    const isRace = error instanceof StoreError && (error.code === 'CONFLICT' || error.code === 'ALREADY_EXISTS')
    if (!isRace) {
      const message = error instanceof Error ? error.message : String(error)
      if (this.#failures === 0) log.warn('agent.report.failed', { node, err: error })
      this.#failures++
      onFault(message)
    }
    this.changed()
  }

  /** True if anything was written. */
  async #reconcile(): Promise<boolean> {
    const { facts: ask, owner: ownerOf, clock } = this.#deps
    const stored = this.#stored
    const owner = ownerOf()
    if (stored === undefined || owner === null) return false
    const facts = await ask()
    if (facts === null || this.#isDisposed) return false
    const before = stored?.status ?? null
    const status = reportOf(facts, before, stored?.metadata.generation ?? 1, new Date(clock.wallMs()).toISOString())
    const areCountsDue = this.#areCountsDue
    const isOwned = stored !== null && isDeepStrictEqual(stored.metadata.ownerReferences, referencesTo(owner))
    if (isOwned && before !== null && (areCountsDue ? isSame(before, status) : isSameInEssence(before, status))) {
      this.#areCountsDue = false
      return false
    }
    this.#restFrom(clock.nowMs()) // before it: a store may show a write before it has answered it
    await this.#write(stored, isOwned, owner, status)
    this.#areCountsDue = false
    return true
  }

  #restFrom(nowMs: number): void {
    const { nodes, random } = this.#deps
    const every = Math.max(WRITE_EVERY_MS, nodes() * WRITE_EVERY_MS_PER_NODE)
    this.#mayWriteAtMs = nowMs + every * (1 + 0.25 * random())
  }

  async #write(stored: NodeNetwork | null, isOwned: boolean, owner: Parameters<typeof referencesTo>[0], status: NodeStatus): Promise<void> {
    const { store, node } = this.#deps
    const signal = AbortSignal.timeout(WRITE_WITHIN_MS)
    try {
      const references = referencesTo(owner)
      const owned = references === undefined ? {} : { ownerReferences: references }
      let current = stored
      if (current === null) {
        const metadata = { name: node, ...owned }
        current = await store.create({ apiVersion: GROUP_VERSION, kind: 'NodeNetwork', metadata, spec: {} }, {}, signal)
      } else if (!isOwned) {
        const { ownerReferences: _, ...metadata } = current.metadata
        current = await store.update({ ...current, metadata: { ...metadata, ...owned } }, {}, signal)
      }
      this.#keep(await store.updateStatus({ ...current, status }, signal))
    } catch (error) {
      const hasMoved = error instanceof StoreError && ['CONFLICT', 'ALREADY_EXISTS', 'NOT_FOUND'].includes(error.code)
      if (hasMoved) this.#stored = await store.get('NodeNetwork', { name: node }, signal)
      throw error
    }
  }

  #keep(written: NodeNetwork): void {
    this.#stored = written
    this.#ownVersion = written.metadata.resourceVersion
  }
}

/** The garbage collector of Kubernetes removes the report with its Node; a store without one leaves that to the controller. */
function referencesTo({ name, uid }: { readonly name: string; readonly uid?: string }): readonly object[] | undefined {
  return uid === undefined ? undefined : [{ apiVersion: 'v1', kind: 'Node', name, uid }]
}
