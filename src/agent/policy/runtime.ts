// Policy of this node at work: follows what it is made of, has it compiled, has the rules written, and lets a pod through only when its
// rules are in the kernel (decision 16). While the cluster has no policy there are no rules, and every pod is let through at once.
import type { EndpointGate, PodLink } from '../../cni/index.ts'
import type { Clock } from '../../lib/clock.ts'
import { Coalescer } from '../../lib/coalesce.ts'
import type { Log } from '../../lib/log.ts'
import type { IpAddress } from '../../net/index.ts'
import { type Endpoint, type EndpointPolicies, type PolicyChange, PolicyEngine, type PolicySettings } from '../../policy/index.ts'
import type { Store } from '../../store/index.ts'
import type { Problem } from '../control-api.ts'
import type { DataplaneRequests } from '../threads.ts'
import { ConnectionCutter } from './connections.ts'
import { PolicyInputs, type PolicyStage } from './inputs.ts'
import type { PolicyMemory } from './memory.ts'

/** What the dataplane thread does for policy. */
export type PolicyDataplane = {
  ask<K extends 'writePolicy' | 'listConnections' | 'cutConnections'>(
    kind: K,
    request: DataplaneRequests[K]['request'],
  ): Promise<DataplaneRequests[K]['answer']>
}

export type PolicyRuntimeDeps = {
  readonly node: string
  readonly log: Log
  readonly clock: Clock
  readonly store: Store
  readonly dataplane: PolicyDataplane
  readonly memory: PolicyMemory
  readonly settings: Pick<PolicySettings, 'ownNodeEgress' | 'missingPods'>
  /** False: established connections go on whatever becomes of policy. */
  readonly cutsConnections: boolean
  readonly onProblems: (problems: readonly Problem[]) => void
}

export type PolicyFigures = {
  readonly stage: PolicyStage
  readonly policies: number
  readonly endpoints: number
  /** Rules were compiled and written, or found equal, so often since the start. */
  readonly turns: number
  readonly connectionsCut: number
  /** Of the last turn that wrote rules, from its beginning to the kernel's yes. */
  readonly lastWriteMs: number | null
}

/** The dataplane tries again by itself; after this its answer is asked for again. */
const ASK_AGAIN_MS = 1_000

export class PolicyRuntime implements EndpointGate, Disposable {
  readonly #deps: PolicyRuntimeDeps
  readonly #inputs: PolicyInputs
  readonly #cutter: ConnectionCutter
  readonly #turns = new Coalescer(() => this.#turn())
  /** Beside the turns: the rules of the next pod do not wait until a long list of connections is judged. */
  readonly #reviews = new Coalescer(() => this.#review())
  /** By interface: every pod there is here. */
  readonly #endpoints = new Map<string, Endpoint>()
  /** Of pods whose records were lost: their Pod is found by its address. */
  readonly #lost = new Map<string, readonly IpAddress[]>()
  /** What the engine has not been told. */
  #changes: PolicyChange[] = []
  readonly #waiting = new Map<string, Set<() => void>>()
  /** Interfaces of endpoints whose rules are in the kernel. */
  readonly #admitted = new Set<string>()
  /** Endpoints whose rules are to be others, until those are written; then their connections are judged. */
  readonly #touched = new Set<string>()
  readonly #toReview = new Set<string>()
  #engine: PolicyEngine | null = null
  #isAdopted = false
  /** The kernel has all that the engine said; before that it is told the whole. */
  #isWritten = false
  /** Rules of this process are in the kernel, if not the latest. */
  #hasWritten = false
  /** The kernel is known to have no rules of policy. */
  #isClear = false
  #retry: Disposable | null = null
  #hasEnded = false
  #turnCount = 0
  #lastWriteMs: number | null = null

  constructor(deps: PolicyRuntimeDeps) {
    const { store, clock, log, dataplane } = deps
    this.#deps = deps
    this.#cutter = new ConnectionCutter({
      clock,
      log,
      list: (addresses) => dataplane.ask('listConnections', { addresses }),
      cut: (wanted) => dataplane.ask('cutConnections', wanted),
      isAllowed: (flow) => this.#engine?.isAllowedHere(flow) ?? true,
    })
    this.#inputs = new PolicyInputs({ store, clock, changed: () => this.#turnSoon(), problems: deps.onProblems })
  }

  /** Once, before any pod comes or goes: those of before. Nothing in the kernel changes until they are known. */
  adopt(endpoints: readonly Endpoint[], lost: ReadonlyMap<string, readonly IpAddress[]>): void {
    for (const endpoint of endpoints) this.#put(endpoint)
    for (const [name, addresses] of lost) this.#lost.set(name, addresses)
    this.#isAdopted = true
    this.#turnSoon()
  }

  /** Resolves when the pod's rules are in the kernel; at once while there is no policy. Rejects with the reason of `signal`. */
  async admit(link: PodLink, pod: Endpoint['pod'], signal?: AbortSignal): Promise<void> {
    this.#put({ interface: link.hostInterface, pod, addresses: link.addresses })
    this.#admitted.delete(link.hostInterface) // an ADD that is repeated waits for its own rules
    if (this.#isOpen()) return
    this.#turnSoon()
    await this.#untilAdmitted(link.hostInterface, signal)
  }

  /** Its interface is gone already; what is left of its rules goes when it can. */
  async dismiss({ hostInterface }: Pick<PodLink, 'hostInterface' | 'addresses'>): Promise<void> {
    this.#lost.delete(hostInterface)
    if (!this.#endpoints.delete(hostInterface)) return
    this.#admitted.delete(hostInterface)
    this.#tell({ kind: 'endpoint', key: hostInterface, value: null })
    if (!this.#isOpen()) this.#turnSoon()
  }

  figures(): PolicyFigures {
    const state = this.#engine?.state
    return {
      stage: this.#inputs.stage,
      policies: state === undefined ? 0 : state.networkPolicies.size + state.clusterPolicies.size,
      endpoints: this.#endpoints.size,
      turns: this.#turnCount,
      connectionsCut: this.#cutter.figure,
      lastWriteMs: this.#lastWriteMs,
    }
  }

  /** The pods of this node as policy sees them. */
  endpoints(): readonly {
    readonly endpoint: Endpoint
    readonly isAdmitted: boolean
    /** This agent has written no rules yet: what the kernel had before goes for it. */
    readonly isAsBefore: boolean
    readonly waitsFor: string | null
    readonly policies: ByDirection | null
  }[] {
    return [...this.#endpoints.values()].map((endpoint) => {
      const state = this.#engine?.endpointState(endpoint.interface) ?? null
      return {
        endpoint,
        isAdmitted: this.#isOpen() || this.#admitted.has(endpoint.interface),
        isAsBefore: !this.#isOpen() && !this.#hasWritten && !this.#waiting.has(endpoint.interface),
        waitsFor: state?.kind === 'waiting' ? state.because : null,
        policies: this.#engine?.policiesOf(endpoint.interface) ?? null,
      }
    })
  }

  counters(): ReturnType<PolicyEngine['counters']> {
    return this.#engine?.counters() ?? []
  }

  [Symbol.dispose](): void {
    this.#hasEnded = true
    this.#retry?.[Symbol.dispose]()
    this.#inputs[Symbol.dispose]()
  }

  /** No policy, or none when that was last known: nobody waits for rules. */
  #isOpen(): boolean {
    const { stage } = this.#inputs
    if (this.#engine !== null) return false
    return stage === 'none' || (stage === 'unknown' && this.#deps.memory.hadPolicies === false)
  }

  #put(endpoint: Endpoint): void {
    this.#endpoints.set(endpoint.interface, endpoint)
    this.#tell({ kind: 'endpoint', key: endpoint.interface, value: endpoint })
  }

  /** An engine is told of all endpoints when it is made. */
  #tell(change: PolicyChange): void {
    if (this.#engine !== null) this.#changes.push(change)
  }

  #turnSoon(): void {
    if (!this.#hasEnded) void this.#turns.request()
  }

  async #turn(): Promise<void> {
    await Promise.resolve() // what comes in the same breath is one turn
    if (this.#hasEnded || !this.#isAdopted) return
    this.#retry?.[Symbol.dispose]()
    this.#retry = null
    try {
      switch (this.#inputs.stage) {
        case 'unknown':
        case 'listing':
          return
        case 'none':
          return await this.#clear()
        case 'listed':
          return await this.#enforce()
      }
    } catch (error) {
      this.#deps.log.error('agent.policy.turnFailed', { err: error })
      this.#isWritten = false
      this.#again()
    }
  }

  /** The last policy is gone: no rules, and everybody is let through. */
  async #clear(): Promise<void> {
    if (!this.#isClear) {
      const { ok } = await this.#deps.dataplane.ask('writePolicy', { whole: null, delta: null })
      if (!ok) return this.#again()
      this.#isClear = true
      this.#hasWritten = false
    }
    this.#engine = null
    this.#changes = []
    this.#admitted.clear()
    this.#touched.clear()
    this.#toReview.clear()
    this.#deps.memory.remember(false)
    for (const name of this.#waiting.keys()) this.#release(name)
  }

  async #enforce(): Promise<void> {
    const { node, settings, memory, clock, dataplane, cutsConnections } = this.#deps
    const beganMs = clock.nowMs()
    memory.remember(true)
    if (this.#engine === null) {
      this.#engine = new PolicyEngine({ ...settings, node, families: [4, 6] })
      this.#changes = [...this.#endpoints.values()].map((value) => ({ kind: 'endpoint', key: value.interface, value }))
      this.#isWritten = false
    }
    const engine = this.#engine
    const inputs = this.#inputs.take()
    this.#findLost(inputs)
    const changes = [...inputs, ...this.#changes]
    this.#changes = []
    const delta = engine.update(changes)
    for (const name of delta.affected) this.#touched.add(name)
    if (!this.#isWritten || delta.changesRules) {
      const request: WritePolicy = this.#isWritten ? { whole: null, delta: delta.ruleset } : { whole: engine.ruleset(), delta: null }
      this.#isClear = false
      const { ok } = await dataplane.ask('writePolicy', request)
      // What was refused is kept there and tried again; asking for the whole once more tells when it has gone in.
      this.#isWritten = ok
      if (!ok) return this.#again()
      this.#hasWritten = true
      this.#lastWriteMs = clock.nowMs() - beganMs
    }
    this.#turnCount++
    for (const name of this.#endpoints.keys()) {
      if (engine.endpointState(name)?.kind !== 'ready') this.#admitted.delete(name)
      else if (!this.#admitted.has(name)) this.#release(name)
    }
    if (cutsConnections) for (const name of this.#touched) this.#toReview.add(name)
    this.#touched.clear()
    if (this.#toReview.size > 0) void this.#reviews.request()
  }

  /** Connections of those whose rules are others now, judged by what is known at that time. */
  async #review(): Promise<void> {
    const addresses = [...this.#toReview].flatMap((name) => this.#endpoints.get(name)?.addresses ?? [])
    this.#toReview.clear()
    if (!this.#hasEnded && this.#engine !== null) await this.#cutter.review(addresses)
  }

  #release(name: string): void {
    if (this.#engine !== null) this.#admitted.add(name)
    for (const resolve of this.#waiting.get(name) ?? []) resolve()
    this.#waiting.delete(name)
  }

  #again(): void {
    this.#retry = this.#deps.clock.after(ASK_AGAIN_MS, () => this.#turnSoon())
  }

  #untilAdmitted(name: string, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiting = this.#waiting.get(name) ?? new Set()
      this.#waiting.set(name, waiting)
      const admitted = (): void => {
        signal?.removeEventListener('abort', aborted)
        resolve()
      }
      const aborted = (): void => {
        waiting.delete(admitted)
        reject(signal?.reason)
      }
      waiting.add(admitted)
      if (signal?.aborted === true) aborted()
      else signal?.addEventListener('abort', aborted, { once: true })
    })
  }

  /** A pod that runs here and that there is no record of is known by the address that its status shows. */
  #findLost(changes: readonly PolicyChange[]): void {
    if (this.#lost.size === 0) return
    for (const { kind, value } of changes) {
      if (kind !== 'pod' || value === null || value.node !== this.#deps.node) continue
      for (const [name, addresses] of this.#lost) {
        if (!addresses.some((address) => value.addresses.includes(address))) continue
        this.#lost.delete(name)
        this.#put({ interface: name, pod: { namespace: value.namespace, name: value.name, uid: value.uid }, addresses })
      }
    }
  }
}

type WritePolicy = DataplaneRequests['writePolicy']['request']
type ByDirection = { readonly ingress: EndpointPolicies; readonly egress: EndpointPolicies }
