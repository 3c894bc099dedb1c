// What the leading replica does, from the moment it is elected until it is not: follows the objects of the cluster, keeps statuses
// true, and looks for leaks. A replica that does not lead watches nothing. Level-triggered: nothing is remembered of another term.

import type { BlockStore } from '../ipam/index.ts'
import type { Clock } from '../lib/clock.ts'
import { Coalescer } from '../lib/coalesce.ts'
import type { Log } from '../lib/log.ts'
import { type Change, SnapshotBuilder, type Store, type StoreProblem } from '../store/index.ts'
import { CLUSTER_SELECTIONS } from './cluster.ts'
import type { Finding } from './findings/finding.ts'
import { surveyCluster } from './findings/index.ts'
import { type CollectorFigures, LeakCollector } from './leaks/collector.ts'
import { recordOf } from './pool-usage.ts'
import { wantedStatuses } from './status/statuses.ts'
import { type StatusFigures, StatusWriter } from './status/writer.ts'

export type LeaderDeps = {
  readonly store: Store
  readonly blocks: BlockStore
  readonly clock: Clock
  readonly log: Log
  readonly statusIntervalMs: number
  readonly leakGraceMs: number
  readonly mayAct: () => boolean
  /** Aborts when the term ends. */
  readonly signal: AbortSignal
}

export type LeaderView = {
  readonly hasSynced: boolean
  readonly problems: readonly StoreProblem[]
  readonly findings: readonly Finding[]
  readonly statuses: StatusFigures
  readonly leaks: CollectorFigures
  readonly lastSurveySeconds: number
  /** For how long the turn or look that is under way has run, ms; 0: none is. */
  readonly busyForMs: number
}

/** Looks at nodes come twice in a grace period, but not oftener than this. */
const MIN_LOOK_MS = 1_000

export class Leader implements Disposable {
  readonly #deps: LeaderDeps
  readonly #objects = new SnapshotBuilder()
  readonly #writer: StatusWriter
  readonly #collector: LeakCollector
  readonly #turns: Coalescer
  readonly #timers = new Set<Disposable>()
  readonly #busySince = new Set<number>()
  #watch: Disposable | null = null
  #hasSynced = false
  #isEnded = false
  #next: Disposable | null = null
  #lastTurnMs = Number.NEGATIVE_INFINITY
  #lastSurveySeconds = 0
  #problems: readonly StoreProblem[] = []
  #findings: readonly Finding[] = []
  readonly #troubles = new Map<string, string>()

  constructor(deps: LeaderDeps) {
    const { store, blocks, clock, log, mayAct, statusIntervalMs, leakGraceMs } = deps
    this.#deps = deps
    this.#writer = new StatusWriter({
      store,
      clock,
      log,
      mayAct,
      intervalMs: statusIntervalMs,
      nodes: () => this.#objects.snapshot.Node.size,
    })
    this.#collector = new LeakCollector({ store, blocks, clock, log, mayAct, graceMs: leakGraceMs })
    this.#turns = new Coalescer(() => this.#work('status', () => this.#turn()))
  }

  start(): void {
    const { store, leakGraceMs, log } = this.#deps
    this.#watch = store.watch(CLUSTER_SELECTIONS, {
      changed: (changes) => this.#changed(changes),
      synced: () => {
        this.#hasSynced = true
        log.info('controller.cluster.listed', { nodes: this.#objects.all('Node').length, blocks: this.#objects.all('IPAMBlock').length })
        this.#soon()
        const { signal } = this.#deps
        this.#every(Math.max(MIN_LOOK_MS, leakGraceMs / 2), 'nodes', () => this.#collector.atNodes(this.#objects.snapshot, signal))
        this.#every(Math.max(MIN_LOOK_MS, leakGraceMs), 'pods', () => this.#collector.atPods(this.#objects.snapshot, signal))
      },
      problems: (problems) => {
        this.#problems = problems
      },
    })
  }

  view(): LeaderView {
    return {
      hasSynced: this.#hasSynced,
      problems: this.#problems,
      findings: this.#findings,
      statuses: this.#writer.figures,
      leaks: this.#collector.figures,
      lastSurveySeconds: this.#lastSurveySeconds,
      busyForMs: this.#busySince.size === 0 ? 0 : this.#deps.clock.nowMs() - Math.min(...this.#busySince),
    }
  }

  [Symbol.dispose](): void {
    this.#isEnded = true
    this.#watch?.[Symbol.dispose]()
    this.#next?.[Symbol.dispose]()
    for (const timer of this.#timers) timer[Symbol.dispose]()
    this.#timers.clear()
  }

  #changed(changes: readonly Change[]): void {
    this.#objects.apply(changes)
    for (const { object } of changes) if (object.kind === 'IPAMBlock') recordOf(object) // read now, page by page, not all at once
    if (this.#hasSynced) this.#soon()
  }

  /** A turn as soon as the interval since the last one is over. */
  #soon(): void {
    const { clock, statusIntervalMs } = this.#deps
    if (this.#next !== null || this.#isEnded) return
    this.#next = clock.after(Math.max(0, this.#lastTurnMs + statusIntervalMs - clock.nowMs()), () => {
      this.#next = null
      void this.#turns.request()
    })
  }

  async #turn(): Promise<void> {
    const { clock, signal, mayAct } = this.#deps
    if (!mayAct()) return
    this.#lastTurnMs = clock.nowMs()
    const { snapshot } = this.#objects
    const startMs = clock.nowMs()
    const survey = surveyCluster(snapshot)
    const wanted = wantedStatuses(snapshot, survey, new Date(clock.wallMs()).toISOString())
    this.#lastSurveySeconds = (clock.nowMs() - startMs) / 1000
    this.#tell(survey.findings)
    if (await this.#writer.write(snapshot, wanted, signal)) this.#soon()
  }

  /** Each finding is logged when it comes and when it goes. */
  #tell(findings: readonly Finding[]): void {
    const { log } = this.#deps
    const nameOf = ({ subject, reason }: Finding): string => `${subject} ${reason}`
    const before = new Set(this.#findings.map(nameOf))
    const now = new Set(findings.map(nameOf))
    for (const finding of findings) {
      const { subject, reason, message, severity } = finding
      if (!before.has(nameOf(finding))) log.warn('controller.finding.appeared', { subject, reason, message, severity })
    }
    for (const finding of this.#findings) {
      const { subject, reason } = finding
      if (!now.has(nameOf(finding))) log.info('controller.finding.gone', { subject, reason })
    }
    this.#findings = findings
  }

  /** One after the other, each `everyMs` after the end of the one before; the first at once. */
  #every(everyMs: number, name: string, look: () => Promise<void>): void {
    const { clock } = this.#deps
    const again = (delayMs: number): void => {
      if (this.#isEnded) return
      const timer = clock.after(delayMs, () => {
        this.#timers.delete(timer)
        void this.#work(name, look).then(() => again(everyMs))
      })
      this.#timers.add(timer)
    }
    again(0)
  }

  /** Never rejects: what fails is logged once for as long as it fails in the same way, and done again when its time comes. */
  async #work(name: string, work: () => Promise<void>): Promise<void> {
    const { clock, log, signal } = this.#deps
    if (this.#isEnded || signal.aborted) return
    const sinceMs = clock.nowMs()
    this.#busySince.add(sinceMs)
    try {
      await work()
      if (this.#troubles.delete(name)) log.info('controller.work.recovered', { work: name })
    } catch (error) {
      if (signal.aborted || this.#isEnded || !this.#deps.mayAct()) return
      const message = error instanceof Error ? error.message : String(error)
      if (this.#troubles.get(name) !== message) log.warn('controller.work.failed', { work: name, err: error })
      this.#troubles.set(name, message)
      if (name === 'status') this.#soon()
    } finally {
      this.#busySince.delete(sinceMs)
    }
  }
}
