// Requests that wait for an address (shell): each is answered once, by what it waited for, by a refusal, or because its caller gave up.
import { err, type Result } from '../lib/result.ts'
import type { AssignFault, Assignment, AssignRequest, PoolConfig } from './contract.ts'
import type { Taking } from './node-blocks.ts'

export type Answer = Result<readonly Assignment[], AssignFault>

export class Waiter {
  readonly request: AssignRequest
  /** Since when it waits, by the monotonic clock. */
  readonly sinceMs: number
  /** What it lacked when it was last tried. */
  lacks: Extract<Taking, { kind: 'short' }> | null = null
  readonly answered: Promise<Answer>
  #resolve: ((answer: Answer) => void) | null = null

  constructor(request: AssignRequest, sinceMs: number) {
    this.request = request
    this.sinceMs = sinceMs
    this.answered = new Promise((resolve) => {
      this.#resolve = resolve
    })
  }

  answer(answer: Answer): void {
    this.#resolve?.(answer)
    this.#resolve = null
  }
}

/** In order of arrival. */
export class WaitingRequests {
  readonly #waiters = new Set<Waiter>()
  readonly #whyWaiting: () => string

  /** `whyWaiting` explains to those who give up what they have waited for. */
  constructor(whyWaiting: () => string) {
    this.#whyWaiting = whyWaiting
  }

  get size(): number {
    return this.#waiters.size
  }

  /** It has no answer yet. */
  has(waiter: Waiter): boolean {
    return this.#waiters.has(waiter)
  }

  all(): readonly Waiter[] {
    return [...this.#waiters]
  }

  add(request: AssignRequest, sinceMs: number, signal: AbortSignal | undefined): Promise<Answer> {
    const waiter = new Waiter(request, sinceMs)
    const abort = (): void => this.answer(waiter, err({ kind: 'unavailable', message: this.#whyWaiting() }))
    this.#waiters.add(waiter)
    if (signal?.aborted === true) abort()
    else signal?.addEventListener('abort', abort, { once: true })
    return waiter.answered.finally(() => signal?.removeEventListener('abort', abort))
  }

  answer(waiter: Waiter, answer: Answer): void {
    this.#waiters.delete(waiter)
    waiter.answer(answer)
  }

  /** The owner of the handle is gone: nobody waits for its addresses any more. */
  cancel(handle: string): void {
    for (const waiter of this.#waiters) {
      if (waiter.request.handle === handle) this.answer(waiter, err({ kind: 'unavailable', message: 'released before it was assigned' }))
    }
  }

  /** How many wait for an address of this pool. */
  demandFor(pool: PoolConfig): number {
    let count = 0
    for (const { lacks } of this.#waiters) if (lacks?.pools.some(({ name }) => name === pool.name) === true) count++
    return count
  }

  /** Pools that somebody waits for. */
  pools(): readonly PoolConfig[] {
    return [...new Set([...this.#waiters].flatMap(({ lacks }) => lacks?.pools ?? []))]
  }
}
