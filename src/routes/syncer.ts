// Keeps the kernel's routes what BGP and this node want them to be. Level-triggered: events and timers only say when to look;
// what is written is always desired minus actual. Everything is synchronous and meant for a thread that may block on the kernel's
// routing lock. A turn: hear what others did, read back if in doubt, write the difference, arm the next look.
import type { Clock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import { err, ok, type Result } from '../lib/result.ts'
import { type FibBatch, familyOf, formatIp, formatPrefix, type HostNetwork, type IpFamily, isIpv4, parsePrefix } from '../net/index.ts'
import type { HostAddress, HostLink, KernelListener, RouteBackend, RouteView } from './backend.ts'
import { RouteBackendError } from './backend.ts'
import { Fib } from './fib.ts'
import { HostLinks, hostNetwork, isLostWith, type PeerOnLink, uplinksOf } from './links.ts'
import { type LocalRoutes, NO_LOCAL_ROUTES, planLocal, usableSource } from './plan.ts'
import { type PodRoute, type PodRouteFault, PodRoutes } from './pods.ts'
import type { KernelRoute } from './route.ts'
import { countRoutes, type RouteCounts, type RouteProblem, type RouteStatus, routeProblems, routeStatuses } from './status.ts'
import type { SysctlNeeds } from './sysctl/index.ts'
import { TUNNELS } from './tunnel/plan.ts'
import type { PendingWrites } from './write-columns.ts'

export type RouteSyncerOptions = {
  readonly backend: RouteBackend
  readonly log: Log
  readonly clock: Clock
  /** In [0, 1); jitters retries. */
  readonly random?: () => number
  /** How often everything is read back though nothing seems to have changed. */
  readonly readBackIntervalMs?: number
  /** Told after links, addresses or routes of others changed; changes that come close together are told once. */
  readonly onHostNetwork?: (network: HostNetwork) => void
  /** Told at the end of every turn. */
  readonly onTurn?: () => void
}

const FAMILIES: readonly IpFamily[] = [4, 6]
/** Between two looks at what others did while we write: bounds how long we may work on old knowledge. */
const WRITES_AT_A_TIME = 2048
const PASSES = 3
/** A row is written, perhaps taken out for being refused, and looked at again: more than that is somebody undoing what we do. */
const WRITES_OF_A_ROW = 3
const SLICES_EXTRA = 4
/** How long somebody who undoes what we do has the last word. */
const TRUCE_MS = 100
/** A read-back may take at most a fifth of the time, however much the kernel gives us reason to doubt. */
const READ_BACK_GAP_MS = 250
const READ_BACK_GAP_FACTOR = 4
const COALESCE_MS = 20
const RETRY_AFTER_ERROR_MS = 2_000
const FAILURES_LOGGED_A_TURN = 5

export class RouteSyncer implements Disposable {
  readonly #backend: RouteBackend
  readonly #log: Log
  readonly #clock: Clock
  readonly #readBackIntervalMs: number
  readonly #onHostNetwork: (network: HostNetwork) => void
  readonly #onTurn: () => void
  readonly #fibs: Readonly<Record<IpFamily, Fib>>
  readonly #host = new HostLinks()
  readonly #listener: KernelListener
  #local: LocalRoutes = NO_LOCAL_ROUTES
  /** Version of `#host` that the local routes were planned for; -1: plan again. */
  #plannedVersion = -1
  #isHostInDoubt = true
  #hasLocal = false
  readonly #pods: PodRoutes
  #hidden: ReadonlySet<string> = new Set()
  #lastReadBackMs = Number.NEGATIVE_INFINITY
  #lastReadBackTookMs = 0
  #error: string | null = null
  #timer: Disposable | null = null
  #tellTimer: Disposable | null = null
  #toldVersion = ''
  #failuresToLog = 0
  #isDisposed = false

  /** Does nothing to the kernel until the first call. */
  constructor(options: RouteSyncerOptions) {
    const { backend, log, clock, random = Math.random, readBackIntervalMs = 60_000, onHostNetwork = () => {}, onTurn = () => {} } = options
    this.#backend = backend
    this.#log = log
    this.#clock = clock
    this.#readBackIntervalMs = readBackIntervalMs
    this.#onHostNetwork = onHostNetwork
    this.#onTurn = onTurn
    this.#fibs = { 4: new Fib(4, random), 6: new Fib(6, random) }
    this.#pods = new PodRoutes(this.#host, this.#fibs)
    this.#listener = this.#listen()
  }

  /** Takes in changes of best paths and brings them to the kernel. */
  applyBatch(batch: FibBatch): void {
    this.#fibs[batch.family].applyBatch(batch)
    this.#turn()
  }

  /** The whole truth about this node's own routes. */
  setLocal(local: LocalRoutes): void {
    this.#local = local
    this.#hasLocal = true
    this.#plannedVersion = -1
    this.#turn()
  }

  /**
   * The whole truth about the pods of this node. Say it once before `allowSweep`: until then, no route to a pod that a predecessor
   * left is swept.
   */
  setPods(pods: readonly PodRoute[]): void {
    this.#pods.replaceAll(pods)
    this.#turn()
  }

  /**
   * Adds pods to those known. Their routes are in the kernel when this returns, or it says why not and nothing is changed. It costs
   * the same however many there are already.
   */
  ensurePods(pods: readonly PodRoute[]): Result<void, PodRouteFault> {
    this.#hear()
    const unready = this.#podFault(pods, (pod) => this.#pods.linkFault(pod))
    if (unready !== null) return err(unready)
    const before = pods.map(({ address }) => ({ address, interface: this.#pods.interfaceOf(address) }))
    for (const { address, interface: name } of pods) this.#pods.place(address, name)
    this.#turn()
    // Something unknown to us may be in the way: look, and try once more.
    if (pods.some(({ address }) => this.#fibs[familyOf(address)].isInDoubt)) this.#turn(true)
    const fault = this.#podFault(pods, (pod) => this.#pods.routeFault(pod))
    if (fault === null) return ok(undefined)
    for (const { address, interface: name } of before) this.#pods.place(address, name)
    this.#turn()
    return err(fault)
  }

  /** Forgets pods, each only if it is still behind that interface. */
  dropPods(pods: readonly PodRoute[]): void {
    for (const { address, interface: name } of pods) if (this.#pods.interfaceOf(address) === name) this.#pods.place(address, null)
    this.#turn()
  }

  /** Every input is known (End-of-RIB seen or waited for): routes of ours that nobody has asked for may go. */
  allowSweep(family?: IpFamily): void {
    for (const each of FAMILIES) {
      if (family !== undefined && family !== each) continue
      const fib = this.#fibs[each]
      if (!fib.policy.maySweep) this.#log.info('routes.sweep.allowed', { family: each, stale: countRoutes(fib).stale })
      fib.setPolicy({ ...fib.policy, maySweep: true })
    }
    this.#turn()
  }

  /** False takes every route of ours out of the kernel and keeps it so (`installRoutes`). */
  setInstall(installRoutes: boolean): void {
    for (const family of FAMILIES) this.#fibs[family].setPolicy({ ...this.#fibs[family].policy, installRoutes })
    this.#turn()
  }

  /** Reads everything back and repairs what differs. */
  resync(): void {
    this.#doubtEverything()
    this.#lastReadBackMs = Number.NEGATIVE_INFINITY
    this.#turn()
  }

  /** Something may have happened in the kernel (its event socket is readable): looks, and repairs at once. */
  poll(): void {
    this.#turn()
  }

  /** True once the kernel has been read, and nothing that can be written waits to be. */
  hasSynced(): boolean {
    return this.#error === null && FAMILIES.every((family) => !this.#fibs[family].isBlind && !this.#fibs[family].isInDoubt)
  }

  /** Routes of ours, wanted or present, in order; `prefix` limits it to one. Throws RangeError if that is not a prefix. */
  status(prefix: string | null = null): readonly RouteStatus[] {
    const only = prefix === null ? null : parsePrefix(prefix)
    if (prefix !== null && only === null) throw new RangeError(`not a prefix: ${JSON.stringify(prefix)}`)
    const nameOf = (index: number): string => this.#host.nameOf(index)
    return FAMILIES.filter((family) => only === null || isIpv4(only.address) === (family === 4)).flatMap((family) =>
      routeStatuses(this.#fibs[family], nameOf, only).map(({ status }) => status),
    )
  }

  counts(): RouteCounts {
    const [four, six] = [countRoutes(this.#fibs[4]), countRoutes(this.#fibs[6])]
    return {
      desired: four.desired + six.desired,
      inKernel: four.inKernel + six.inKernel,
      failed: four.failed + six.failed,
      shadowed: four.shadowed + six.shadowed,
      stale: four.stale + six.stale,
      installRoutes: four.installRoutes,
    }
  }

  problems(): readonly RouteProblem[] {
    const problems: RouteProblem[] = []
    if (this.#error !== null)
      problems.push({ severity: 'error', subject: 'routes', message: `the kernel's routes cannot be read: ${this.#error}` })
    if (this.#hasLocal && !this.#isHostInDoubt) problems.push(...this.#missingSources())
    for (const family of FAMILIES) problems.push(...routeProblems(this.#fibs[family], (index) => this.#host.nameOf(index)))
    return problems
  }

  /** The host's links, addresses and routes other than ours, as last seen. */
  hostNetwork(): HostNetwork {
    return hostNetwork(this.#host, this.#foreignRoutes(), this.#hidden)
  }

  /** Interfaces that are about to be removed: the host's network is shown without them. */
  setHidden(names: ReadonlySet<string>): void {
    const isSame = names.size === this.#hidden.size && [...names].every((name) => this.#hidden.has(name))
    if (isSame) return
    this.#hidden = names
    this.#host.version++
    this.#tellLater()
  }

  /** True if a route of ours in the kernel leaves by this interface. */
  usesInterface(index: number): boolean {
    return FAMILIES.some((family) => this.#fibs[family].usesInterface(index))
  }

  /** Changes whenever links (but pods'), addresses, this node's own, or routes of others do, MTUs included. */
  hostVersion(): string {
    const { ipv4, ipv6 } = this.#local.preferredSource
    return `${this.#version()} ${this.#host.mtuVersion} ${ipv4} ${ipv6}`
  }

  /** The host's links, as last seen. */
  links(): readonly HostLink[] {
    return this.#host.links
  }

  /** What `applySysctls` needs to know of the host. */
  uplinks(peers: readonly PeerOnLink[]): Pick<SysctlNeeds, 'uplinks' | 'tunnels' | 'raDefaultInterfaces'> {
    const { ipv4, ipv6 } = this.#local.preferredSource
    const own = [ipv4, ipv6].filter((address) => address !== null)
    const tunnels = FAMILIES.map((family) => TUNNELS[family].name).filter((name) => this.#host.linkNamed(name) !== undefined)
    return { ...uplinksOf(this.#host, [...this.#foreignRoutes()], peers, own), tunnels }
  }

  /** Leaves the kernel's routes as they are. The backend is the caller's to close. */
  [Symbol.dispose](): void {
    this.#isDisposed = true
    this.#timer?.[Symbol.dispose]()
    this.#tellTimer?.[Symbol.dispose]()
  }

  #turn(mustReadBack = false): void {
    if (this.#isDisposed) return
    this.#failuresToLog = FAILURES_LOGGED_A_TURN
    try {
      if (mustReadBack) this.#readBack()
      this.#sync()
      if (this.#error !== null) this.#log.info('routes.kernel.readAgain')
      this.#error = null
    } catch (cause) {
      if (!(cause instanceof RouteBackendError)) throw cause
      if (this.#error !== cause.message) this.#log.error('routes.kernel.failed', { err: cause })
      this.#error = cause.message
      this.#doubtEverything()
    }
    this.#arm()
    this.#onTurn()
    this.#tellLater()
  }

  /** Learns of what is new, interfaces made a moment ago among it; reads everything where too little is known. */
  #hear(): void {
    try {
      this.#backend.drain(this.#listener)
    } catch (cause) {
      if (!(cause instanceof RouteBackendError)) throw cause // the next turn meets it again, and reports it
    }
    if (this.#isHostInDoubt || FAMILIES.some((family) => this.#fibs[family].isBlind)) this.#turn(true)
  }

  #podFault(pods: readonly PodRoute[], faultOf: (pod: PodRoute) => string | null): PodRouteFault | null {
    for (const pod of pods) {
      const message = this.#error === null ? faultOf(pod) : `the kernel's routes cannot be read: ${this.#error}`
      if (message !== null) return { address: pod.address, message }
    }
    return null
  }

  #sync(): void {
    for (let pass = 0; pass < PASSES; pass++) {
      if (this.#isInDoubt() && this.#clock.nowMs() >= this.#mayReadBackAtMs()) this.#readBack()
      for (const family of FAMILIES) this.#flush(this.#fibs[family])
      if (!this.#isInDoubt()) return
    }
  }

  #isInDoubt(): boolean {
    return this.#isHostInDoubt || this.#fibs[4].isInDoubt || this.#fibs[6].isInDoubt
  }

  #doubtEverything(): void {
    this.#isHostInDoubt = true
    for (const family of FAMILIES) {
      this.#fibs[family].isInDoubt = true
      this.#fibs[family].isBlind = true
    }
  }

  #mayReadBackAtMs(): number {
    return this.#lastReadBackMs + Math.max(READ_BACK_GAP_MS, READ_BACK_GAP_FACTOR * this.#lastReadBackTookMs)
  }

  #readBack(): void {
    const startedMs = this.#clock.nowMs()
    if (this.#isHostInDoubt) {
      const { links, addresses } = this.#backend.listLinks()
      this.#host.replaceAll(links, addresses)
      this.#isHostInDoubt = false
      this.#pods.linksRead()
    }
    for (const family of FAMILIES) {
      const fib = this.#fibs[family]
      if (!fib.isInDoubt) continue
      const wasBlind = fib.isBlind
      const outcome = this.#backend.listRoutes(family, {
        restart: () => fib.startReadBack(),
        route: (view) => {
          if (!this.#isOfPodLink(view)) fib.readRoute(view)
        },
      })
      const missing = fib.finishReadBack(outcome)
      if (missing > 0 && !wasBlind) this.#log.warn('routes.drift.found', { family, missing })
    }
    this.#lastReadBackMs = this.#clock.nowMs()
    this.#lastReadBackTookMs = this.#lastReadBackMs - startedMs
  }

  /** Statics and source addresses depend on which addresses the host has. */
  #planLocal(): void {
    if (!this.#hasLocal || this.#isHostInDoubt || this.#plannedVersion === this.#host.version) return
    this.#plannedVersion = this.#host.version
    const { addresses } = this.#host
    for (const family of FAMILIES) {
      const source = usableSource(family, this.#local, addresses)
      const outerInterface = family === 6 ? (this.#host.linkNamed(TUNNELS[6].name)?.index ?? null) : null
      this.#fibs[family].setLocal(planLocal(family, this.#local, addresses), source, outerInterface)
      this.#pods.setSource(family, source)
    }
  }

  #flush(fib: Fib): void {
    for (let slice = 0, slices = 1; slice < slices; slice++) {
      this.#backend.drain(this.#listener)
      this.#planLocal()
      if (fib.isBlind) return
      const nowMs = this.#clock.nowMs()
      if (slice === 0 || fib.isHopeful) fib.queueRetries(nowMs)
      if (slice === 0) slices = SLICES_EXTRA + Math.ceil((fib.queued / WRITES_AT_A_TIME) * WRITES_OF_A_ROW)
      const pending = fib.nextWrites(WRITES_AT_A_TIME, nowMs)
      if (pending === null) break
      const outcome = this.#backend.write(pending.writes)
      fib.recordOutcome(pending, outcome, nowMs)
      for (const { index, code, text } of outcome.failures) this.#logFailure(fib, pending, index, code, text)
    }
    for (const writes of fib.takeMisplaced()) this.#backend.write(writes)
  }

  #logFailure(fib: Fib, { rows }: PendingWrites, index: number, code: string, text: string | null): void {
    const row = rows[index] ?? 0
    if (code === 'EEXIST' || fib.failures.get(row)?.attempts !== 1 || this.#failuresToLog === 0) return
    this.#failuresToLog--
    this.#log.warn('routes.route.refused', { prefix: formatPrefix(fib.prefixOf(row)), code, kernelText: text })
  }

  #listen(): KernelListener {
    return {
      routeChanged: (view, change) => {
        if (!this.#isOfPodLink(view)) this.#fibs[view.family].routeChanged(view, change)
      },
      linkChanged: (link) => this.#linkChanged(link),
      linkRemoved: (index) => this.#linkRemoved(index),
      addressChanged: (address) => {
        this.#host.setAddress(address)
        if (address.isUsable) this.#hope()
      },
      addressRemoved: (address) => this.#addressRemoved(address),
      eventsLost: () => {
        this.#log.warn('routes.events.lost')
        this.#doubtEverything()
      },
    }
  }

  /** The link-local prefix of a pod's link is nothing to us: it would be told to everybody whenever a pod comes or goes. */
  #isOfPodLink({ family, body, address }: RouteView): boolean {
    const isLinkLocal = family === 6 && address[0] === 0xfe && ((address[1] ?? 0) & 0xc0) === 0x80
    return isLinkLocal && body.kind === 'unicast' && body.nextHops.every((hop) => this.#host.isPod(hop.interfaceIndex))
  }

  /**
   * IPv4 routes whose last link goes down are dropped by the kernel without a word (fib_sync_down_dev); IPv6 ones are told one
   * by one, unless a sysctl forbids it.
   */
  #linkChanged(link: HostLink): void {
    const before = this.#host.link(link.index)
    this.#host.setLink(link)
    const wasUp = before?.isUp ?? false
    if (before === undefined || before.name !== link.name || wasUp !== link.isUp) {
      if (before !== undefined) this.#pods.linkChanged(before.name)
      this.#pods.linkChanged(link.name)
    }
    if (link.isRunning && !(before?.isRunning ?? false)) this.#hope()
    if (!wasUp || link.isUp) return
    this.#fibs[4].foreign.forget((route) => isLostWith(route, link.index, (index) => this.#host.link(index)?.isUp ?? false))
    for (const family of FAMILIES) this.#fibs[family].interfaceLost(link.index)
  }

  #linkRemoved(index: number): void {
    for (const family of FAMILIES) this.#fibs[family].interfaceLost(index)
    const name = this.#host.nameOf(index)
    this.#host.removeLink(index)
    this.#pods.linkChanged(name)
    this.#fibs[4].foreign.forget(
      (route) => route.body.kind === 'unicast' && route.body.nextHops.some((hop) => hop.interfaceIndex === index),
    )
  }

  /** With an address go the IPv4 routes that prefer it as source, and with the last one of a link every route over it. */
  #addressRemoved(own: HostAddress): void {
    this.#host.removeAddress(own)
    if (isIpv4(own.address)) this.#fibs[4].isInDoubt = true
  }

  #hope(): void {
    for (const family of FAMILIES) this.#fibs[family].isHopeful = true
  }

  #missingSources(): readonly RouteProblem[] {
    const { ipv4, ipv6 } = this.#local.preferredSource
    return [ipv4, ipv6]
      .filter((address) => address !== null)
      .filter((address) => usableSource(isIpv4(address) ? 4 : 6, this.#local, this.#host.addresses) === null)
      .map((address) => ({
        severity: 'warning',
        subject: `address/${formatIp(address)}`,
        message: 'not a usable address of this host, so routes are installed without a preferred source; correct the node address',
      }))
  }

  *#foreignRoutes(): Generator<KernelRoute> {
    for (const family of FAMILIES) yield* this.#fibs[family].foreign.all()
  }

  /** One timer for whatever is due first: a read-back, by plan or in doubt, or the retry of a failure. */
  #arm(): void {
    const nowMs = this.#clock.nowMs()
    const delayMs = Math.max(1, (this.#error === null ? this.#nextDueMs() : nowMs + RETRY_AFTER_ERROR_MS) - nowMs)
    this.#timer?.[Symbol.dispose]()
    this.#timer = this.#clock.after(delayMs, () => {
      if (this.#clock.nowMs() >= this.#lastReadBackMs + this.#readBackIntervalMs) {
        this.#isHostInDoubt = true
        for (const family of FAMILIES) this.#fibs[family].isInDoubt = true
      }
      this.#turn()
    })
  }

  #nextDueMs(): number {
    const dueMs = [this.#lastReadBackMs + this.#readBackIntervalMs]
    if (this.#isInDoubt()) dueMs.push(this.#mayReadBackAtMs())
    if (FAMILIES.some((family) => this.#fibs[family].queued > 0 && !this.#fibs[family].isBlind)) dueMs.push(this.#clock.nowMs() + TRUCE_MS)
    for (const family of FAMILIES) dueMs.push(this.#fibs[family].failures.nextMs() ?? Number.POSITIVE_INFINITY)
    return Math.min(...dueMs)
  }

  #tellLater(): void {
    if (this.#isHostInDoubt || this.#tellTimer !== null || this.#version() === this.#toldVersion) return
    this.#tellTimer = this.#clock.after(COALESCE_MS, () => {
      this.#tellTimer = null
      this.#toldVersion = this.#version()
      this.#onHostNetwork(this.hostNetwork())
    })
  }

  #version(): string {
    return `${this.#host.version} ${this.#fibs[4].foreign.version} ${this.#fibs[6].foreign.version}`
  }
}
