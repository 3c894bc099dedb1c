// The agent's main thread: follows the store, derives configuration, hands it to the bgp and dataplane threads, and answers
// people and machines. Holds no routing state: what it shows it asks of the thread that has it.
import type { Worker } from 'node:worker_threads'
import { type Clock, systemClock } from '../lib/clock.ts'
import { Coalescer } from '../lib/coalesce.ts'
import type { Log, LogLevel } from '../lib/log.ts'
import { cidr, formatIp, formatPrefix, type HostNetwork, ipv4 } from '../net/index.ts'
import type { Change, Selection, Store } from '../store/index.ts'
import { type Beats, startBeat } from './beat.ts'
import { Channel } from './channel.ts'
import type { AgentStatus, Problem } from './control-api.ts'
import { type Derived, type Detections, derive, derivedSelections, deriveServiceFacts } from './derive/index.ts'
import type { WriteFigures } from './input-metrics.ts'
import type { InputCache } from './inputs/cache.ts'
import { Inputs } from './inputs/inputs.ts'
import type { CniOptions, PolicyOptions } from './options.ts'
import { stepsTo } from './order.ts'
import type { PodFigures } from './pod-metrics.ts'
import type { Pods } from './pods/index.ts'
import { PodsOwner } from './pods/owner.ts'
import { NodePolicy } from './policy/node-policy.ts'
import { ProblemBoard } from './problem-board.ts'
import type { Readiness } from './readiness.ts'
import { type AgentFacts, ClusterReports } from './reporting/cluster-reports.ts'
import { writeRestartState } from './restart-state.ts'
import { ServiceWatch } from './services/index.ts'
import { spawnThreads, type ThreadName } from './spawn.ts'
import type { BgpRequests, DataplaneRequests, FromBgp, FromDataplane, LocalSettings, ToBgp, ToDataplane } from './threads.ts'

export type AgentDeps = {
  readonly node: string
  readonly namespace: string
  readonly runDir: string
  readonly version: string
  readonly log: Log
  readonly logLevel: LogLevel
  readonly store: Store
  /** The objects last known (decision 18). */
  readonly cache: InputCache
  readonly detections: Detections
  readonly beats: Beats
  readonly readiness: Readiness
  readonly peersUpBefore: readonly string[] | null
  /** null: no pods. */
  readonly cni: CniOptions | null
  /** null: policy is somebody else's. */
  readonly policy: PolicyOptions | null
  readonly stateDir: string
  /** A thread ended by itself: the process must end and be started again. */
  readonly onFatal: (thread: string, error: Error) => void
  readonly onTurn: (seconds: number, outcome: 'applied' | 'failed') => void
}

/** Manifests are often saved in a burst: one turn when it is over. */
const SETTLE_MS = 20
/** BGP waits no longer than this for rules and routes: a kernel that refuses them must not silence the node. */
const APPLY_WITHIN_MS = 5_000

export class Agent {
  readonly #deps: AgentDeps
  readonly #clock: Clock = systemClock
  readonly #startedAt = new Date()
  readonly #workers: readonly Worker[]
  readonly bgp: Channel<FromBgp, ToBgp, Record<never, never>, BgpRequests>
  readonly dataplane: Channel<FromDataplane, ToDataplane, Record<never, never>, DataplaneRequests>
  readonly #turns: Coalescer
  readonly #problems: ProblemBoard
  readonly #inputs: Inputs
  readonly #reports: ClusterReports
  readonly #beat: Disposable
  /** null: no CNI is served here. */
  readonly #owner: PodsOwner | null
  readonly services: ServiceWatch
  readonly policy: NodePolicy
  #network: HostNetwork | null = null
  #derived: Derived | null = null
  #logLevel: LogLevel
  #sessions: Extract<FromBgp, { kind: 'sessionsChanged' }> | null = null
  #settle: Disposable | null = null
  #isDataplaneSynced = false
  #isStopping = false
  #isDraining = false
  /** What the dataplane was told last. */
  #applied: LocalSettings | null = null
  #drained: (() => void) | null = null

  constructor(deps: AgentDeps) {
    const { log, logLevel, node, peersUpBefore, store, cni } = deps
    this.#deps = deps
    this.#logLevel = logLevel
    this.#turns = new Coalescer(() => this.#turn())
    this.#problems = new ProblemBoard(log, () => this.#reports?.changed())
    const servesPods = cni !== null
    const onEnded = (thread: ThreadName, error: Error): void => {
      if (!this.#isStopping) deps.onFatal(thread, error)
    }
    const threads = spawnThreads({ logLevel, node, peersUpBefore, servesPods, onEnded })
    this.#workers = Object.values(threads)
    this.bgp = new Channel(threads.bgp, { notice: (message) => this.#onBgp(message) })
    this.dataplane = new Channel(threads.dataplane, { notice: (message) => this.#onDataplane(message) })
    this.#beat = startBeat((beat) => deps.beats.record('main', beat))
    const ofPods: readonly Selection[] = servesPods ? [{ kind: 'Namespace' }, { kind: 'Pod', nodeName: node }] : []
    this.services = new ServiceWatch({
      ...deps,
      clock: this.#clock,
      onChanged: () => this.#turnSoon(),
      onProblems: (problems) => this.#problems.set('services', problems),
    })
    this.#inputs = new Inputs({
      ...deps,
      clock: this.#clock,
      selections: [...derivedSelections(node), ...ofPods],
      changed: () => this.#turnSoon(),
      heard: (changes) => this.#onChanges(changes),
      listed: () => {
        log.info('agent.store.listed')
        deps.readiness.storeListed()
      },
      problems: (problems) => this.#problems.set('store', problems),
    })
    const reporting = { ...deps, clock: this.#clock, problems: this.#problems, told: () => this.#inputs.told }
    this.#reports = new ClusterReports(reporting, {
      facts: () => this.#facts(),
      podNetwork: () => this.#owner?.counts() ?? null,
      derived: () => this.#derived,
    })
    this.policy = new NodePolicy({
      ...deps,
      clock: this.#clock,
      dataplane: this.dataplane,
      options: servesPods ? deps.policy : null,
      onProblems: (problems) => this.#problems.set('policy', problems),
    })
    this.#owner = cni === null ? null : this.#ownPods(cni, store)
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
    return this.#problems.all
  }

  /** What was written to the store about this node, and kept for a start without it. */
  writeFigures(): WriteFigures {
    return { ...this.#reports.figures, cache: this.#deps.cache.figures, isFromCache: this.#inputs.known?.source === 'cache' }
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
      services: this.services.figures,
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
    this.#inputs[Symbol.dispose]()
    this.#reports[Symbol.dispose]()
    this.services[Symbol.dispose]()
    this.#settle?.[Symbol.dispose]()
    this.#beat[Symbol.dispose]()
    await this.#owner?.end()
    this.policy[Symbol.dispose]()
    if (how === 'cease') writeRestartState(this.#deps.runDir, [])
    const drained = new Promise<void>((resolve) => {
      this.#drained = resolve
    })
    await this.bgp.ask('stop', { how })
    await drained
    await Promise.all(this.#workers.map((worker) => worker.terminate()))
    await this.#deps.cache[Symbol.asyncDispose]()
    await this.#deps.store[Symbol.asyncDispose]()
  }

  #ownPods(cni: CniOptions, store: Store): PodsOwner {
    const { node, log, readiness } = this.#deps
    return new PodsOwner({
      node,
      log,
      clock: this.#clock,
      cni,
      store,
      snapshot: this.#inputs.told,
      dataplane: this.dataplane,
      gate: this.policy.gate,
      ownBlocks: () => this.#derived?.local.routes.blackholes ?? [],
      unreadiness: () => this.#unreadiness(),
      onRoutes: () => this.#turnSoon(),
      onProblems: (problems) => {
        this.#problems.set('pods', problems)
        this.#reports.changed()
      },
      onReady: () => readiness.podsReady(),
    })
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
        this.#reports.changed()
        return
      case 'selectionReleased':
        log.info('agent.selection.released')
        return
      case 'problemsChanged':
        this.#problems.set('bgp', message.problems)
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
        this.#isDataplaneSynced = true
        this.#deps.readiness.dataplaneSynced()
        this.#reports.changed()
        return
      case 'problemsChanged':
        this.#problems.set('dataplane', message.problems)
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
    for (const { type, object } of changes) {
      if (object.kind === 'Node' && object.metadata.name === this.#deps.node) this.#reports.changed()
      if (object.kind !== 'IPAMBlock') continue
      const version = type === 'gone' ? null : (object.metadata.resourceVersion ?? '')
      this.#owner?.pods?.blockChanged({ block: cidr(object.spec.cidr), version })
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
    const { known } = this.#inputs
    if (known === null || network === null || this.#owner?.isSettled === false || this.#isStopping) return
    const { node, namespace, log, onTurn, detections } = this.#deps
    const startedMs = this.#clock.nowMs()
    try {
      const podAddresses = this.#owner === null ? null : (this.#owner.pods?.addresses() ?? [])
      const { secretFaults } = this.#inputs
      const { snapshot } = known
      const services = this.services.configure(deriveServiceFacts(snapshot, node))
      const derived = derive({ snapshot, node, namespace, network, detections, secretFaults, podAddresses, services })
      if (!this.#inputs.want(derived.secretsWanted)) return // a turn follows when they have come
      this.#derived = derived
      this.#problems.set('inputs', known.source === 'store' ? [] : [runsFromCache(known.writtenAt)])
      this.#problems.set('configuration', derived.problems)
      this.#applyLogLevel(derived.logLevel)
      this.#owner?.pods?.configure(derived.ipam)
      await this.#apply(derived)
      this.#inputs.actedOn(derived.secretsWanted)
      this.#owner?.lookSoon()
      this.#reports.changed()
      onTurn((this.#clock.nowMs() - startedMs) / 1000, 'applied')
    } catch (error) {
      onTurn((this.#clock.nowMs() - startedMs) / 1000, 'failed')
      log.error('agent.turn.failed', { err: error })
      const message = error instanceof Error ? error.message : String(error)
      this.#problems.set('configuration', [
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
    if (this.#inputs.known === null) return 'the agent has not listed the store yet'
    if (this.#applied === null) return "the agent has not brought this node's routes and rules into the kernel yet"
    return null
  }

  /** What this node reports of itself; null: not known yet. */
  async #facts(): Promise<AgentFacts | null> {
    const derived = this.#derived
    if (derived === null) return null
    const pods = this.#owner?.pods ?? null
    return {
      derived,
      peers: await this.bgp.ask('peers', null),
      pods: pods === null ? null : { attached: pods.attached(), ipam: pods.ipam() },
      isDataplaneSynced: this.#isDataplaneSynced,
      notReadyBecause: this.#deps.readiness.reasons(),
    }
  }

  #applyLogLevel(level: LogLevel): void {
    if (level === this.#logLevel) return
    this.#logLevel = level
    this.#deps.log.setLevel(level)
    this.bgp.send({ kind: 'logLevel', level })
    this.dataplane.send({ kind: 'logLevel', level })
  }
}

function runsFromCache(writtenAt: string): Problem {
  const message = `the store has not been heard since this agent started, so it goes by what was last known, at ${writtenAt}`
  return { severity: 'warning', subject: 'store', message }
}
