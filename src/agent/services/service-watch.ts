// Follows services and their endpoints for as long as some range of theirs is to be advertised, and says when what follows from them
// has changed. Nothing is watched before that: there may be ten thousand endpoints.
import type { Clock } from '../../lib/clock.ts'
import { EarliestTimer } from '../../lib/earliest-timer.ts'
import type { Log } from '../../lib/log.ts'
import type { Change, Selection, Store, StoreProblem, WatchObserver } from '../../store/index.ts'
import { KeptRoutes, stillWanted } from './kept.ts'
import { NO_SERVICES, type ServiceCounts, type ServiceFacts, type ServicePlan, ServicePlanner, type ServiceRoute } from './plan.ts'
import type { Standing } from './stance.ts'

export type ServiceWatchDeps = {
  readonly store: Store
  readonly clock: Clock
  readonly log: Log
  /** Cleared by a reboot. */
  readonly runDir: string
  /** `configure` would answer something else than last time. */
  readonly onChanged: () => void
  /** What the store says is wrong with its source of services. */
  readonly onProblems: (problems: readonly StoreProblem[]) => void
}

/** Slices are rewritten in bursts: one look when it is over. */
const SETTLE_MS = 20
const SELECTIONS: readonly Selection[] = [{ kind: 'Service' }, { kind: 'EndpointSlice' }]

type Following = {
  readonly planner: ServicePlanner
  watch: Disposable | null
  isListed: boolean
  isOver: boolean
  /** Routes of before the restart, until services are listed. */
  readonly kept: readonly ServiceRoute[]
}

export type ServiceFigures = ServiceCounts & {
  /** Prefixes, the ranges of cluster IPs among them. */
  readonly advertised: number
  /** Of those, at least preference (GRACEFUL_SHUTDOWN), until others can take the traffic. */
  readonly yielding: number
  readonly standing: Standing
  /** False: the routes of before the restart stay until services have been listed. */
  readonly isListed: boolean
}

export class ServiceWatch implements Disposable {
  readonly #deps: ServiceWatchDeps
  readonly #kept: KeptRoutes
  #following: Following | null = null
  #facts: ServiceFacts | null = null
  #plan: ServicePlan = NO_SERVICES
  readonly #nextLook: EarliestTimer
  #isDisposed = false

  constructor(deps: ServiceWatchDeps) {
    this.#deps = deps
    this.#kept = new KeptRoutes(deps.runDir)
    this.#nextLook = new EarliestTimer(deps.clock, () => {
      const before = this.#plan
      this.#plan = this.#look()
      if (this.#plan !== before) deps.onChanged()
    })
  }

  /** What to advertise for services, now that this holds. null: no range is set, so nothing is watched and nothing advertised. */
  configure(facts: ServiceFacts | null): ServicePlan {
    if (this.#isDisposed) return this.#plan
    this.#facts = facts
    if (facts === null) this.#unfollow()
    else if (this.#following === null) this.#following = this.#follow(facts)
    else this.#following.planner.configure(facts)
    this.#plan = this.#look()
    return this.#plan
  }

  /** null: no range is set. */
  get figures(): ServiceFigures | null {
    if (this.#following === null || this.#facts === null) return null
    const { planner, isListed } = this.#following
    const { routes } = this.#plan
    const yielding = routes.filter(({ isYielding }) => isYielding).length
    return { ...planner.counts, advertised: routes.length, yielding, standing: this.#facts.standing, isListed }
  }

  [Symbol.dispose](): void {
    this.#isDisposed = true
    this.#following?.watch?.[Symbol.dispose]()
    this.#nextLook[Symbol.dispose]()
  }

  #follow(facts: ServiceFacts): Following {
    const { store, log, onProblems } = this.#deps
    const planner = new ServicePlanner(facts)
    const kept = stillWanted(this.#kept.read(), facts)
    const following: Following = { planner, kept, isListed: false, isOver: false, watch: null }
    const observer: WatchObserver = {
      changed: (changes: readonly Change[]) => {
        planner.apply(changes)
        if (following.isListed && !following.isOver) this.#nextLook.within(SETTLE_MS)
      },
      synced: () => {
        following.isListed = true
        if (following.isOver) return
        log.info('agent.services.listed', planner.counts)
        this.#nextLook.within(0)
      },
      problems: (problems) => {
        if (!following.isOver) onProblems(problems)
      },
    }
    log.info('agent.services.watched', { kept: kept.length })
    following.watch = store.watch(SELECTIONS, observer)
    return following
  }

  #unfollow(): void {
    this.#kept.clear()
    if (this.#following === null) return
    this.#following.isOver = true
    this.#following.watch?.[Symbol.dispose]()
    this.#following = null
    this.#deps.onProblems([])
    this.#deps.log.info('agent.services.left')
  }

  /** The plan of this moment; arranges for the next look. */
  #look(): ServicePlan {
    const { clock, log } = this.#deps
    if (this.#following === null || this.#facts === null) return NO_SERVICES
    const { planner, isListed, kept } = this.#following
    if (!isListed) {
      const routes = stillWanted(kept, this.#facts)
      return routes.length === 0 && this.#plan.routes.length === 0 ? NO_SERVICES : { routes, problems: [] }
    }
    const plan = planner.plan(clock.nowMs())
    if (planner.dueMs !== null) this.#nextLook.within(planner.dueMs - clock.nowMs())
    try {
      this.#kept.write(plan)
    } catch (err) {
      log.warn('agent.services.notKept', { err }) // a restart does without
    }
    return plan
  }
}
