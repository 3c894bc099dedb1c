// Answers requests for addresses (shell): at once with what has been claimed ahead, and where that is not enough, in a turn that claims
// what they lack. Keeps the reserve filled.
import { err, ok } from '../lib/result.ts'
import type { AssignFault, AssignRequest, PoolConfig } from './contract.ts'
import type { NodeBlocks } from './node-blocks.ts'
import type { PoolState } from './pool-state.ts'
import { needsOf } from './pools.ts'
import { type Answer, type Waiter, WaitingRequests } from './requests.ts'
import type { Supply } from './supply.ts'

/** Rounds of one turn; each makes progress, unless others undo it. */
const ROUNDS = 50

export type AssignerDeps = {
  readonly blocks: NodeBlocks
  readonly pools: PoolState
  readonly supply: Supply
  readonly nowMs: () => number
  /** A pool without addresses is not asked again for a request before. */
  readonly exhaustedRetryMs: number
  /** Nor, to fill the reserve, before. */
  readonly refillRetryMs: number
  /** What those who give up are told they have waited for. */
  readonly whyWaiting: () => string
  /** Addresses have been taken: the store does not know yet, and the reserve has become smaller. */
  readonly onTaken: () => void
}

export class Assigner {
  readonly #deps: AssignerDeps
  readonly #waiting: WaitingRequests

  constructor(deps: AssignerDeps) {
    this.#deps = deps
    this.#waiting = new WaitingRequests(deps.whyWaiting)
  }

  /** How many requests have no answer yet. */
  get waiting(): number {
    return this.#waiting.size
  }

  /** Addresses that the handle was given before; null: none. */
  remembered(handle: string): Answer | null {
    const live = this.#deps.blocks.liveOf(handle)
    return live === null ? null : ok(live)
  }

  /** Takes what is there; null: something has to be claimed first. */
  take(request: AssignRequest): Answer | null {
    return this.#try(request, this.#deps.nowMs(), null)
  }

  /** Waits for `serve` to claim what the request lacks. */
  wait(request: AssignRequest, signal: AbortSignal | undefined): Promise<Answer> {
    return this.#waiting.add(request, this.#deps.nowMs(), signal)
  }

  /** The owner of the handle is gone: nobody waits for its addresses any more. */
  cancel(handle: string): void {
    this.#waiting.cancel(handle)
  }

  /** Nobody waits any longer. */
  refuseAll(fault: AssignFault): void {
    for (const waiter of this.#waiting.all()) this.#waiting.answer(waiter, err(fault))
  }

  /** Claims what requests lack until everybody has an answer. */
  async serve(): Promise<void> {
    for (let round = 0; round < ROUNDS; round++) {
      this.#tryAll()
      if (this.#waiting.size === 0) return
      await this.#claimExact()
      for (const pool of this.#waiting.pools()) {
        this.#deps.pools.askedFor(pool)
        await this.#fill(pool)
      }
    }
    this.#tryAll()
  }

  /** Claims ahead in every pool that has become low. */
  async refill(): Promise<void> {
    const { blocks, pools, refillRetryMs } = this.#deps
    for (const pool of blocks.config.pools) {
      if (pools.isLow(pool) && !pools.isExhausted(pool, refillRetryMs)) await this.#fill(pool)
    }
  }

  /** Addresses that were asked for by name. */
  async #claimExact(): Promise<void> {
    for (const waiter of this.#waiting.all()) {
      const fault = await this.#faultOfExact(waiter)
      if (fault !== null) this.#waiting.answer(waiter, err(fault))
      else if (this.#waiting.has(waiter)) this.#tryFor(waiter) // who has given up meanwhile would never release it
    }
  }

  async #faultOfExact({ lacks }: Waiter): Promise<AssignFault | null> {
    for (const { address, pool } of lacks?.exact ?? []) {
      const fault = await this.#deps.supply.exact(address, pool)
      if (fault !== null) return fault
    }
    return null
  }

  async #fill(pool: PoolConfig): Promise<void> {
    const { pools, supply } = this.#deps
    const message = await supply.fill(pool, {
      demand: () => this.#waiting.demandFor(pool),
      target: pools.targetOf(pool),
      ahead: pools.aheadOf(pool),
      onMore: () => this.#tryAll(),
    })
    pools.note(pool, message)
  }

  #tryAll(): void {
    for (const waiter of this.#waiting.all()) this.#tryFor(waiter)
  }

  #tryFor(waiter: Waiter): void {
    const answer = this.#try(waiter.request, waiter.sinceMs, waiter)
    if (answer !== null) this.#waiting.answer(waiter, answer)
  }

  #try(request: AssignRequest, sinceMs: number, waiter: Waiter | null): Answer | null {
    const { blocks, pools, exhaustedRetryMs, onTaken } = this.#deps
    const remembered = this.remembered(request.handle)
    if (remembered !== null) return remembered
    const needs = needsOf(blocks.config, request)
    if (!needs.ok) return needs
    const taking = blocks.take(request, needs.value, (pool) => pools.isExhausted(pool, exhaustedRetryMs, sinceMs))
    if (taking.kind === 'short') {
      if (waiter !== null) waiter.lacks = taking
      return null
    }
    if (taking.kind === 'exhausted') return err(pools.faultOf(taking.pools))
    onTaken()
    return ok(taking.assignments)
  }
}
