// Keeps the kernel's routes what BGP and this node want them to be. Level-triggered: events and timers only say when to look;
// what is written is always desired minus actual. Everything is synchronous and meant for a thread that may block on the kernel's
// routing lock. A turn: hear what others did, read back if in doubt, write the difference, arm the next look.
import type { Clock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import { err, ok, type Result } from '../lib/result.ts'
import { type FibBatch, familyOf, formatPrefix, type HostNetwork, IP_FAMILIES, type IpFamily, isIpv4, parsePrefix } from '../net/index.ts'
import { type HostLink, type RouteBackend, RouteBackendError } from './backend.ts'
import type { Fib } from './fib.ts'
import { HostReport } from './host-report.ts'
import { KernelEvents } from './kernel-events.ts'
import type { PeerOnLink } from './links.ts'
import { OwnRoutes } from './own-routes.ts'
import type { LocalRoutes } from './plan.ts'
import type { PodRoute, PodRouteFault } from './pods.ts'
import { ReadBack } from './read-back.ts'
import { countRoutes, type RouteCounts, type RouteProblem, type RouteStatus, routeProblems, routeStatuses } from './status.ts'
import type { SysctlNeeds } from './sysctl/index.ts'
import { RouteTables } from './tables.ts'
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

/** Between two looks at what others did while we write: bounds how long we may work on old knowledge. */
const WRITES_AT_A_TIME = 2048
const PASSES = 3
/** A row is written, perhaps taken out for being refused, and looked at again: more than that is somebody undoing what we do. */
const WRITES_OF_A_ROW = 3
const SLICES_EXTRA = 4
/** How long somebody who undoes what we do has the last word. */
const TRUCE_MS = 100
const RETRY_AFTER_ERROR_MS = 2_000
const FAILURES_LOGGED_A_TURN = 5

export class RouteSyncer implements Disposable {
  readonly #backend: RouteBackend
  readonly #log: Log
  readonly #clock: Clock
  readonly #onTurn: () => void
  readonly #tables: RouteTables
  readonly #events: KernelEvents
  readonly #readBack: ReadBack
  readonly #own: OwnRoutes
  readonly #report: HostReport
  #error: string | null = null
  #timer: Disposable | null = null
  #failuresToLog = 0
  #isDisposed = false

  /** Does nothing to the kernel until the first call. */
  constructor(options: RouteSyncerOptions) {
    const { backend, log, clock, random = Math.random, readBackIntervalMs = 60_000, onHostNetwork = () => {}, onTurn = () => {} } = options
    this.#backend = backend
    this.#log = log
    this.#clock = clock
    this.#onTurn = onTurn
    this.#tables = new RouteTables(random)
    this.#events = new KernelEvents(this.#tables, log)
    this.#readBack = new ReadBack({ backend, tables: this.#tables, clock, log, intervalMs: readBackIntervalMs })
    this.#own = new OwnRoutes(this.#tables)
    this.#report = new HostReport(this.#tables, this.#own, clock, onHostNetwork)
  }

  /** Takes in changes of best paths and brings them to the kernel. */
  applyBatch(batch: FibBatch): void {
    this.#tables.fibs[batch.family].applyBatch(batch)
    this.#turn()
  }

  /** The whole truth about this node's own routes. */
  setLocal(local: LocalRoutes): void {
    this.#own.set(local)
    this.#turn()
  }

  /**
   * The whole truth about the pods of this node. Say it once before `allowSweep`: until then, no route to a pod that a predecessor
   * left is swept.
   */
  setPods(pods: readonly PodRoute[]): void {
    this.#tables.pods.replaceAll(pods)
    this.#turn()
  }

  /**
   * Adds pods to those known. Their routes are in the kernel when this returns, or it says why not and nothing is changed. It costs
   * the same however many there are already.
   */
  ensurePods(pods: readonly PodRoute[]): Result<void, PodRouteFault> {
    this.#hear()
    const unready = this.#podFault(pods, (pod) => this.#tables.pods.linkFault(pod))
    if (unready !== null) return err(unready)
    const before = pods.map(({ address }) => ({ address, interface: this.#tables.pods.interfaceOf(address) }))
    for (const { address, interface: name } of pods) this.#tables.pods.place(address, name)
    this.#turn()
    // Something unknown to us may be in the way: look, and try once more.
    if (pods.some(({ address }) => this.#tables.fibs[familyOf(address)].isInDoubt)) this.#turn(true)
    const fault = this.#podFault(pods, (pod) => this.#tables.pods.routeFault(pod))
    if (fault === null) return ok(undefined)
    for (const { address, interface: name } of before) this.#tables.pods.place(address, name)
    this.#turn()
    return err(fault)
  }

  /** Forgets pods, each only if it is still behind that interface. */
  dropPods(pods: readonly PodRoute[]): void {
    for (const { address, interface: name } of pods)
      if (this.#tables.pods.interfaceOf(address) === name) this.#tables.pods.place(address, null)
    this.#turn()
  }

  /** Every input is known (End-of-RIB seen or waited for): routes of ours that nobody has asked for may go. */
  allowSweep(family?: IpFamily): void {
    for (const each of IP_FAMILIES) {
      if (family !== undefined && family !== each) continue
      const fib = this.#tables.fibs[each]
      if (!fib.policy.maySweep) this.#log.info('routes.sweep.allowed', { family: each, stale: countRoutes(fib).stale })
      fib.setPolicy({ ...fib.policy, maySweep: true })
    }
    this.#turn()
  }

  /** False takes every route of ours out of the kernel and keeps it so (`installRoutes`). */
  setInstall(installRoutes: boolean): void {
    for (const family of IP_FAMILIES) this.#tables.fibs[family].setPolicy({ ...this.#tables.fibs[family].policy, installRoutes })
    this.#turn()
  }

  /** Reads everything back and repairs what differs. */
  resync(): void {
    this.#tables.distrust()
    this.#readBack.expedite()
    this.#turn()
  }

  /** Something may have happened in the kernel (its event socket is readable): looks, and repairs at once. */
  poll(): void {
    if (this.#isDisposed) return
    const isNew = this.#drain()
    if (isNew || this.#error !== null || this.#tables.isInDoubt) this.#turn()
  }

  /** True once the kernel has been read, and nothing that can be written waits to be. */
  hasSynced(): boolean {
    return this.#error === null && IP_FAMILIES.every((family) => !this.#tables.fibs[family].isBlind && !this.#tables.fibs[family].isInDoubt)
  }

  /** Routes of ours, wanted or present, in order; `prefix` limits it to one. Throws RangeError if that is not a prefix. */
  status(prefix: string | null = null): readonly RouteStatus[] {
    const only = prefix === null ? null : parsePrefix(prefix)
    if (prefix !== null && only === null) throw new RangeError(`not a prefix: ${JSON.stringify(prefix)}`)
    const nameOf = (index: number): string => this.#tables.host.nameOf(index)
    return IP_FAMILIES.filter((family) => only === null || isIpv4(only.address) === (family === 4)).flatMap((family) =>
      routeStatuses(this.#tables.fibs[family], nameOf, only).map(({ status }) => status),
    )
  }

  counts(): RouteCounts {
    const [four, six] = [countRoutes(this.#tables.fibs[4]), countRoutes(this.#tables.fibs[6])]
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
    problems.push(...this.#own.problems())
    for (const family of IP_FAMILIES) problems.push(...routeProblems(this.#tables.fibs[family], (index) => this.#tables.host.nameOf(index)))
    return problems
  }

  /** The host's links, addresses and routes other than ours, as last seen. */
  hostNetwork(): HostNetwork {
    return this.#report.network()
  }

  /** Interfaces that are about to be removed: the host's network is shown without them. */
  setHidden(names: ReadonlySet<string>): void {
    this.#report.hide(names)
  }

  /** True if a route of ours in the kernel leaves by this interface. */
  usesInterface(index: number): boolean {
    return IP_FAMILIES.some((family) => this.#tables.fibs[family].usesInterface(index))
  }

  /** Changes whenever links (but pods'), addresses, this node's own, or routes of others do, MTUs included. */
  hostVersion(): string {
    return this.#report.version()
  }

  /** The host's links, as last seen. */
  links(): readonly HostLink[] {
    return this.#tables.host.links
  }

  /** What `applySysctls` needs to know of the host. */
  uplinks(peers: readonly PeerOnLink[]): Pick<SysctlNeeds, 'uplinks' | 'tunnels' | 'raDefaultInterfaces'> {
    return this.#report.uplinks(peers)
  }

  /** Leaves the kernel's routes as they are. The backend is the caller's to close. */
  [Symbol.dispose](): void {
    this.#isDisposed = true
    this.#timer?.[Symbol.dispose]()
    this.#report[Symbol.dispose]()
  }

  #turn(mustReadBack = false): void {
    if (this.#isDisposed) return
    this.#failuresToLog = FAILURES_LOGGED_A_TURN
    try {
      if (mustReadBack) this.#readBack.run()
      this.#sync()
      if (this.#error !== null) this.#log.info('routes.kernel.readAgain')
      this.#error = null
    } catch (cause) {
      if (!(cause instanceof RouteBackendError)) throw cause
      if (this.#error !== cause.message) this.#log.error('routes.kernel.failed', { err: cause })
      this.#error = cause.message
      this.#tables.distrust()
    }
    this.#arm()
    this.#onTurn()
    this.#report.tellLater()
  }

  /** Learns of what is new, interfaces made a moment ago among it; reads everything where too little is known. */
  #hear(): void {
    this.#drain()
    if (this.#tables.isHostInDoubt || this.#tables.isBlind) this.#turn(true)
  }

  /** False: nothing has happened. */
  #drain(): boolean {
    try {
      return this.#backend.drain(this.#events)
    } catch (cause) {
      if (!(cause instanceof RouteBackendError)) throw cause // the next turn meets it again, and reports it
      return true
    }
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
      if (this.#tables.isInDoubt && this.#clock.nowMs() >= this.#readBack.mayRunAtMs) this.#readBack.run()
      for (const family of IP_FAMILIES) this.#flush(this.#tables.fibs[family])
      if (!this.#tables.isInDoubt) return
    }
  }

  #flush(fib: Fib): void {
    for (let slice = 0, slices = 1; slice < slices; slice++) {
      this.#backend.drain(this.#events)
      this.#own.plan()
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

  /** One timer for whatever is due first: a read-back, by plan or in doubt, or the retry of a failure. */
  #arm(): void {
    const nowMs = this.#clock.nowMs()
    const delayMs = Math.max(1, (this.#error === null ? this.#nextDueMs() : nowMs + RETRY_AFTER_ERROR_MS) - nowMs)
    this.#timer?.[Symbol.dispose]()
    this.#timer = this.#clock.after(delayMs, () => {
      if (this.#clock.nowMs() >= this.#readBack.dueMs) this.#tables.doubt()
      this.#turn()
    })
  }

  #nextDueMs(): number {
    const dueMs = [this.#readBack.dueMs]
    if (this.#tables.isInDoubt) dueMs.push(this.#readBack.mayRunAtMs)
    for (const family of IP_FAMILIES) {
      const fib = this.#tables.fibs[family]
      if (fib.queued > 0 && !fib.isBlind) dueMs.push(this.#clock.nowMs() + TRUCE_MS)
      dueMs.push(fib.failures.nextMs() ?? Number.POSITIVE_INFINITY)
    }
    return Math.min(...dueMs)
  }
}
