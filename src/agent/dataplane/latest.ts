// Whole truths that take a while to apply: one at a time, and of those that wait only the latest.
import { Coalescer } from '../../lib/coalesce.ts'

export class Latest<T extends object> {
  readonly #turns: Coalescer
  #wanted: T | null = null
  #error: unknown = null

  constructor(apply: (wanted: T) => Promise<void>) {
    this.#turns = new Coalescer(async () => {
      if (this.#wanted === null) return
      try {
        await apply(this.#wanted)
        this.#error = null
      } catch (error) {
        this.#error = error ?? new Error('unknown')
      }
    })
  }

  /** Resolves when this, or a later one, has been applied; rejects with what went wrong with the last. */
  async set(wanted: T): Promise<void> {
    this.#wanted = wanted
    await this.#turns.request()
    if (this.#error !== null) throw this.#error
  }
}
