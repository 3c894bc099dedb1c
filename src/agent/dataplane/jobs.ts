// Work that blocks the dataplane thread for milliseconds, one piece a turn of the event loop: between any two, batches of best paths
// and the other messages that have come in get their turn.
import type { Clock } from '../../lib/clock.ts'

export class Jobs {
  readonly #clock: Clock
  readonly #waiting: (() => void)[] = []
  #next: Disposable | null = null

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** In the order they were asked for; resolves or rejects with what `work` returns or throws. */
  run<T>(work: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#waiting.push(() => {
        try {
          resolve(work())
        } catch (error) {
          reject(error)
        }
      })
      this.#arm()
    })
  }

  #arm(): void {
    if (this.#waiting.length === 0 || this.#next !== null) return
    this.#next = this.#clock.soon(() => {
      this.#next = null
      this.#waiting.shift()?.()
      this.#arm()
    })
  }
}
