// The agent's main thread: watches the store, derives configuration, hands it to the bgp and dataplane threads, and answers
// people and machines. Holds no routing state: what it shows it asks of the thread that has it.
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads'
import { type Clock, systemClock } from '../lib/clock.ts'
import { Coalescer } from '../lib/coalesce.ts'
import type { Log, LogLevel } from '../lib/log.ts'
import { formatIp, formatPrefix, type HostNetwork, ipv4 } from '../net/index.ts'
import { SnapshotBuilder, type Store, type WatchObserver } from '../store/index.ts'
import { type Beats, startBeat } from './beat.ts'
import { Channel } from './channel.ts'
import type { AgentStatus, Problem } from './control-api.ts'
import { DERIVED_KINDS, type Derived, derive } from './derive/index.ts'
import type { Readiness } from './readiness.ts'
import { writeRestartState } from './restart-state.ts'
import type {
  BgpRequests,
  BgpThreadData,
  DataplaneRequests,
  DataplaneThreadData,
  FromBgp,
  FromDataplane,
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
  /** A thread ended by itself: the process must end and be started again. */
  readonly onFatal: (thread: string, error: Error) => void
  readonly onTurn: (seconds: number, outcome: 'applied' | 'failed') => void
}

type ProblemSource = 'store' | 'configuration' | 'bgp' | 'dataplane'

/** Manifests are often saved in a burst: one turn when it is over. */
const SETTLE_MS = 20

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
  #isListed = false
  #network: HostNetwork | null = null
  #derived: Derived | null = null
  #logLevel: LogLevel
  #sessions: Extract<FromBgp, { kind: 'sessionsChanged' }> | null = null
  #settle: Disposable | null = null
  #isStopping = false
  #drained: (() => void) | null = null

  constructor(deps: AgentDeps) {
    const { log, logLevel, node, peersUpBefore } = deps
    this.#deps = deps
    this.#logLevel = logLevel
    this.#turns = new Coalescer(() => this.#turn())
    const { port1, port2 } = new MessageChannel()
    const bgpData: BgpThreadData & { dataplanePort: typeof port1 } = { logLevel, node, peersUpBefore, dataplanePort: port1 }
    const dataplaneData: DataplaneThreadData & { bgpPort: typeof port2 } = { logLevel, node, bgpPort: port2 }
    this.#bgpWorker = this.#spawn('bgp', bgpData, [port1])
    this.#dataplaneWorker = this.#spawn('dataplane', dataplaneData, [port2])
    this.bgp = new Channel(this.#bgpWorker, { notice: (message) => this.#onBgp(message) })
    this.dataplane = new Channel(this.#dataplaneWorker, { notice: (message) => this.#onDataplane(message) })
    this.#beat = startBeat((beat) => deps.beats.record('main', beat))
    const observer: WatchObserver = {
      changed: (changes) => {
        this.#objects.apply(changes)
        this.#turnSoon()
      },
      synced: () => {
        log.info('agent.store.listed')
        this.#isListed = true
        deps.readiness.storeListed()
        this.#turnSoon()
      },
      problems: (problems) => this.#setProblems('store', problems),
    }
    this.#watch = deps.store.watch(
      DERIVED_KINDS.map((kind) => ({ kind })),
      observer,
    )
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
      problems: this.problems(),
    }
  }

  /**
   * Ends the sessions and the threads. `silent` is for an upgrade or restart: peers keep our routes and the kernel keeps its
   * own. `cease` says goodbye (decision 11).
   */
  async stop(how: 'silent' | 'cease'): Promise<void> {
    if (this.#isStopping) return
    this.#isStopping = true
    this.#watch[Symbol.dispose]()
    this.#settle?.[Symbol.dispose]()
    this.#beat[Symbol.dispose]()
    if (how === 'cease') writeRestartState(this.#deps.runDir, [])
    const drained = new Promise<void>((resolve) => {
      this.#drained = resolve
    })
    await this.bgp.ask('stop', { how })
    await drained
    await Promise.all([this.#bgpWorker.terminate(), this.#dataplaneWorker.terminate()])
    await this.#deps.store[Symbol.asyncDispose]()
  }

  #spawn(thread: 'bgp' | 'dataplane', workerData: unknown, transferList: readonly MessagePort[]): Worker {
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
    const worker = new Worker(new URL(`./${thread}-worker.${extension}`, import.meta.url), {
      workerData,
      transferList: [...transferList],
      name: thread,
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
    }
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

  /** One turn: all objects and the host's network in, the whole configuration out. Nothing happens before both are known. */
  async #turn(): Promise<void> {
    const network = this.#network
    if (!this.#isListed || network === null || this.#isStopping) return
    const { node, namespace, log, onTurn } = this.#deps
    const startedMs = this.#clock.nowMs()
    try {
      const derived = derive({ snapshot: this.#objects.snapshot, node, namespace, network })
      this.#derived = derived
      this.#setProblems('configuration', derived.problems)
      this.#applyLogLevel(derived.logLevel)
      this.dataplane.send({ kind: 'local', local: derived.local })
      this.bgp.send({ kind: 'configure', config: derived.speaker })
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

  #applyLogLevel(level: LogLevel): void {
    if (level === this.#logLevel) return
    this.#logLevel = level
    this.#deps.log.setLevel(level)
    this.bgp.send({ kind: 'logLevel', level })
    this.dataplane.send({ kind: 'logLevel', level })
  }
}
