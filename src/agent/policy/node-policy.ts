// Policy of this node for the rest of the agent: the gate of ADD, what people and machines ask about it, and nothing at all where no pods
// are served or another program does it.
import type { Clock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import type { Store } from '../../store/index.ts'
import type { PodPolicyStatus, Problem } from '../control-api.ts'
import type { PolicyOptions } from '../options.ts'
import { OPEN_GATE, type PodGate } from '../pods/index.ts'
import type { DataplaneRequests } from '../threads.ts'
import { type ExplainQuery, type Explanation, explainPolicy } from './index.ts'
import { PolicyMemory } from './memory.ts'
import type { PolicySample } from './metrics.ts'
import { type PolicyDataplane, PolicyRuntime } from './runtime.ts'
import { dropsOf, podPolicies } from './status.ts'

export type NodePolicyDeps = {
  readonly node: string
  readonly log: Log
  readonly clock: Clock
  readonly store: Store
  readonly stateDir: string
  readonly dataplane: PolicyDataplane & {
    ask(kind: 'policyCounters', request: null): Promise<DataplaneRequests['policyCounters']['answer']>
  }
  /** null: no pods are served here, or policy is somebody else's. */
  readonly options: PolicyOptions | null
  readonly onProblems: (problems: readonly Problem[]) => void
}

/** Between two reads of the counters for metrics: to read them costs as much as to write the rules. */
const DROPS_EVERY_MS = 30_000

export class NodePolicy implements Disposable {
  readonly #deps: NodePolicyDeps
  readonly #runtime: PolicyRuntime | null
  #drops: { readonly atMs: number; readonly drops: PolicySample['drops'] } | null = null

  constructor(deps: NodePolicyDeps) {
    this.#deps = deps
    const { options, log, stateDir } = deps
    this.#runtime =
      options === null
        ? null
        : new PolicyRuntime({
            ...deps,
            memory: new PolicyMemory(stateDir, log),
            settings: options,
            cutsConnections: options.cutsConnections,
          })
  }

  get gate(): PodGate {
    return this.#runtime ?? OPEN_GATE
  }

  /** The pods of this node as policy sees them, with what was dropped; null: no policy is enforced here. */
  async pods(): Promise<readonly PodPolicyStatus[] | null> {
    const runtime = this.#runtime
    if (runtime === null) return null
    const counters = runtime.counters()
    const seen = counters.length === 0 ? [] : await this.#deps.dataplane.ask('policyCounters', null)
    return podPolicies(runtime.endpoints(), counters, seen)
  }

  /** For metrics; null: no policy is enforced here. */
  async sample(): Promise<PolicySample | null> {
    if (this.#runtime === null) return null
    const nowMs = this.#deps.clock.nowMs()
    if (this.#drops === null || nowMs - this.#drops.atMs > DROPS_EVERY_MS)
      this.#drops = { atMs: nowMs, drops: dropsOf((await this.pods()) ?? []) }
    return { ...this.#runtime.figures(), drops: this.#drops.drops }
  }

  /** Would a flow be allowed, and why: with the objects as the store has them, and our own pods' addresses. Throws ExplainError. */
  explain(query: ExplainQuery): Promise<Explanation> {
    const { store, node, options } = this.#deps
    const { ownNodeEgress = 'allow', missingPods = 'unlabelled' } = options ?? {}
    const endpoints = this.#runtime?.endpoints().map(({ endpoint }) => endpoint) ?? []
    return explainPolicy(store, query, { node, ownNodeEgress, missingPods, endpoints })
  }

  [Symbol.dispose](): void {
    this.#runtime?.[Symbol.dispose]()
  }
}
