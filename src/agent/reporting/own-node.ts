// What the agent writes to its own Node, and nothing else of it: the condition NetworkUnavailable, and, where the agent was told how to
// find addresses, annotations that name them. Level-triggered, like everything: what somebody removes is put back.
import { type BackoffLimits, backoffMs } from '../../lib/backoff.ts'
import type { Clock } from '../../lib/clock.ts'
import { Coalescer } from '../../lib/coalesce.ts'
import type { Log } from '../../lib/log.ts'
import { type Condition, type Node, type Store, StoreError } from '../../store/index.ts'

export type OwnNodeDeps = {
  readonly store: Pick<Store, 'applyConditions' | 'update'>
  readonly clock: Clock
  readonly log: Log
  /** In [0, 1). */
  readonly random: () => number
  /** As the store has told; null: it has not, or there is none. */
  readonly node: () => Node | null
  /** Whether a pod can be given a network; null: no CNI is served, so that is no business of ours. */
  readonly podNetwork: () => { readonly notReadyBecause: string | null } | null
  /** What annotations have to be; null: absent. */
  readonly annotations: () => Readonly<Record<string, string | null>>
  /** In words; null: nothing is wrong. */
  readonly onFault: (message: string | null) => void
}

/** Who applies the condition, to the store. */
const MANAGER = 'fibula-agent'
/** A node that could give no pod a network for so long says so, and the scheduler leaves it alone (docs/decisions/network-unavailable.md). */
const UNAVAILABLE_AFTER_MS = 300_000
const BACKOFF: BackoffLimits = { baseMs: 1_000, capMs: 60_000 }
const WRITE_WITHIN_MS = 30_000
const TYPE = 'NetworkUnavailable'

export class OwnNode implements Disposable {
  readonly #deps: OwnNodeDeps
  readonly #turns = new Coalescer(() => this.#turn())
  #unableSinceMs: number | null = null
  #timer: Disposable | null = null
  #isDisposed = false
  #failures = 0
  #written = 0

  constructor(deps: OwnNodeDeps) {
    this.#deps = deps
  }

  /** Writes since the start. */
  get written(): number {
    return this.#written
  }

  /** The Node, what the node can do, or what it is called by may be another. */
  lookAgain(): void {
    if (this.#isDisposed || this.#failures > 0) return // the next try is on its way
    void this.#turns.request()
  }

  [Symbol.dispose](): void {
    this.#isDisposed = true
    this.#timer?.[Symbol.dispose]()
  }

  async #turn(): Promise<void> {
    const { log, onFault, random } = this.#deps
    const node = this.#deps.node()
    if (this.#isDisposed || node === null) return
    try {
      await this.#applyCondition(node)
      await this.#applyAnnotations(node)
      this.#failures = 0
      onFault(null)
    } catch (error) {
      const isRace = error instanceof StoreError && (error.code === 'CONFLICT' || error.code === 'NOT_FOUND')
      if (!isRace) {
        if (this.#failures === 0) log.warn('agent.node.writeFailed', { node: node.metadata.name, err: error })
        onFault(error instanceof Error ? error.message : String(error))
      }
      this.#retryIn(backoffMs(this.#failures, BACKOFF, random()))
      this.#failures++
    }
  }

  async #applyCondition(node: Node): Promise<void> {
    const wanted = this.#wanted()
    const present = node.status.conditions.find(({ type }) => type === TYPE)
    if (wanted === null || present?.status === wanted.status) return
    const { store, log } = this.#deps
    await store.applyConditions('Node', { name: node.metadata.name }, [wanted], MANAGER, AbortSignal.timeout(WRITE_WITHIN_MS))
    this.#written++
    log.info('agent.node.conditionSet', { node: node.metadata.name, type: TYPE, status: wanted.status, reason: wanted.reason })
  }

  /** null: as it is. A start is no reason to say that the network is gone: pods of before have theirs. */
  #wanted(): Condition | null {
    const { clock } = this.#deps
    const state = this.#deps.podNetwork()
    if (state === null) return null
    if (state.notReadyBecause === null) {
      this.#unableSinceMs = null
      return { type: TYPE, status: 'False', reason: 'FibulaIsUp', message: 'Fibula gives pods on this node a network' }
    }
    this.#unableSinceMs ??= clock.nowMs()
    const leftMs = this.#unableSinceMs + UNAVAILABLE_AFTER_MS - clock.nowMs()
    if (leftMs > 0) {
      this.#retryIn(leftMs)
      return null
    }
    return { type: TYPE, status: 'True', reason: 'FibulaHasNoPodNetwork', message: state.notReadyBecause }
  }

  async #applyAnnotations(node: Node): Promise<void> {
    const { store, log } = this.#deps
    const has = node.metadata.annotations
    const wanted = Object.entries(this.#deps.annotations())
    if (wanted.every(([key, value]) => (has[key] ?? null) === value)) return
    const kept = Object.entries(has).filter(([key]) => !wanted.some(([other]) => other === key))
    const set = wanted.flatMap(([key, value]) => (value === null ? [] : [[key, value] as const]))
    const metadata = { ...node.metadata, annotations: Object.fromEntries([...kept, ...set]) }
    await store.update({ ...node, metadata }, {}, AbortSignal.timeout(WRITE_WITHIN_MS))
    this.#written++
    log.info('agent.node.annotated', { node: node.metadata.name, annotations: Object.fromEntries(set) })
  }

  #retryIn(delayMs: number): void {
    if (this.#isDisposed) return
    this.#timer?.[Symbol.dispose]()
    this.#timer = this.#deps.clock.after(delayMs, () => {
      this.#timer = null
      void this.#turns.request()
    })
  }
}
