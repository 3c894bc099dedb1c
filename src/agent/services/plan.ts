// From services and their endpoints to the routes that this node advertises for them (pure; time is handed in). An event costs what the
// service it is about costs; a change of what holds for all of them (ranges, nodes) looks at all.
import { comparePrefix, formatPrefix, type Prefix } from '../../net/index.ts'
import { type Change, keyOfResource, type ResourceOf } from '../../store/index.ts'
import type { Problem } from '../control-api.ts'
import { type Offer, offerOf, type ServiceAddress, type ServiceRanges } from './addresses.ts'
import { EndpointIndex, type Reach } from './endpoints.ts'
import { PROXY_MS, type Stance, type Standing, stance } from './stance.ts'

/** What holds for all services. */
export type ServiceFacts = ServiceRanges & {
  /** Our own node. */
  readonly node: string
  readonly standing: Standing
  /** Nodes that could take over from this one: they advertise the same ranges, and neither label nor cordon keeps them from it. */
  readonly others: ReadonlySet<string>
}

export type ServiceRoute = {
  readonly prefix: Prefix
  /** Advertised at least preference, for as long as nobody else can take the traffic (GRACEFUL_SHUTDOWN, RFC 8326). */
  readonly isYielding: boolean
  /** What it is for, in order: `Service/default/web`, or the setting that has the range. */
  readonly sources: readonly string[]
}

/** The same object as long as nothing in it changes. */
export type ServicePlan = {
  readonly routes: readonly ServiceRoute[]
  readonly problems: readonly Problem[]
}

export type ServiceCounts = { readonly services: number; readonly endpoints: number }

type Service = ResourceOf<'Service'>
/** Since when others could take over, by policy and family, and since when an endpoint here is ready; absent: they cannot, or none is. */
type Since = Map<string, number>
type Entry = {
  readonly object: Service
  offer: Offer | null
  since: Since | null
  routes: ReadonlyMap<string, ServiceAddress & { readonly isYielding: boolean }>
}
type Wanted = { readonly prefix: Prefix; readonly by: Map<string, boolean> }

export const NO_SERVICES: ServicePlan = { routes: [], problems: [] }
const RANGE_SOURCE = 'serviceClusterIPs'
/** More of a kind say nothing more. */
const MAX_PROBLEMS = 20

export class ServicePlanner {
  #facts: ServiceFacts
  #factsKey: string
  readonly #endpoints = new EndpointIndex()
  readonly #entries = new Map<string, Entry>()
  readonly #touched = new Set<string>()
  /** Services whose stance changes by itself, and when. */
  readonly #due = new Map<string, number>()
  /** Prefixes by text, with the services that want them and whether these yield. */
  readonly #wanted = new Map<string, Wanted>()
  /** Since when others could take the ranges over; null: they cannot; undefined: never looked. */
  #rangesSinceMs: number | null | undefined
  #ranges: readonly ServiceRoute[] = []
  #rangesDueMs: number | null = null
  #plan: ServicePlan = NO_SERVICES
  #isStale = true
  /** Services looked at so far: what an event costs can be told from it. */
  looks = 0

  constructor(facts: ServiceFacts) {
    this.#facts = facts
    this.#factsKey = keyOfFacts(facts)
  }

  get counts(): ServiceCounts {
    return { services: this.#entries.size, endpoints: this.#endpoints.count }
  }

  /** Objects of other kinds are none of its business. */
  apply(changes: readonly Change[]): void {
    for (const { type, object } of changes) {
      if (object.kind === 'EndpointSlice') {
        if (type === 'put') this.#endpoints.put(object)
        else this.#endpoints.remove(object)
      } else if (object.kind === 'Service') {
        const key = keyOfResource(object)
        const before = this.#entries.get(key)
        if ((before?.offer?.faults.length ?? 0) > 0) this.#isStale = true
        if (type === 'gone') this.#forget(key)
        else this.#entries.set(key, { object, offer: null, since: before?.since ?? null, routes: before?.routes ?? new Map() })
        this.#touched.add(key)
      }
    }
  }

  configure(facts: ServiceFacts): void {
    const key = keyOfFacts(facts)
    if (key === this.#factsKey) return
    this.#facts = facts
    this.#factsKey = key
    this.#isStale = true
    for (const [service, entry] of this.#entries) {
      entry.offer = null
      this.#touched.add(service)
    }
  }

  /** What to advertise now. */
  plan(nowMs: number): ServicePlan {
    for (const [service, dueMs] of this.#due) if (dueMs <= nowMs) this.#touched.add(service)
    for (const service of this.#endpoints.settle(nowMs)) this.#touched.add(service)
    for (const service of this.#touched) this.#look(service, nowMs)
    this.#touched.clear()
    if (this.#isStale || (this.#rangesDueMs !== null && this.#rangesDueMs <= nowMs)) this.#lookAtRanges(nowMs)
    if (this.#isStale) this.#plan = this.#compose()
    this.#isStale = false
    return this.#plan
  }

  /** When the plan may change though nothing happens; null: never. */
  get dueMs(): number | null {
    const dates = [this.#endpoints.dueMs, this.#rangesDueMs, ...this.#due.values()].filter((date) => date !== null)
    return dates.length === 0 ? null : Math.min(...dates)
  }

  #forget(key: string): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    this.#entries.delete(key)
    this.#due.delete(key)
    this.#replace(key, entry.routes, new Map())
  }

  #look(key: string, nowMs: number): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return // endpoints of a service that is not there, or is gone
    this.looks++
    if (entry.offer === null) {
      entry.offer = offerOf(entry.object, this.#facts)
      if (entry.offer.faults.length > 0) this.#isStale = true
    }
    const since: Since = new Map()
    const routes = new Map<string, ServiceAddress & { readonly isYielding: boolean }>()
    let dueMs = Number.POSITIVE_INFINITY
    for (const address of entry.offer.addresses) {
      const { what, againMs } = this.#stanceOf(key, address, entry.since, since, nowMs)
      dueMs = Math.min(dueMs, againMs)
      if (what.kind === 'withhold') continue
      routes.set(address.key, { ...address, isYielding: what.kind === 'yield' })
    }
    if (dueMs === Number.POSITIVE_INFINITY) this.#due.delete(key)
    else this.#due.set(key, dueMs)
    entry.since = since
    this.#replace(key, entry.routes, routes)
    entry.routes = routes
  }

  /** `againMs`: when it changes by itself. */
  #stanceOf(
    key: string,
    { family, policy }: ServiceAddress,
    before: Since | null,
    since: Since,
    nowMs: number,
  ): { readonly what: Stance; readonly againMs: number } {
    const { node, standing, others } = this.#facts
    const reach = this.#endpoints.reach(key, family)
    const sinceWhen = (what: string): number => {
      const name = `${what}${family}`
      const known = before?.get(name) ?? firstOr(nowMs, before === null)
      since.set(name, known)
      return known
    }
    const othersSinceMs = canOthers(policy, reach, others) ? sinceWhen(policy) : null
    if (policy === 'Cluster') return again(stance(standing, reach.isServed ? 'serves' : 'nobody', othersSinceMs, nowMs))
    const provenMs = reach.readyOn.has(node) ? sinceWhen('here') + PROXY_MS : Number.POSITIVE_INFINITY
    if (provenMs <= nowMs) return again(stance(standing, 'serves', othersSinceMs, nowMs))
    const { what, againMs } = again(stance(standing, reach.terminatingOn.has(node) ? 'terminates' : 'nobody', othersSinceMs, nowMs))
    return { what, againMs: Math.min(againMs, provenMs) }
  }

  /** The ranges of cluster IPs lead to every node that is not left out, whatever services there are. */
  #lookAtRanges(nowMs: number): void {
    const { standing, others, clusterIPs } = this.#facts
    const before = this.#rangesSinceMs
    this.#rangesSinceMs = others.size === 0 ? null : (before ?? firstOr(nowMs, before === undefined))
    const what = stance(standing, 'serves', this.#rangesSinceMs, nowMs)
    this.#rangesDueMs = what.kind === 'yield' ? what.untilMs : null
    this.#ranges =
      what.kind === 'withhold' ? [] : clusterIPs.map((prefix) => ({ prefix, isYielding: what.kind === 'yield', sources: [RANGE_SOURCE] }))
    this.#isStale = true
  }

  #replace(key: string, before: Entry['routes'], after: Entry['routes']): void {
    for (const prefix of before.keys()) {
      if (after.has(prefix)) continue
      const wanted = this.#wanted.get(prefix)
      wanted?.by.delete(key)
      if (wanted?.by.size === 0) this.#wanted.delete(prefix)
      this.#isStale = true
    }
    for (const [text, { prefix, isYielding }] of after) {
      if (before.get(text)?.isYielding === isYielding) continue
      let wanted = this.#wanted.get(text)
      if (wanted === undefined) {
        wanted = { prefix, by: new Map() }
        this.#wanted.set(text, wanted)
      }
      wanted.by.set(key, isYielding)
      this.#isStale = true
    }
  }

  #compose(): ServicePlan {
    const routes = new Map(this.#ranges.map((route) => [formatPrefix(route.prefix), route]))
    for (const [text, { prefix, by }] of this.#wanted) {
      const range = routes.get(text) // a range of one address
      const isYielding = (range?.isYielding ?? true) && [...by.values()].every((each) => each)
      const sources = [...by.keys()].sort().map((key) => `Service/${key}`)
      routes.set(text, { prefix, isYielding, sources: [...(range?.sources ?? []), ...sources] })
    }
    return { routes: [...routes.values()].sort((a, b) => comparePrefix(a.prefix, b.prefix)), problems: this.#problems() }
  }

  #problems(): readonly Problem[] {
    const faulty = [...this.#entries].filter(([, { offer }]) => (offer?.faults.length ?? 0) > 0).sort(([a], [b]) => (a < b ? -1 : 1))
    const shown = faulty
      .flatMap(([key, { offer }]) => (offer?.faults ?? []).map((message) => ({ subject: `Service/${key}`, message })))
      .slice(0, MAX_PROBLEMS)
    const more = faulty.length - new Set(shown.map(({ subject }) => subject)).size
    const rest = more > 0 ? [{ subject: 'Service', message: `${more} more services have problems like those shown; mend these first` }] : []
    return [...shown, ...rest].map((each) => ({ severity: 'warning', ...each }))
  }
}

/** What was so when we first looked has been so for long enough: nothing was advertised that could be missed. */
function firstOr(nowMs: number, isFirst: boolean): number {
  return isFirst ? Number.NEGATIVE_INFINITY : nowMs
}

function canOthers(policy: ServiceAddress['policy'], reach: Reach, others: ReadonlySet<string>): boolean {
  if (policy === 'Cluster') return others.size > 0
  for (const node of reach.readyOn) if (others.has(node)) return true
  return false
}

function again(what: Stance): { readonly what: Stance; readonly againMs: number } {
  return { what, againMs: what.kind === 'yield' ? (what.untilMs ?? Number.POSITIVE_INFINITY) : Number.POSITIVE_INFINITY }
}

function keyOfFacts({ node, standing, others, clusterIPs, externalIPs, loadBalancerIPs, classes }: ServiceFacts): string {
  const ranges = [clusterIPs, externalIPs, loadBalancerIPs].map((each) => each.map(formatPrefix))
  return JSON.stringify([node, standing, [...others].sort(), ranges, classes])
}
