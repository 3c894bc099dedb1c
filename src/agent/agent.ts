// The agent's main thread: watches the store, derives configuration, hands it to the bgp and dataplane threads, and answers
// people and machines. Holds no routing state: what it shows it asks of the thread that has it.
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads'
import { type Clock, systemClock } from '../lib/clock.ts'
import { Coalescer } from '../lib/coalesce.ts'
import type { Log, LogLevel } from '../lib/log.ts'
import { cidr, formatIp, formatPrefix, type HostNetwork, ipv4 } from '../net/index.ts'
import { type Change, type Selection, SnapshotBuilder, type Store, type WatchObserver } from '../store/index.ts'
import { type Beats, startBeat } from './beat.ts'
import { Channel } from './channel.ts'
import type { AgentStatus, Problem } from './control-api.ts'
import { type Derived, derive, derivedSelections, deriveServiceFacts, isDerivedFrom } from './derive/index.ts'
import type { CniOptions } from './options.ts'
import { stepsTo } from './order.ts'
import type { PodFigures } from './pod-metrics.ts'
import type { Pods } from './pods/index.ts'
import { PodsOwner } from './pods/owner.ts'
import type { Readiness } from './readiness.ts'
import { writeRestartState } from './restart-state.ts'
import { ServiceWatch } from './services/index.ts'
import type {
  BgpRequests,
  BgpThreadData,
  DataplaneRequests,
  DataplaneThreadData,
  FromBgp,
  FromDataplane,
  LocalSettings,
  ToBgp,
  ToDataplane,
} from './threads.ts'

export type AgentDeps = {
  readonly node: string
  readonly namespace: string
  readonly runDir: string
  readonly version: string
  readonly log: Log
  readonly logLevel: LogLevel
  readonly store: Store
  readonly beats: Beats
  readonly readiness: Readiness
  readonly peersUpBefore: readonly string[] | null
  /** null: no pods. */
  readonly cni: CniOptions | null
  /** A thread ended by itself: the process must end and be started again. */
  readonly onFatal: (thread: string, error: Error) => void
  readonly onTurn: (seconds: number, outcome: 'applied' | 'failed') => void
}

type ProblemSource = 'store' | 'configuration' | 'bgp' | 'dataplane' | 'pods' | 'services'

/** Manifests are often saved in a burst: one turn when it is over. */
const SETTLE_MS = 20
/** BGP waits no longer than this for rules and routes: a kernel that refuses them must not silence the node. */
const APPLY_WITHIN_MS = 5_000

export class Agent {
  readonly #deps: AgentDeps
  readonly #clock: Clock = systemClock
  readonly #startedAt = new Date()
  readonly #bgpWorker: Worker
  readonly #dataplaneWorker: Worker
  readonly bgp: Channel<FromBgp, ToBgp, Record<never, never>, BgpRequests>
  readonly dataplane: Channel<FromDataplane, ToDataplane, Record<never, never>, DataplaneRequests>
  readonly #objects = new SnapshotBuilder()
  readonly #turns: Coalescer
  readonly #problems = new Map<ProblemSource, readonly Problem[]>()
  readonly #watch: Disposable
  readonly #beat: Disposable
  /** null: no CNI is served here. */
  readonly #owner: PodsOwner | null
  readonly services: ServiceWatch
  #isListed = false
  #network: HostNetwork | null = null
  #derived: Derived | null = null
  #logLevel: LogLevel
  #sessions: Extract<FromBgp, { kind: 'sessionsChanged' }> | null = null
  #settle: Disposable | null = null
  #isStopping = false
  #isDraining = false
  /** What the dataplane was told last. */
  #applied: LocalSettings | null = null
  #drained: (() => void) | null = null

  constructor(deps: AgentDeps) {
    const { log, logLevel, node, peersUpBefore } = deps
    this.#deps = deps
    this.#logLevel = logLevel
    this.#turns = new Coalescer(() => this.#turn())
    const { port1, port2 } = new MessageChannel()
    const bgpData: BgpThreadData & { dataplanePort: typeof port1 } = { logLevel, node, peersUpBefore, dataplanePort: port1 }
    const servesPods = deps.cni !== null
    const dataplaneData: DataplaneThreadData & { bgpPort: typeof port2 } = { logLevel, node, servesPods, bgpPort: port2 }
    this.#bgpWorker = this.#spawn('bgp', bgpData, [port1])
    this.#dataplaneWorker = this.#spawn('dataplane', dataplaneData, [port2])
    this.bgp = new Channel(this.#bgpWorker, { notice: (message) => this.#onBgp(message) })
    this.dataplane = new Channel(this.#dataplaneWorker, { notice: (message) => this.#onDataplane(message) })
    this.#beat = startBeat((beat) => deps.beats.record('main', beat))
    this.services = new ServiceWatch({
      store: deps.store,
      clock: this.#clock,
      log,
      runDir: deps.runDir,
      onChanged: () => this.#turnSoon(),
      onProblems: (problems) => this.#setProblems('services', problems),
    })
    const observer: WatchObserver = {
      changed: (changes) => this.#onChanges(changes),
      synced: () => {
        log.info('agent.store.listed')
        this.#isListed = true
        deps.readiness.storeListed()
        this.#turnSoon()
      },
      problems: (problems) => this.#setProblems('store', problems),
    }
    const ofPods: readonly Selection[] = [{ kind: 'Namespace' }, { kind: 'Pod', nodeName: node }]
    this.#watch = deps.store.watch([...derivedSelections(node), ...(servesPods ? ofPods : [])], observer)
    this.#owner = deps.cni === null ? null : this.#ownPods(deps.cni)
  }

  /** null: no CNI is served here; throws while it is about to be. */
  get pods(): Pods | null {
    const pods = this.#owner?.pods
    if (this.#owner !== null && pods == null) throw new Error('the pods of this node are not known yet; try again')
    return pods ?? null
  }

  /** For metrics; null: no CNI is served, or the pods are not known yet. */
  podFigures(): PodFigures | null {
    const pods = this.#owner?.pods ?? null
    return pods === null ? null : { pods: pods.pods(), ipam: pods.ipam(), cni: pods.figures() }
  }

  /** What a prefix that is originated here is for, in words; empty: it is not. */
  sourcesOf(prefix: string): readonly string[] {
    return this.#derived?.sources.get(prefix) ?? []
  }

  problems(): readonly Problem[] {
    return [...this.#problems.values()].flat()
  }

  async status(): Promise<AgentStatus> {
    const { node, version, beats, readiness } = this.#deps
    const derived = this.#derived
    const counts = await this.dataplane.ask('counts', null)
    const notReadyBecause = readiness.reasons()
    return {
      node,
      version,
      pid: process.pid,
      startedAt: this.#startedAt.toISOString(),
      live: beats.stuck().length === 0,
      ready: notReadyBecause.length === 0,
      notReadyBecause,
      mode: derived?.speaker.mode ?? 'Host',
      asn: derived?.speaker.asn ?? 0,
      routerId: derived === null ? '' : formatIp(ipv4(derived.speaker.routerId)),
      addresses:
        derived === null ? [] : [derived.addresses.ipv4, derived.addresses.ipv6].filter((address) => address !== null).map(formatIp),
      sessions: { configured: this.#sessions?.configured.length ?? 0, established: this.#sessions?.established.length ?? 0 },
      originated: derived?.speaker.originated.map(({ prefix }) => formatPrefix(prefix)) ?? [],
      routes: { ...counts, installRoutes: derived?.speaker.installRoutes ?? true },
      pods: this.#owner?.counts() ?? null,
      draining: this.#isDraining,
      problems: this.problems(),
    }
  }

  /** Asks all peers to find other ways, or takes that back (RFC 8326; decision 11). Sessions and forwarding stay as they are. */
  async drain(isDraining: boolean): Promise<void> {
    this.#isDraining = isDraining
    await this.bgp.ask('drain', { isDraining })
  }

  /**
   * Ends the sessions and the threads. `silent` is for an upgrade or restart: peers keep our routes and the kernel keeps its
   * own. `cease` says goodbye (decision 11).
   */
  async stop(how: 'silent' | 'cease'): Promise<void> {
    if (this.#isStopping) return
    this.#isStopping = true
    this.#watch[Symbol.dispose]()
    this.services[Symbol.dispose]()
    this.#settle?.[Symbol.dispose]()
    this.#beat[Symbol.dispose]()
    await this.#owner?.end()
    if (how === 'cease') writeRestartState(this.#deps.runDir, [])
    const drained = new Promise<void>((resolve) => {
      this.#drained = resolve
    })
    await this.bgp.ask('stop', { how })
    await drained
    await Promise.all([this.#bgpWorker.terminate(), this.#dataplaneWorker.terminate()])
    await this.#deps.store[Symbol.asyncDispose]()
  }

  #ownPods(cni: CniOptions): PodsOwner {
    const { node, log, store, readiness } = this.#deps
    return new PodsOwner({
      node,
      log,
      clock: this.#clock,
      cni,
      store,
      snapshot: this.#objects.snapshot,
      dataplane: this.dataplane,
      ownBlocks: () => this.#derived?.local.routes.blackholes ?? [],
      unreadiness: () => this.#unreadiness(),
      onRoutes: () => this.#turnSoon(),
      onProblems: (problems) => this.#setProblems('pods', problems),
      onReady: () => readiness.podsReady(),
    })
  }

  #spawn(thread: 'bgp' | 'dataplane', workerData: unknown, transferList: readonly MessagePort[]): Worker {
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
    const worker = new Worker(new URL(`./${thread}-worker.${extension}`, import.meta.url), {
      workerData,
      transferList: [...transferList],
      name: thread,
      trackUnmanagedFds: false, // netlink sockets and namespaces are opened by libc and closed by fs
    })
    worker.on('error', (error) => this.#deps.onFatal(thread, error instanceof Error ? error : new Error(String(error))))
    worker.on('exit', (code) => {
      if (!this.#isStopping) this.#deps.onFatal(thread, new Error(`the ${thread} thread ended with ${code}`))
    })
    return worker
  }

  #onBgp(message: FromBgp): void {
    const { beats, readiness, runDir, log } = this.#deps
    switch (message.kind) {
      case 'beat':
        beats.record('bgp', message)
        return
      case 'sessionsChanged':
        this.#sessions = message
        readiness.sessions(message.established, message.configured)
        if (!this.#isStopping) writeRestartState(runDir, message.upOrRetained)
        return
      case 'selectionReleased':
        log.info('agent.selection.released')
        return
      case 'problemsChanged':
        this.#setProblems('bgp', message.problems)
        return
      case 'drained':
        this.#drained?.()
        return
    }
  }

  #onDataplane(message: FromDataplane): void {
    switch (message.kind) {
      case 'beat':
        this.#deps.beats.record('dataplane', message)
        return
      case 'hostNetwork':
        this.#network = message.network
        this.#turnSoon()
        return
      case 'synced':
        this.#deps.readiness.dataplaneSynced()
        return
      case 'problemsChanged':
        this.#setProblems('dataplane', message.problems)
        return
      case 'podMtu':
        this.#owner?.setMtu(message.mtu)
        return
      case 'podResized':
        this.#owner?.resized(message.pod, message.mtu)
        return
    }
  }

  #onChanges(changes: readonly Change[]): void {
    const isRelevant = changes.some((change) => isDerivedFrom(this.#objects.snapshot, change))
    this.#objects.apply(changes)
    for (const { type, object } of changes) {
      if (object.kind !== 'IPAMBlock') continue
      const version = type === 'gone' ? null : (object.metadata.resourceVersion ?? '')
      this.#owner?.pods?.blockChanged({ block: cidr(object.spec.cidr), version })
    }
    if (isRelevant) this.#turnSoon()
  }

  #setProblems(source: ProblemSource, problems: readonly Problem[]): void {
    const known = new Set((this.#problems.get(source) ?? []).map(({ subject, message }) => `${subject} ${message}`))
    this.#problems.set(source, problems)
    for (const { severity, subject, message } of problems) {
      if (known.has(`${subject} ${message}`)) continue
      if (severity === 'error') this.#deps.log.error('agent.problem.found', { source, subject, message })
      else this.#deps.log.warn('agent.problem.found', { source, subject, message })
    }
  }

  #turnSoon(): void {
    if (this.#settle !== null || this.#isStopping) return
    this.#settle = this.#clock.after(SETTLE_MS, () => {
      this.#settle = null
      void this.#turns.request()
    })
  }

  /** One turn: all objects and the host's network in, the whole configuration out. Nothing happens before all is known. */
  async #turn(): Promise<void> {
    const network = this.#network
    if (!this.#isListed || network === null || this.#owner?.isSettled === false || this.#isStopping) return
    const { node, namespace, log, onTurn } = this.#deps
    const startedMs = this.#clock.nowMs()
    try {
      const podAddresses = this.#owner === null ? null : (this.#owner.pods?.addresses() ?? [])
      const { snapshot } = this.#objects
      const services = this.services.configure(deriveServiceFacts(snapshot, node))
      const derived = derive({ snapshot, node, namespace, network, podAddresses, services })
      this.#derived = derived
      this.#setProblems('configuration', derived.problems)
      this.#applyLogLevel(derived.logLevel)
      this.#owner?.pods?.configure(derived.ipam)
      await this.#apply(derived)
      this.#owner?.lookSoon()
      onTurn((this.#clock.nowMs() - startedMs) / 1000, 'applied')
    } catch (error) {
      onTurn((this.#clock.nowMs() - startedMs) / 1000, 'failed')
      log.error('agent.turn.failed', { err: error })
      const message = error instanceof Error ? error.message : String(error)
      this.#setProblems('configuration', [
        { severity: 'error', subject: 'configuration', message: `could not be derived, the last one stays: ${message}` },
      ])
    }
  }

  async #apply(derived: Derived): Promise<void> {
    for (const step of stepsTo(derived, this.#applied)) {
      if (step.to === 'bgp') this.bgp.send({ kind: 'configure', config: step.speaker })
      else await this.#toDataplane(step.local)
    }
    this.#applied = derived.local
  }

  async #toDataplane(local: LocalSettings): Promise<void> {
    const deadline = Promise.withResolvers<void>()
    using _timer = this.#clock.after(APPLY_WITHIN_MS, deadline.resolve)
    await Promise.race([this.dataplane.ask('apply', local), deadline.promise]).catch((error: unknown) => {
      this.#deps.log.error('agent.dataplane.failed', { err: error }) // BGP goes on: routes that are there stay
    })
  }

  /** Why nothing that a pod needs beside an address could be done; null: it can. */
  #unreadiness(): string | null {
    if (!this.#isListed) return 'the agent has not listed the store yet'
    if (this.#applied === null) return "the agent has not brought this node's routes and rules into the kernel yet"
    return null
  }

  #applyLogLevel(level: LogLevel): void {
    if (level === this.#logLevel) return
    this.#logLevel = level
    this.#deps.log.setLevel(level)
    this.bgp.send({ kind: 'logLevel', level })
    this.dataplane.send({ kind: 'logLevel', level })
  }
}
