// Routes the kernel has refused, each with its reason and the time of its next try. Pure.
import { backoffMs } from '../lib/backoff.ts'
import type { WriteFailure } from './backend.ts'
import { FAILED, type FibTable } from './fib-table.ts'

const RETRY = { baseMs: 1_000, capMs: 60_000 }

export type Failure = {
  readonly operation: 'write' | 'removal'
  readonly code: string
  readonly text: string | null
  readonly attempts: number
  readonly retryAtMs: number
}

export class Failures {
  readonly #table: FibTable
  readonly #random: () => number
  readonly #byRow = new Map<number, Failure>()

  /** `random` in [0, 1) spreads retries. */
  constructor(table: FibTable, random: () => number) {
    this.#table = table
    this.#random = random
  }

  get(row: number): Failure | undefined {
    return this.#byRow.get(row)
  }

  add(row: number, operation: Failure['operation'], { code, text }: WriteFailure, nowMs: number): void {
    const attempts = (this.#byRow.get(row)?.attempts ?? 0) + 1
    this.#byRow.set(row, { operation, code, text, attempts, retryAtMs: nowMs + backoffMs(attempts - 1, RETRY, this.#random()) })
    this.#table.flags[row] = (this.#table.flags[row] ?? 0) | FAILED
  }

  clear(row: number): void {
    const flags = this.#table.flags[row] ?? 0
    if ((flags & FAILED) === 0) return
    this.#byRow.delete(row)
    this.#table.flags[row] = flags & ~FAILED
  }

  /** What must not be tried again yet. */
  pending(row: number, nowMs: number): 'nothing' | Failure['operation'] {
    if (((this.#table.flags[row] ?? 0) & FAILED) === 0) return 'nothing'
    const failure = this.#byRow.get(row)
    return failure === undefined || failure.retryAtMs <= nowMs ? 'nothing' : failure.operation
  }

  *due(nowMs: number): Generator<number> {
    for (const [row, { retryAtMs }] of this.#byRow) if (retryAtMs <= nowMs) yield row
  }

  /** When the next retry is due, or null. */
  nextMs(): number | null {
    let next: number | null = null
    for (const { retryAtMs } of this.#byRow.values()) if (next === null || retryAtMs < next) next = retryAtMs
    return next
  }

  /** Makes everything due. */
  retryAll(nowMs: number): void {
    for (const [row, failure] of this.#byRow) this.#byRow.set(row, { ...failure, attempts: 0, retryAtMs: nowMs })
  }
}
