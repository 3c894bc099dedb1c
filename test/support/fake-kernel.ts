// A kernel's routing table in memory, for tests of what lives above the port: it keeps the contract of route-backend-contract.ts,
// drifts behind our back when told to, and fails the next call when told to.
import {
  containsAddress,
  familyOf,
  formatPrefix,
  type IpAddress,
  type IpFamily,
  ip,
  ipFromBytes,
  ipToBytes,
  isIpv4,
  isLinkLocalIpv6,
  prefix,
} from '../../src/net/index.ts'
import {
  CREATE,
  type HostAddress,
  type HostLink,
  type KernelListener,
  REMOVE,
  REPLACE,
  type RouteBackend,
  RouteBackendError,
  type RouteChangeKind,
  type RouteView,
  type RouteWrites,
  type WriteFailure,
  type WriteOutcome,
} from '../../src/routes/backend.ts'
import { BLACKHOLE, type KernelRoute, type NextHop, OUR_PROTOCOL, type RouteBody } from '../../src/routes/route.ts'

type Refusal = { readonly code: string; readonly text: string }
const RTPROT_KERNEL = 2

export class FakeKernel implements RouteBackend {
  readonly eventsDescriptor = null
  readonly links = new Map<number, HostLink>()
  readonly addresses: HostAddress[] = []
  /** How often each thing was asked of us. */
  readonly calls = { listRoutes: 0, listLinks: 0, writes: 0, written: 0, created: 0, replaced: 0, removed: 0, drains: 0 }
  /** Refusals by prefix (`10.0.0.0/8`), until taken away. */
  readonly refuse = new Map<string, Refusal>()
  /** The next so many `write` calls do their work, but their answers are lost. */
  loseAnswers = 0
  /** The next so many list calls fail. */
  failLists = 0
  /** The next so many `listRoutes` calls say that they were interrupted. */
  interruptLists = 0
  /** What happens behind our back while the next write is under way, before it takes effect. */
  duringWrite: (() => void) | null = null
  /** What happens behind our back after every write. */
  afterWrites: (() => void) | null = null
  #routes: KernelRoute[] = []
  #events: ((listener: KernelListener) => void)[] = []
  #eventRoom = Number.POSITIVE_INFINITY
  #haveLostEvents = false

  /** A host with eth0 and eth1 as the contract wants it. */
  static host(): FakeKernel {
    const kernel = new FakeKernel()
    kernel.setLink({ index: 1, name: 'lo', isUp: true, isRunning: true })
    kernel.setLink({ index: 2, name: 'eth0', isUp: true, isRunning: true })
    kernel.setLink({ index: 3, name: 'eth1', isUp: true, isRunning: true })
    for (const [address, interfaceIndex] of [
      ['10.0.0.1/24', 2],
      ['fd00::1/64', 2],
      ['10.0.1.1/24', 3],
      ['fd01::1/64', 3],
    ] as const) {
      kernel.addAddress(address, interfaceIndex)
    }
    kernel.#events = []
    return kernel
  }

  get routes(): readonly KernelRoute[] {
    return this.#routes
  }

  get ours(): readonly KernelRoute[] {
    return this.#routes.filter(({ protocol }) => protocol === OUR_PROTOCOL)
  }

  /** Events beyond this many are dropped, until the queue is drained. */
  limitEvents(room: number): void {
    this.#eventRoom = room
  }

  listRoutes(family: IpFamily, visit: { restart(): void; route(view: RouteView): void }): 'consistent' | 'interrupted' {
    this.calls.listRoutes++
    this.#maybeFail()
    visit.restart()
    for (const route of this.#routes) if (familyOf(route.prefix.address) === family) visit.route(viewOf(route))
    if (this.interruptLists === 0) return 'consistent'
    this.interruptLists--
    return 'interrupted'
  }

  listLinks(): { readonly links: readonly HostLink[]; readonly addresses: readonly HostAddress[] } {
    this.calls.listLinks++
    this.#maybeFail()
    return { links: [...this.links.values()], addresses: [...this.addresses] }
  }

  write(writes: RouteWrites): WriteOutcome {
    this.calls.writes++
    this.duringWrite?.()
    this.duringWrite = null
    const failures: WriteFailure[] = []
    for (let index = 0; index < writes.count; index++) {
      const refusal = this.#writeOne(writes, index)
      if (refusal !== null) failures.push({ index, code: refusal.code, text: refusal.text })
    }
    this.afterWrites?.()
    if (this.loseAnswers === 0) return { failures, unknown: [] }
    this.loseAnswers--
    return { failures: [], unknown: [{ from: 0, to: writes.count }] }
  }

  drain(listener: KernelListener): boolean {
    this.calls.drains++
    const events = this.#events
    const haveLost = this.#haveLostEvents
    this.#events = []
    this.#haveLostEvents = false
    for (const tell of events) tell(listener)
    if (haveLost) listener.eventsLost()
    return events.length > 0 || haveLost
  }

  [Symbol.dispose](): void {}

  /** What another program does: `ip route add|replace|append`. */
  foreign(verb: 'add' | 'replace' | 'append', route: KernelRoute, { silently = false } = {}): void {
    const same = this.#routes.findIndex((other) => sameKey(other, route))
    if (verb === 'add' && same >= 0) throw new Error('File exists')
    if (verb === 'replace' && same >= 0) this.#routes[same] = route
    else this.#routes.push(route)
    if (!silently) this.#tellRoute(route, verb === 'append' ? 'appended' : verb === 'replace' && same >= 0 ? 'replaced' : 'added')
  }

  /** Another program removes whatever the predicate picks. `silently`: without an event. */
  remove(pick: (route: KernelRoute) => boolean, { silently = false } = {}): number {
    const gone = this.#routes.filter(pick)
    this.#routes = this.#routes.filter((route) => !pick(route))
    if (!silently) for (const route of gone) this.#tellRoute(route, 'removed')
    return gone.length
  }

  /** Another program removes one next hop of several: the event tells of that one only, as IPv6 does. */
  removeNextHop(pick: (route: KernelRoute) => boolean, gateway: string): void {
    for (const [at, route] of this.#routes.entries()) {
      if (!pick(route) || route.body.kind !== 'unicast') continue
      const { nextHops } = route.body
      const isGone = (hop: NextHop): boolean => hop.gateway === ip(gateway)
      this.#routes[at] = { ...route, body: { ...route.body, nextHops: nextHops.filter((hop) => !isGone(hop)) } }
      this.#tellRoute({ ...route, body: { ...route.body, nextHops: nextHops.filter(isGone) } }, 'removed')
    }
  }

  setLink({ mtu = 1500, ...rest }: Omit<HostLink, 'mtu'> & { readonly mtu?: number }): void {
    const link = { ...rest, mtu }
    const before = this.links.get(link.index)
    this.links.set(link.index, link)
    if (before?.isUp === true && !link.isUp) this.#flushLink(link.index)
    if (before?.isUp === false && link.isUp) for (const own of this.addresses) if (own.interfaceIndex === link.index) this.#connect(own)
    this.#tell((listener) => listener.linkChanged(link))
  }

  removeLink(index: number): void {
    this.links.delete(index)
    this.#flushLink(index)
    this.#tell((listener) => listener.linkRemoved(index))
  }

  addAddress(text: string, interfaceIndex: number, isUsable = true): void {
    const own = { ...parse(text), interfaceIndex, isUsable }
    const known = this.addresses.findIndex((other) => other.address === own.address && other.interfaceIndex === interfaceIndex)
    if (known >= 0) this.addresses.splice(known, 1)
    else this.#connect(own)
    this.addresses.push(own)
    this.#tell((listener) => listener.addressChanged(own))
  }

  removeAddress(text: string, interfaceIndex: number): void {
    const { address } = parse(text)
    const at = this.addresses.findIndex((own) => own.address === address && own.interfaceIndex === interfaceIndex)
    const [own] = this.addresses.splice(at, 1)
    if (at < 0 || own === undefined) throw new Error('Cannot assign requested address')
    const onLink = prefix(own.address, own.prefixLength)
    this.remove(({ protocol, prefix: to }) => protocol === RTPROT_KERNEL && to.address === onLink.address && to.length === onLink.length)
    if (isIpv4(address)) this.remove(({ body }) => body.kind === 'unicast' && body.source === address, { silently: true })
    this.#tell((listener) => listener.addressRemoved(own))
  }

  #writeOne(writes: RouteWrites, index: number): Refusal | null {
    this.calls.written++
    const octets = writes.family === 4 ? 4 : 16
    const to = { address: ipFromBytes(writes.family, writes.addresses, index * octets), length: writes.lengths[index] ?? 0 }
    const body = writes.bodies[writes.bodyOf[index] ?? 0] ?? BLACKHOLE
    const route: KernelRoute = { prefix: to, body, protocol: OUR_PROTOCOL, metric: writes.metric, tos: writes.tos }
    const same = this.#routes.findIndex((other) => sameKey(other, route))
    const operation = writes.operations[index]
    const refusal = this.refuse.get(formatPrefix(to)) ?? null
    if (refusal !== null) return refusal
    if (operation === REMOVE) {
      const ours = this.#routes.findIndex((other) => sameKey(other, route) && other.protocol === OUR_PROTOCOL)
      if (ours >= 0) {
        this.#routes.splice(ours, 1)
        this.calls.removed++
      }
      return null
    }
    if (operation === CREATE && same >= 0) return { code: 'EEXIST', text: 'File exists' }
    const fault = this.#faultOf(body)
    if (fault !== null) return fault
    if (operation === REPLACE && same >= 0) this.#routes[same] = route
    else this.#routes.push(route)
    if (operation === CREATE) this.calls.created++
    else this.calls.replaced++
    return null
  }

  #faultOf(body: RouteBody): Refusal | null {
    if (body.kind !== 'unicast') return null
    const { source } = body
    if (source !== null && !this.addresses.some((own) => own.address === source && own.isUsable))
      return { code: 'EINVAL', text: 'Invalid source address' }
    for (const hop of body.nextHops) {
      if (this.links.get(hop.interfaceIndex)?.isUp !== true) return { code: 'ENETDOWN', text: 'Device for nexthop is not up' }
      if (hop.gateway !== null && !hop.onlink && !this.#isReachable(hop.gateway, hop.interfaceIndex)) {
        return { code: 'ENETUNREACH', text: 'Nexthop has invalid gateway' }
      }
    }
    return null
  }

  #isReachable(gateway: IpAddress, index: number): boolean {
    return (
      isLinkLocalIpv6(gateway) ||
      this.addresses.some((own) => own.interfaceIndex === index && containsAddress(prefix(own.address, own.prefixLength), gateway))
    )
  }

  #connect({ address, prefixLength, interfaceIndex }: Omit<HostAddress, 'isUsable'>): void {
    const body: RouteBody = { kind: 'unicast', nextHops: [{ gateway: null, interfaceIndex, onlink: false }], source: null }
    const metric = isIpv4(address) ? 0 : 256
    this.foreign('append', { prefix: prefix(address, prefixLength), body, protocol: RTPROT_KERNEL, metric, tos: 0 })
  }

  /** IPv4 says nothing of the routes that go; IPv6 tells of each, and drops the addresses too. */
  #flushLink(index: number): void {
    const isLost = ({ body }: KernelRoute): boolean =>
      body.kind === 'unicast' &&
      body.nextHops.some((hop) => hop.interfaceIndex === index) &&
      body.nextHops.every((hop) => this.links.get(hop.interfaceIndex)?.isUp !== true)
    this.remove((route) => isLost(route) && isIpv4(route.prefix.address), { silently: true })
    this.remove((route) => isLost(route))
    for (const own of this.addresses.filter(({ address, interfaceIndex }) => interfaceIndex === index && !isIpv4(address))) {
      this.addresses.splice(this.addresses.indexOf(own), 1)
      this.#tell((listener) => listener.addressRemoved(own))
    }
  }

  #tellRoute(route: KernelRoute, change: RouteChangeKind): void {
    this.#tell((listener) => listener.routeChanged(viewOf(route), change))
  }

  #tell(event: (listener: KernelListener) => void): void {
    if (this.#events.length < this.#eventRoom) this.#events.push(event)
    else this.#haveLostEvents = true
  }

  #maybeFail(): void {
    if (this.failLists === 0) return
    this.failLists--
    throw new RouteBackendError('ENOBUFS', 'listing failed as the test wanted', null)
  }
}

function viewOf({ prefix: to, body, protocol, metric, tos }: KernelRoute): RouteView {
  const address = new Uint8Array(16)
  address.set(ipToBytes(to.address))
  return { family: familyOf(to.address), address, length: to.length, protocol, metric, tos, body }
}

function sameKey(a: KernelRoute, b: KernelRoute): boolean {
  return a.prefix.address === b.prefix.address && a.prefix.length === b.prefix.length && a.metric === b.metric && a.tos === b.tos
}

function parse(text: string): { readonly address: IpAddress; readonly prefixLength: number } {
  const [address = '', length = ''] = text.split('/')
  return { address: ip(address), prefixLength: Number(length) }
}
