// Which nodes have endpoints of which service, from all its slices, one family at a time (pure; time is handed in). A slice costs its
// own size when it comes, a service the size of its slices when somebody asks.
//
// Slices are rewritten one after another, so an endpoint that moves between two of them is in neither for a moment, or in both. In
// both it counts once, in its best state. One that was ready and is in none any more is believed for `LINGER_MS`; one that was said to
// end, not to be ready, or no longer to serve, is not.
import { IP_FAMILIES, type IpFamily } from '../../net/index.ts'
import { keyOfResource, type ResourceOf, SERVICE_NAME_LABEL } from '../../store/index.ts'

/** For how long an endpoint is believed that vanished without saying that it ends. A slice is written within tens of milliseconds of another. */
export const LINGER_MS = 1_000

/**
 * `ready` takes new connections. `terminating`: its pod has been told to end and still serves. `out`: it takes none
 * (KEP-1672: conditions of EndpointSlice; publishNotReadyAddresses shows itself as `ready`).
 */
type State = 'ready' | 'terminating' | 'out'
type Endpoint = { readonly node: string | null; readonly state: State }
/** `goneAtMs`: when no slice had it any more; null: some slice has. */
type Known = Endpoint & { readonly goneAtMs: number | null }

/** Endpoints of a service in one family, by node. */
export type Reach = {
  readonly readyOn: ReadonlySet<string>
  readonly terminatingOn: ReadonlySet<string>
  /** Somebody takes connections, on whatever node. */
  readonly isServed: boolean
  /** Endpoints that take connections. */
  readonly count: number
}

type EndpointSlice = ResourceOf<'EndpointSlice'>
type Slice = { readonly service: string; readonly family: IpFamily; readonly endpoints: ReadonlyMap<string, Endpoint> }
type Service = {
  readonly slices: Map<string, Slice>
  readonly known: { readonly [F in IpFamily]: Map<string, Known> }
  reach: { readonly [F in IpFamily]: Reach }
}

const RANK: { readonly [S in State]: number } = { ready: 2, terminating: 1, out: 0 }
const NOBODY: Reach = { readyOn: new Set(), terminatingOn: new Set(), isServed: false, count: 0 }

export class EndpointIndex {
  readonly #slices = new Map<string, Slice>()
  /** By `namespace/name` of the service. */
  readonly #services = new Map<string, Service>()
  /** Services whose slices have changed since the last look. */
  readonly #touched = new Set<string>()
  /** Services with endpoints that are believed although no slice has them, and when the first of those is no longer. */
  readonly #lingering = new Map<string, number>()

  /** Endpoints that take connections, of all services and both families. */
  get count(): number {
    let count = 0
    for (const { reach } of this.#services.values()) count += reach[4].count + reach[6].count
    return count
  }

  put(object: EndpointSlice): void {
    const key = keyOfResource(object)
    const name = object.metadata.labels[SERVICE_NAME_LABEL]
    const before = this.#slices.get(key)
    const isUsable = name !== undefined && name !== '' && object.addressType !== 'FQDN'
    const service = isUsable ? `${object.metadata.namespace ?? 'default'}/${name}` : null
    if (before !== undefined && before.service !== service) this.#take(key, before)
    if (service === null) return
    const slice: Slice = { service, family: object.addressType === 'IPv4' ? 4 : 6, endpoints: endpointsOf(object) }
    this.#slices.set(key, slice)
    this.#serviceNamed(service).slices.set(key, slice)
    this.#touched.add(service)
  }

  remove(object: EndpointSlice): void {
    const key = keyOfResource(object)
    const before = this.#slices.get(key)
    if (before !== undefined) this.#take(key, before)
  }

  /** Looks at what changed since the last call, and at what is no longer believed: the services whose `reach` differs. */
  settle(nowMs: number): readonly string[] {
    for (const [service, dueMs] of this.#lingering) if (dueMs <= nowMs) this.#touched.add(service)
    const changed = [...this.#touched].filter((service) => this.#refresh(service, nowMs))
    this.#touched.clear()
    return changed
  }

  /** When `settle` has something to do though no slice changes; null: never. */
  get dueMs(): number | null {
    return this.#lingering.size === 0 ? null : Math.min(...this.#lingering.values())
  }

  /** As of the last `settle`. */
  reach(service: string, family: IpFamily): Reach {
    return this.#services.get(service)?.reach[family] ?? NOBODY
  }

  #take(key: string, slice: Slice): void {
    this.#slices.delete(key)
    this.#services.get(slice.service)?.slices.delete(key)
    this.#touched.add(slice.service)
  }

  #serviceNamed(name: string): Service {
    let service = this.#services.get(name)
    if (service === undefined) {
      service = { slices: new Map(), known: { 4: new Map(), 6: new Map() }, reach: { 4: NOBODY, 6: NOBODY } }
      this.#services.set(name, service)
    }
    return service
  }

  #refresh(name: string, nowMs: number): boolean {
    const service = this.#services.get(name)
    if (service === undefined) return false
    const before = service.reach
    let dueMs = Number.POSITIVE_INFINITY
    for (const family of IP_FAMILIES) dueMs = Math.min(dueMs, believe(service, family, nowMs))
    if (dueMs === Number.POSITIVE_INFINITY) this.#lingering.delete(name)
    else this.#lingering.set(name, dueMs)
    service.reach = { 4: reachOf(service.known[4], before[4]), 6: reachOf(service.known[6], before[6]) }
    if (service.slices.size === 0 && dueMs === Number.POSITIVE_INFINITY) this.#services.delete(name)
    return service.reach[4] !== before[4] || service.reach[6] !== before[6]
  }
}

/** Brings what is known of the endpoints up to date; when the first that lingers is given up. */
function believe({ slices, known }: Service, family: IpFamily, nowMs: number): number {
  const listed = merge(slices, family)
  const believed = known[family]
  let dueMs = Number.POSITIVE_INFINITY
  for (const [address, endpoint] of believed) {
    if (listed.has(address)) continue
    const goneAtMs = endpoint.goneAtMs ?? nowMs
    if (endpoint.state !== 'ready' || nowMs - goneAtMs >= LINGER_MS) believed.delete(address)
    else {
      believed.set(address, { ...endpoint, goneAtMs })
      dueMs = Math.min(dueMs, goneAtMs + LINGER_MS)
    }
  }
  for (const [address, endpoint] of listed) believed.set(address, { ...endpoint, goneAtMs: null })
  return dueMs
}

function merge(slices: Service['slices'], family: IpFamily): ReadonlyMap<string, Endpoint> {
  const merged = new Map<string, Endpoint>()
  for (const slice of slices.values()) {
    if (slice.family !== family) continue
    for (const [address, endpoint] of slice.endpoints) keepBest(merged, address, endpoint)
  }
  return merged
}

/** Of two of one rank the node by name, so that what wins does not depend on the order of the slices. */
function keepBest(into: Map<string, Endpoint>, address: string, endpoint: Endpoint): void {
  const other = into.get(address)
  const isBetter =
    other === undefined ||
    RANK[endpoint.state] > RANK[other.state] ||
    (endpoint.state === other.state && (endpoint.node ?? '') > (other.node ?? ''))
  if (isBetter) into.set(address, endpoint)
}

function endpointsOf({ endpoints }: EndpointSlice): ReadonlyMap<string, Endpoint> {
  const found = new Map<string, Endpoint>()
  for (const { addresses, conditions, nodeName } of endpoints) {
    // Only the first address counts: the others of an endpoint are ignored by all who read slices (discovery.k8s.io/v1).
    const [address] = addresses
    if (address !== undefined) keepBest(found, address, { node: nodeName ?? null, state: stateOf(conditions) })
  }
  return found
}

/** An absent `ready` means yes, an absent `serving` the same as `ready`, an absent `terminating` no (discovery.k8s.io/v1). */
function stateOf({ ready = true, serving = ready, terminating = false }: EndpointSlice['endpoints'][number]['conditions']): State {
  if (terminating) return serving || ready ? 'terminating' : 'out'
  return ready ? 'ready' : 'out'
}

/** `before` itself if nothing differs. */
function reachOf(known: ReadonlyMap<string, Known>, before: Reach): Reach {
  const readyOn = new Set<string>()
  const terminatingOn = new Set<string>()
  let count = 0
  for (const { state, node } of known.values()) {
    if (state === 'out') continue
    count++
    if (node !== null) (state === 'ready' ? readyOn : terminatingOn).add(node)
  }
  const isSame = count === before.count && isEqual(readyOn, before.readyOn) && isEqual(terminatingOn, before.terminatingOn)
  return isSame ? before : { readyOn, terminatingOn, isServed: count > 0, count }
}

function isEqual(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
  return a.size === b.size && [...a].every((each) => b.has(each))
}
